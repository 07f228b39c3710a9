"""A map and its error in one Dataset, as CF wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.stacking import named_arrays
from xr4dvar.types import Labelled

__all__ = ["as_members", "check_error_names", "with_errors"]

#: Attributes that are true of the error too.
_SHARED_ATTRS = ("units", "grid_mapping", "coordinates", "cell_methods")


def with_errors(maps: Labelled, errors: Labelled) -> xr.Dataset:
    """Put maps and the standard deviations of their errors together.

    Parameters
    ----------
    maps : xarray.DataArray or xarray.Dataset
        A map, or several.
    errors : xarray.DataArray or xarray.Dataset
        The standard deviation of the error of each, in its units.

    Returns
    -------
    xarray.Dataset
        The maps under their own names ("variable" for one without) and each error as
        ``<name>_error``, tied to its map by ``ancillary_variables`` and, where the map has a
        ``standard_name``, by the CF modifier "standard_error".

    Examples
    --------
    >>> from xr4dvar.labels import with_errors
    >>> ssh = xr.DataArray([0.3], dims="x", name="ssh",
    ...                    attrs={"units": "m", "standard_name": "sea_surface_height"})
    >>> both = with_errors(ssh, 0.1 * ssh)
    >>> both.ssh.attrs["ancillary_variables"]
    'ssh_error'
    >>> both.ssh_error.attrs["standard_name"], both.ssh_error.attrs["units"]
    ('sea_surface_height standard_error', 'm')
    """
    variables = {}
    deviations = named_arrays(errors).values()
    for (name, mapped), error in zip(named_arrays(maps).items(), deviations, strict=True):
        label = _error_name(name)
        variables[name] = mapped.assign_attrs(ancillary_variables=label)
        variables[label] = error.copy(deep=False)
        variables[label].attrs = _error_attrs(name, mapped)
    return xr.Dataset(variables, attrs=maps.attrs if isinstance(maps, xr.Dataset) else _made(maps))


def as_members(maps: Sequence[Labelled]) -> Labelled:
    """Stack maps along a first dimension ``member``, numbered from 0.

    Examples
    --------
    >>> from xr4dvar.labels import as_members
    >>> as_members([xr.DataArray([0.1, 0.2], dims="x")] * 3).sizes
    Frozen({'member': 3, 'x': 2})
    """
    number = xr.Variable(
        "member", range(len(maps)), {"long_name": "member of the ensemble", "units": "1"}
    )
    same: list[Any] = list(maps)  # all DataArrays, or all Datasets
    stacked: Labelled = xr.concat(
        same, number.to_index_variable(), join="exact", combine_attrs="override"
    )
    return stacked


def check_error_names(obs: Labelled, problems: Problems) -> None:
    """Note every variable whose error has a name that is taken.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels import check_error_names
    >>> problems = Problems()
    >>> check_error_names(xr.Dataset({"u": ("x", [0.0]), "u_error": ("x", [0.0])}), problems)
    >>> problems.found[0][0]
    "'u_error', the name of the error of 'u', is taken"
    """
    taken = {str(name) for name in obs.coords} | set(named_arrays(obs))
    for name in named_arrays(obs):
        if _error_name(name) in taken:
            what = f"{_error_name(name)!r}, the name of the error of {name!r}, is taken"
            problems.add(what, f"rename it, or leave it out, obs.drop_vars({_error_name(name)!r})")


def _error_name(name: str) -> str:
    return f"{name}_error"


def _error_attrs(name: str, mapped: xr.DataArray) -> dict[str, str]:
    attrs = {key: mapped.attrs[key] for key in _SHARED_ATTRS if key in mapped.attrs}
    if "standard_name" in mapped.attrs:
        attrs["standard_name"] = f"{mapped.attrs['standard_name']} standard_error"
    called = mapped.attrs.get("long_name", name)
    attrs["long_name"] = f"standard deviation of the error of {called}"
    return attrs


def _made(mapped: xr.DataArray) -> dict[str, str]:
    """How the map was made, which is how its error was made too."""
    return {
        key: value
        for key, value in mapped.attrs.items()
        if key == "history" or key.startswith("xr4dvar_")
    }
