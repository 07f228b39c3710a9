"""Checks of what is to be scored; each problem is noted with its fix."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.grid import Grid
from xr4dvar.labels.indexes import index_of
from xr4dvar.labels.latitudes import area_weights, latitudes
from xr4dvar.labels.roles import Axes


def check_fields(
    reconstruction: xr.DataArray, truth: xr.DataArray, axes: Axes, problems: Problems
) -> None:
    """Check that both are numeric, on the same grid, in the same unit."""
    for name, field in (("reconstruction", reconstruction), ("truth", truth)):
        if field.dtype.kind not in "fiu":
            problems.add(f"{name} has dtype {field.dtype}", f'use {name}.astype("float32")')
    units = [field.attrs.get("units") for field in (reconstruction, truth)]
    if None not in units and units[0] != units[1]:
        problems.add(
            f"reconstruction is in {units[0]!r} and truth in {units[1]!r}",
            f"convert one of them, or truth.assign_attrs(units={units[0]!r}) if they are the same",
        )
    for _, dim in axes.items():
        if dim not in truth.dims:
            problems.add(f"truth has no dimension {dim!r}", f"truth.expand_dims({dim}=...)")
    check_same_grid("truth", truth, "reconstruction", reconstruction, problems)


def check_mask(mask: Any, reconstruction: xr.DataArray, problems: Problems) -> None:
    """Check that the mask is boolean, on the grid of the reconstruction."""
    if not isinstance(mask, xr.DataArray) or mask.dtype != bool:
        kind = f"dtype {mask.dtype}" if isinstance(mask, xr.DataArray) else type(mask).__name__
        problems.add(
            f"mask is {kind}, not a DataArray of bool", "pass a condition, as truth.notnull()"
        )
    else:
        check_same_grid("mask", mask, "reconstruction", reconstruction, problems)


def resolve_weights(
    weights: Any, reconstruction: xr.DataArray, grid: Grid, problems: Problems
) -> xr.DataArray | None:
    """Return the weights of the cells, on the grid of the reconstruction; "area" by latitude."""
    if weights is None:
        return None
    if isinstance(weights, xr.DataArray):
        check_same_grid("weights", weights, "reconstruction", reconstruction, problems)
        in_memory = weights.chunks is None
        if in_memory and not (np.isfinite(weights.values) & (weights.values >= 0)).all():
            problems.add(
                "weights has negative or non-finite values", "use weights.clip(min=0).fillna(0)"
            )
        return weights
    if not (isinstance(weights, str) and weights == "area"):
        problems.add(f"weights={weights!r} is not known", 'pass a DataArray, "area" or nothing')
        return None
    found = latitudes(reconstruction, grid)
    if found is None:
        y = grid.axes.coordinates.get("y")
        have = "none was found" if y is None else f"{y!r} is not known to be one"
        name = y or "lat"
        problems.add(
            f'weights="area" needs a latitude coordinate along y and {have}',
            f"if it is one, give {name!r} the attribute units='degrees_north', or name another "
            'with dims={"lat": ...}; else pass the weights as a DataArray',
        )
        return None
    return area_weights(found)


def check_complete(fields: dict[str, xr.DataArray], names: list[str], problems: Problems) -> None:
    """Check for gaps where spectra are asked for; dask fields are not looked at."""
    for label, field in fields.items():
        if field.chunks is None and (missing := int(field.isnull().sum())):
            dim, size = str(field.dims[-1]), field.shape[-1]
            problems.add(
                f"{' and '.join(names)} need complete fields and {label} has {missing} missing "
                "values",
                "score a box without gaps, chosen in all fields, as with "
                f"{label}.isel({dim}=slice({size // 4}, {3 * size // 4}))",
            )


def check_same_grid(
    name: str, field: xr.DataArray, other_name: str, other: xr.DataArray, problems: Problems
) -> None:
    """Check that every dimension of `field` is one of `other`, with equal labels."""
    for dim in field.dims:
        if dim not in other.dims:
            problems.add(
                f"{name} has a dimension {dim!r} that {other_name} lacks",
                f"select from it, as with {name}.isel({dim}=0)",
            )
        elif (difference := _difference(name, field, other_name, other, dim)) is not None:
            problems.add(*difference)


def _difference(
    name: str, field: xr.DataArray, other_name: str, other: xr.DataArray, dim: Hashable
) -> tuple[str, str] | None:
    labels, wanted = index_of(field, dim), index_of(other, dim)
    sizes = field.sizes[dim], other.sizes[dim]
    if (labels is None) != (wanted is None):
        bare, source = (name, other_name) if labels is None else (other_name, name)
        return (
            f"{bare} has no labels along {dim!r} and {source} has",
            f"use {bare}.assign_coords({dim}={source}.{dim})",
        )
    if labels is None or wanted is None:
        if sizes[0] == sizes[1]:
            return None
        return f"{name} has {sizes[0]} steps of {dim!r} and {other_name} {sizes[1]}", "cut one"
    if labels.equals(wanted):
        return None
    what = f"{name} and {other_name} have different labels along {dim!r} (sizes {sizes})"
    if len(wanted) and wanted.isin(labels).all():
        return what, f"use {name}.sel({dim}={other_name}.{dim})"
    if sizes[0] == sizes[1] and _nearly_equal(labels, wanted):
        return f"{what}, by rounding", f"use {name}.assign_coords({dim}={other_name}.{dim})"
    return what, f"use {name}.interp_like({other_name}) or the labels that both have"


def _nearly_equal(labels: Any, wanted: Any) -> bool:
    try:
        return bool(np.allclose(np.asarray(labels, float), np.asarray(wanted, float), rtol=1e-6))
    except (TypeError, ValueError):  # dates of cftime, strings
        return False
