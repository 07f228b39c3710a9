"""Variables of a Dataset that CF names as companions of others: bounds, grid mappings, areas."""

from __future__ import annotations

import logging
import re
from collections.abc import Hashable, Iterable

import xarray as xr

from xr4dvar.types import Labelled

__all__ = ["put_back", "without_companions"]

logger = logging.getLogger("xr4dvar")

#: Attributes that name companions which hold for a map as for the data it was made from...
_LASTING = ("bounds", "climatology", "cell_measures", "formula_terms")
#: ...that name what places the data, and is a coordinate for the work...
_PLACING = ("grid_mapping", "coordinates")
#: ...and that name what is true of the data alone, such as their quality.
_OWN = ("ancillary_variables",)


def without_companions(given: Labelled) -> tuple[Labelled, xr.Dataset]:
    """Take the companions out of a Dataset; a DataArray has none.

    Parameters
    ----------
    given : xarray.DataArray or xarray.Dataset
        Its variables and coordinates may name others by the CF attributes ``bounds``,
        ``climatology``, ``cell_measures``, ``formula_terms``, ``grid_mapping``, ``coordinates``
        and ``ancillary_variables``.

    Returns
    -------
    data : xarray.DataArray or xarray.Dataset
        What is to be worked on: grid mappings are coordinates of it, other companions are gone.
    companions : xarray.Dataset
        Those to `put_back` into a result on the same grid; all but the ancillary variables,
        which belong to the values that were given.

    References
    ----------
    CF conventions, sections 3.4, 5.6, 7.1, 7.2 and 7.4.

    Examples
    --------
    >>> from xr4dvar.labels import without_companions
    >>> time = ("time", [15.0, 45.0], {"bounds": "time_bnds"})
    >>> bounds = ("time", "nv"), [[0.0, 30.0], [30.0, 60.0]]
    >>> given = xr.Dataset({"sst": ("time", [1.0, 2.0]), "time_bnds": bounds}, {"time": time})
    >>> data, companions = without_companions(given)
    >>> list(data), list(companions)
    (['sst'], ['time_bnds'])
    """
    if not isinstance(given, xr.Dataset):
        return given, xr.Dataset()
    lasting, placing, own = _sets_of_names(given, given.variables)
    found = (lasting | placing | own) & set(given.data_vars)
    if found == set(given.data_vars):  # they name each other: only what coordinates name is left
        lasting, placing, own = _sets_of_names(given, given.coords)
        found &= lasting | placing | own
    data = set(given.data_vars) - found
    dims = {dim for name in data for dim in given[name].dims}
    bounds = {name for name in lasting & set(given.coords) if not set(given[name].dims) <= dims}
    if not found | bounds:
        return given, xr.Dataset()
    logger.info("left alone, as companions: %s", ", ".join(sorted(map(repr, found | bounds))))
    work = given.set_coords(list(placing & found)).drop_vars((found - placing) | bounds)
    kept = ((lasting | placing) & found) | bounds
    companions = xr.Dataset({name: given.variables[name] for name in kept})
    return work, companions.set_coords(list(bounds))


def put_back(result: Labelled, companions: xr.Dataset) -> Labelled:
    """The result with the companions that `without_companions` took from its Dataset.

    Examples
    --------
    >>> from xr4dvar.labels import put_back
    >>> list(put_back(xr.Dataset({"sst": ("time", [1.5])}), xr.Dataset({"crs": 0})))
    ['sst', 'crs']
    """
    if isinstance(result, xr.DataArray) or not companions.variables:
        return result
    added = {name: companions.variables[name] for name in companions.data_vars}
    result = result.drop_vars([name for name in added if name in result.coords]).assign(added)
    return result.assign_coords({name: companions.variables[name] for name in companions.coords})


def _sets_of_names(given: xr.Dataset, namers: Iterable[Hashable]) -> list[set[Hashable]]:
    """Variables that others name, by kind of companion, where xarray left or put the names."""
    found: list[set[Hashable]] = []
    for keys in (_LASTING, _PLACING, _OWN):
        texts = (_text(given.variables[name], key) for name in namers for key in keys)
        words = {word for text in texts for word in re.split(r"[\s:]+", text)}
        found.append(words & set(given.variables))  # "area: areacella", "crs: x y"
    return found


def _text(variable: xr.Variable, key: str) -> str:
    return str(variable.attrs.get(key, variable.encoding.get(key, "")))
