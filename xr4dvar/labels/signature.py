"""Whether data fit a model that was fitted on other data: same axes, spacing, variables, units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.grid import Grid
from xr4dvar.labels.indexes import text_of_index
from xr4dvar.labels.stacking import named_arrays
from xr4dvar.types import ROLES, Labelled, Role

#: A spacing may differ from the model's by this share...
SPACING_TOLERANCE = 0.01
#: ...or by this one where points are not evenly spaced: the median of months is 30 or 31 days.
UNEVEN_TOLERANCE = 0.1


def check_same_grid(signature: Mapping[str, Any], grid: Grid, problems: Problems) -> None:
    """Note every axis, unit and spacing of a grid that a model does not know.

    Parameters
    ----------
    signature : mapping
        ``Grid.signature()`` of the data that the model was fitted on.
    grid : Grid
        Grid of the data at hand.
    problems : Problems
        Gets one problem for each difference.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels import check_same_grid, find_axes, make_grid
    >>> coarse, fine = (xr.DataArray(np.zeros(3), dims="lat", coords={"lat": step * np.arange(3)})
    ...                 for step in (1.0, 0.5))
    >>> signature = make_grid(coarse, find_axes(coarse)).signature()
    >>> problems = Problems()
    >>> check_same_grid(signature, make_grid(fine, find_axes(fine)), problems)
    >>> problems.found[0][0]
    "spacing of 'lat' is 0.5 degree, the model knows 1 degree"
    """
    known = signature["axes"]
    for role in ROLES:
        if role in known and role not in grid.roles:
            problems.add(
                f"the model needs a {role} axis, the data have none",
                "give data with it, or name it with dims=",
            )
        elif role in grid.roles and role not in known:
            problems.add(
                f"the data have a {role} axis ({grid[role].name!r}), the model knows none",
                f"select one entry of {grid.axes.dim(role)!r}, or fit a model on such data",
            )
        elif role in known:
            _check_axis(known[role], grid, role, problems)


def _check_axis(known: Mapping[str, Any], grid: Grid, role: Role, problems: Problems) -> None:
    coordinate, dim = grid[role], grid.axes.dim(role)
    names = known.get("labels", [])
    if names and coordinate.named and list(coordinate.labels) != names:
        problems.add(
            f"{dim!r} holds {_listed(coordinate.labels)}, the model knows {_listed(names)}",
            f"select them in this order, obs.sel({dim}=[...])",
        )
    if known["units"] != coordinate.units:
        problems.add(
            f"{coordinate.name!r} is in {coordinate.units}, the model knows {known['units']}",
            f"convert it, or set obs[{coordinate.name!r}].attrs['units']",
        )
    elif known["spacing"] is not None and coordinate.size > 1:
        spacing = known["spacing"]
        even = known["uniform"] and coordinate.uniform
        tolerance = SPACING_TOLERANCE if even else UNEVEN_TOLERANCE
        if abs(coordinate.spacing - spacing) > tolerance * spacing:
            unit, indexed = coordinate.units, text_of_index(dim, coordinate.name)
            problems.add(
                f"spacing of {coordinate.name!r} is {coordinate.spacing:g} {unit}, "
                f"the model knows {spacing:g} {unit}",
                f"interpolate to the model's spacing, {indexed}.interp({coordinate.name}=...), or "
                "fit a new model",
            )


def _listed(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join([*map(repr, names[:5]), *(["..."] if len(names) > 5 else [])])


def in_order(obs: Labelled, signature: Mapping[str, str]) -> Labelled:
    """Put the variables of a Dataset in the order of a model's, if they are the same.

    Examples
    --------
    >>> from xr4dvar.labels import in_order
    >>> list(in_order(xr.Dataset({"v": 1.0, "u": 2.0}), {"u": "m/s", "v": "m/s"}))
    ['u', 'v']
    """
    if isinstance(obs, xr.Dataset) and set(obs.data_vars) == set(signature):
        return obs[list(signature)]
    return obs


def variables_signature(obs: Labelled) -> dict[str, str]:
    """Names and units of the variables, to be saved with a model.

    Returns
    -------
    dict of str to str
        Unit by name; "" for a variable without a unit.

    Examples
    --------
    >>> from xr4dvar.labels import variables_signature
    >>> variables_signature(xr.DataArray(np.zeros(3), dims="x", name="ssh", attrs={"units": "m"}))
    {'ssh': 'm'}
    """
    return {name: str(array.attrs.get("units", "")) for name, array in named_arrays(obs).items()}


def check_same_units(obs: Labelled, what: str, other: Labelled, problems: Problems) -> None:
    """Note every variable of another array that is in another unit than in the observations.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels import check_same_units
    >>> obs = xr.DataArray(np.zeros(3), dims="x", name="ssh", attrs={"units": "m"})
    >>> problems = Problems()
    >>> check_same_units(obs, "target", obs.assign_attrs(units="cm"), problems)
    >>> problems.found[0][0]
    "target: 'ssh' is in 'cm', obs is in 'm'"
    """
    found, known = variables_signature(other), variables_signature(obs)
    if isinstance(obs, xr.DataArray):  # whatever the other one is called
        found = dict(zip(known, found.values(), strict=False))
    for name, units in known.items():
        if units and found.get(name) and found[name] != units:
            problems.add(
                f"{what}: {name!r} is in {found[name]!r}, obs is in {units!r}",
                f"convert it; if only the spelling differs, set its attrs['units'] = {units!r}",
            )


def check_same_variables(signature: Mapping[str, str], obs: Labelled, problems: Problems) -> None:
    """Note every variable that the model lacks or knows in another unit.

    A variable without a name or without units is taken to be the model's.

    Parameters
    ----------
    signature : mapping of str to str
        `variables_signature` of the data that the model was fitted on.
    obs : xarray.DataArray or xarray.Dataset
        Data at hand.
    problems : Problems
        Gets one problem for each difference.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels import check_same_variables
    >>> problems = Problems()
    >>> obs = xr.DataArray(np.zeros(3), dims="x", name="ssh", attrs={"units": "cm"})
    >>> check_same_variables({"ssh": "m"}, obs, problems)
    >>> problems.found[0][0]
    "'ssh' is in 'cm', the model knows 'm'"
    """
    found = variables_signature(obs)
    if isinstance(obs, xr.DataArray) and obs.name is None and len(signature) == 1:
        found = dict(zip(signature, found.values(), strict=True))
    if set(found) != set(signature):
        have, want = (", ".join(map(repr, names)) for names in (found, signature))
        problems.add(
            f"the data hold {have}, the model was fitted on {want}",
            "select or rename the variables, for example obs.rename(...)",
        )
    elif list(found) != list(signature):
        order = list(signature)
        problems.add(f"the model knows the variables in another order, {order}", f"obs[{order}]")
    for name in (name for name in found if name in signature):
        if found[name] and signature[name] and found[name] != signature[name]:
            problems.add(
                f"{name!r} is in {found[name]!r}, the model knows {signature[name]!r}",
                f"convert it; if only the spelling differs, set attrs['units'] = "
                f"{signature[name]!r}",
            )
