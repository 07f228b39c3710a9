"""From covariates as users give them to fields on the grid of the observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from xr4dvar.arguments import shown
from xr4dvar.covariates.computed import Computed
from xr4dvar.errors import Problems
from xr4dvar.labels import (
    Grid,
    check_aligned,
    check_places,
    decoded,
    index_of,
    without_companions,
)
from xr4dvar.labels.alignment import sizes_of
from xr4dvar.labels.stacking import canonical
from xr4dvar.types import Labelled

__all__ = ["Given", "KnownFields", "check_known", "read_covariates"]

#: Covariates as users give them.
Given: TypeAlias = Labelled | Computed | Sequence[Labelled | Computed] | None


@dataclass(frozen=True)
class KnownFields:
    """Covariates on the grid of the observations.

    Parameters
    ----------
    names : mapping of str to str
        Units by name.
    fields : list of array (batch..., time, y, x)
        numpy or dask, one a name, NaN where a value is missing.
    computed : tuple of Computed
        Those of them that a model computes by itself.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    fields: list[Any] = field(default_factory=list)
    computed: tuple[Computed, ...] = ()


def read_covariates(
    given: Any, obs: Labelled, grid: Grid, problems: Problems, computed: Sequence[Computed] = ()
) -> KnownFields:
    """Check the labels of covariates, and put their numbers on the grid of the observations.

    Entries of the observations are selected from longer covariates by their labels; dimensions
    that a covariate lacks are those along which it is the same. Nothing is interpolated, and
    nothing is computed of dask arrays.

    Parameters
    ----------
    given : DataArray, Dataset, Computed, a sequence of these, or None
    obs : DataArray or Dataset
    grid : Grid
        Of `obs`.
    problems : Problems
        Gets whatever is no covariate, and where one is on other dimensions or coordinates.
    computed : sequence of Computed
        Those that a model has, whether they are given again or not.
    """
    items = [] if given is None else [*given] if isinstance(given, list | tuple) else [given]
    found: dict[str, xr.DataArray] = {}
    parts = list(computed)
    for item in items:
        if isinstance(item, Computed) and not isinstance(item, type):
            parts += [] if item in parts else [item]
            continue
        for name, array in _named(item, problems).items():
            if name in found:
                problems.add(f"two covariates are called {name!r}", "rename one of them")
            found[name] = array
    fields, units = [], {}
    for name, array in found.items():
        checked = _checked(name, _selected(array, obs), obs, grid, problems)
        if checked is not None:
            units[name] = str(array.attrs.get("units", ""))
            fields.append(_broadcast(checked, obs, grid))
    for part in parts:  # their coordinates are those of the observations
        for name, array in part.arrays(obs, grid, problems).items():
            if name in units:
                problems.add(f"two covariates are called {name!r}", "rename one of them")
            units[name] = ""
            fields.append(_broadcast(array, obs, grid))
    return KnownFields(units, fields, tuple(parts))


def check_known(
    known: Mapping[str, str], found: KnownFields, given: object, problems: Problems
) -> KnownFields:
    """Note covariates that a model has and that are missing, others, and other units.

    Parameters
    ----------
    known : mapping of str to str
        Units of the model's, by name.
    found : KnownFields
    given : object
        The argument: what is wrong with one that could not be read was noted before.
    problems : Problems

    Returns
    -------
    KnownFields
        In the order of the model.
    """
    missing = [name for name in known if name not in found.names]
    if missing and not problems.found:
        names = ", ".join(map(repr, missing))
        what = "no covariates are given" if given is None else f"covariates lack {names}"
        fix = f"give ds[{missing}] among them"
        problems.add(f"{what}, and the model was fitted with {names}", fix)
    if unknown := [name for name in found.names if name not in known]:
        names = ", ".join(map(repr, unknown))
        fix = f"leave them out, or fit with covariates={unknown}" if known else "leave them out"
        problems.add(f"the model knows no covariates {names}", fix)
    for name in (name for name in found.names if name in known):
        have, want = found.names[name], known[name]
        if have and want and have != want:
            fix = f"convert it; if only the spelling differs, set its attrs['units'] = {want!r}"
            problems.add(f"covariate {name!r} is in {have!r}, the model knows {want!r}", fix)
    if missing or unknown:
        return found
    by_name = dict(zip(found.names, found.fields, strict=True))
    return KnownFields(dict(known), [by_name[name] for name in known], found.computed)


def _named(item: object, problems: Problems) -> dict[str, xr.DataArray]:
    """Arrays by name."""
    if isinstance(item, xr.DataArray):
        if item.name is None:
            problems.add("a covariate has no name", 'name it, field.rename("sst")')
            return {}
        return {str(item.name): item}
    if isinstance(item, xr.Dataset):
        return {str(name): array for name, array in without_companions(item)[0].items()}
    what = f"covariates hold {shown(item)}"
    fix = "give a DataArray, a Dataset, or xr4dvar.covariates.day_of_year()"
    problems.add(what, fix)
    return {}


def _checked(
    name: str, array: xr.DataArray, obs: Labelled, grid: Grid, problems: Problems
) -> xr.DataArray | None:
    """Note values that are no numbers, and dimensions and coordinates that obs has not."""
    before = len(problems.found)
    if array.dtype.kind not in "iubf":
        fix = f'give numbers, {name}.astype("float32")'
        problems.add(f"covariate {name!r} is {array.dtype}, no real numbers", fix)
    check_aligned(obs, {name: array}, problems, subset=True)
    if len(problems.found) == before:
        # it may lack axes, and their coordinates with them
        placed = [one for one in grid.axes.coordinates.values() if one in array.coords]
        check_places(obs, {name: array}, placed, problems)
        array = decoded(name, array, problems)
    return array if len(problems.found) == before else None


def _broadcast(array: xr.DataArray, obs: Labelled, grid: Grid) -> Any:
    """Values in canonical order, of the shape of the observations; nothing is copied."""
    sizes = sizes_of(obs)
    whole = array.variable
    if whole.dtype.kind in "iub":
        whole = whole.astype(np.float64 if whole.dtype.itemsize > 2 else np.float32)
    return canonical(whole.set_dims({dim: sizes[dim] for dim in grid.axes.dims}), grid)


def _selected(array: xr.DataArray, obs: Labelled) -> xr.DataArray:
    """The entries of the observations, where a covariate has them and more."""
    for dim in (dim for dim in array.dims if dim in sizes_of(obs)):
        ours, theirs = index_of(obs, str(dim)), index_of(array, str(dim))
        if ours is None or theirs is None or ours.equals(theirs) or not theirs.is_unique:
            continue
        try:
            places = theirs.get_indexer(ours)
        except (TypeError, ValueError):  # dates of another calendar, which `check_aligned` tells
            continue
        if (places >= 0).all():
            array = array.isel({dim: places})
    return array
