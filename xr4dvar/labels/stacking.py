"""From labelled arrays to bare ones in canonical order, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.grid import Grid
from xr4dvar.types import Labelled

#: A numpy or a dask array; dask must not be imported to say so.
Array: TypeAlias = Any
#: The name of a variable and its values in canonical order.
Field: TypeAlias = tuple[str, Array]

_UNNAMED = "variable"
_STALE_ATTRS = {
    "valid_min",
    "valid_max",
    "valid_range",
    "actual_range",
    "ancillary_variables",
    "missing_value",
}
_KEPT_ENCODING = {"grid_mapping"}


def named_arrays(obs: Labelled) -> dict[str, xr.DataArray]:
    """The variables by name; an unnamed DataArray is called "variable".

    Examples
    --------
    >>> from xr4dvar.labels.stacking import named_arrays
    >>> list(named_arrays(xr.Dataset({"u": ("x", [1.0]), "v": ("x", [2.0])})))
    ['u', 'v']
    """
    if isinstance(obs, xr.DataArray):
        return {_UNNAMED if obs.name is None else str(obs.name): obs}
    return {str(name): array for name, array in obs.data_vars.items()}


def to_fields(obs: Labelled, grid: Grid) -> list[Field]:
    """Values of each variable in the order (batch..., time, y, x), every axis ascending.

    Numpy arrays come as views, dask arrays stay lazy.

    Parameters
    ----------
    obs : xarray.DataArray or xarray.Dataset
        float32 or float64; several variables on the same dimensions. Half precision becomes
        float32, extended precision float64.
    grid : Grid
        Its grid.

    Returns
    -------
    list of (str, array)
        Name and values of each variable.

    Raises
    ------
    InputError
        With every variable of another type, or on other dimensions.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, make_grid, to_fields
    >>> obs = xr.DataArray(np.zeros((4, 3)), dims=("lon", "lat"), name="ssh",
    ...                    coords={"lat": [2.0, 1.0, 0.0]})
    >>> [(name, field)] = to_fields(obs, make_grid(obs, find_axes(obs)))
    >>> name, field.shape, np.shares_memory(field, obs.values)
    ('ssh', (3, 4), True)
    """
    problems = Problems()
    arrays = named_arrays(obs)
    if not arrays:
        problems.add("the Dataset holds no variable", "give one with at least one data variable")
    common = _common_dims(arrays, grid)
    for name, array in arrays.items():
        _check_dims(name, array, common, problems)
        _check_dtype(name, array, problems)
    problems.raise_if_any()
    fields = [(name, canonical(array.variable, grid)) for name, array in arrays.items()]
    for name, field in fields:
        if not (isinstance(field, np.ndarray) or hasattr(field, "dask")):
            problems.add(
                f"{name!r} holds a {type(field).__name__}, neither numpy nor dask",
                "turn it into a plain array, for example with obs.as_numpy()",
            )
    problems.raise_if_any()
    return fields


def from_fields(arrays: Sequence[Array], like: Labelled, grid: Grid) -> Labelled:
    """Put the labels back on arrays in canonical order.

    Dimensions come in the order of `like`, with its coordinates (their encoding too), name and
    attributes. Attributes and encoding that described the old values are dropped.

    Parameters
    ----------
    arrays : sequence of arrays, each of shape (batch..., time, y, x)
        One for each variable of `like`, in its order; numpy or dask.
    like : xarray.DataArray or xarray.Dataset
        What the arrays were made from.
    grid : Grid
        Its grid.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As `like`; dtype as there if it is float32 or float64, else that of `to_fields`.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, from_fields, make_grid, to_fields
    >>> obs = xr.DataArray([[1.0, 2.0]], dims=("lon", "lat"), coords={"lat": [9.0, 8.0]})
    >>> grid = make_grid(obs, find_axes(obs))
    >>> arrays = [field for _, field in to_fields(obs, grid)]
    >>> from_fields(arrays, obs, grid).identical(obs)
    True
    """
    variables = {
        name: _restored(array, template.variable, grid)
        for array, (name, template) in zip(arrays, named_arrays(like).items(), strict=True)
    }
    if isinstance(like, xr.DataArray):
        (variable,) = variables.values()
        result = xr.DataArray(variable, coords=like.coords, name=like.name)
        result.encoding = variable.encoding
        return result
    return xr.Dataset(variables, coords=like.coords, attrs=like.attrs)


def canonical(variable: xr.Variable, grid: Grid) -> Array:
    """Values of one variable in the order (batch..., time, y, x), every axis ascending."""
    data = flipped(variable.transpose(*grid.axes.dims), grid).data
    dtype = _result_dtype(data.dtype)
    return data if data.dtype == dtype else data.astype(dtype)


def flipped(variable: xr.Variable, grid: Grid) -> xr.Variable:
    """The variable with every descending axis turned round."""
    turned = {
        dim: slice(None, None, -1)
        for role, dim in grid.axes.items()
        if grid[role].descending and dim in variable.dims
    }
    return variable.isel(turned) if turned else variable


def _restored(array: Array, like: xr.Variable, grid: Grid) -> xr.Variable:
    dtype = _result_dtype(like.dtype)
    data = array if array.dtype == dtype else array.astype(dtype)
    variable = flipped(xr.Variable(grid.axes.dims, data), grid).transpose(*like.dims)
    variable.attrs = {
        key: value
        for key, value in like.attrs.items()
        if key not in _STALE_ATTRS and not str(key).startswith("flag_")
    }
    variable.encoding = {k: v for k, v in like.encoding.items() if k in _KEPT_ENCODING}
    fill = like.encoding.get("_FillValue")
    if isinstance(fill, float | np.floating):
        variable.encoding["_FillValue"] = dtype.type(fill)
    return variable


def _result_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    # of native byte order: torch takes no other
    return np.dtype(np.float64 if dtype.kind == "f" and dtype.itemsize >= 8 else np.float32)


def _common_dims(arrays: Mapping[str, xr.DataArray], grid: Grid) -> tuple[str, ...]:
    """Dimensions of the variables that have all axes: those of most, where they differ."""
    axes = {dim for _, dim in grid.axes.items()}
    whole = [frozenset(map(str, a.dims)) for a in arrays.values() if axes <= set(a.dims)]
    most = Counter(whole).most_common(1)
    return tuple(dim for dim in grid.axes.dims if not most or dim in most[0][0])


def _check_dims(
    name: str, array: xr.DataArray, common: tuple[str, ...], problems: Problems
) -> None:
    if set(array.dims) != set(common):
        have, want = (", ".join(map(str, dims)) for dims in (array.dims, common))
        problems.add(
            f"{name!r} is on ({have}), not on ({want})",
            f"leave it out, obs.drop_vars({name!r}), or broadcast it first",
        )


def _check_dtype(name: str, array: xr.DataArray, problems: Problems) -> None:
    kind, dtype = array.dtype.kind, array.dtype
    if kind in "iub":
        problems.add(
            f"{name!r} is {dtype}, which has no value for missing cells",
            f'mark them: obs = obs.astype("float32").where(...) for {name!r}, '
            "or open the file with mask_and_scale=True",
        )
    elif kind != "f":
        problems.add(
            f"{name!r} is {dtype}, not real numbers",
            f'give {name!r} as numbers, .astype("float32")',
        )
