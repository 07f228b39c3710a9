"""Whether values were decoded: CF attributes that say how to are proof that nobody did."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import xarray as xr

from xr4dvar.errors import InputError, Problems
from xr4dvar.types import Labelled

__all__ = ["check_decoded", "decoded"]

#: Attributes that xarray takes off, into the encoding, where it decodes; what each leaves as is.
_PACKING = {"scale_factor": 1.0, "add_offset": 0.0}
_FILLS = ("_FillValue", "missing_value")


@overload
def decoded(what: str, given: xr.DataArray, problems: Problems) -> xr.DataArray: ...
@overload
def decoded(what: str, given: Labelled, problems: Problems) -> Labelled: ...
def decoded(what: str, given: Labelled, problems: Problems) -> Labelled:
    """Note variables whose values are still as in the file: packed, or with their fill value.

    Of a dask array nothing is read now: its chunks are looked at when they are computed, and
    raise the same `InputError`.

    Parameters
    ----------
    what : str
        The argument, for messages: "obs", "target", ...
    given : xarray.DataArray or xarray.Dataset
        May have ``_FillValue``, ``missing_value``, ``scale_factor`` or ``add_offset`` among its
        attributes.
    problems : Problems
        Gets what was found.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As given; dask arrays that have a fill value among their attributes with the look at it.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels import decoded
    >>> problems = Problems()
    >>> sst = xr.DataArray([21.5, -999.0], dims="x", name="sst", attrs={"_FillValue": -999.0})
    >>> _ = decoded("obs", sst, problems)
    >>> problems.found[0][0]
    "'sst' is not decoded: 1 of its values are _FillValue, -999"
    """
    who = None if what == "obs" else what
    if isinstance(given, xr.DataArray):
        name = "variable" if given.name is None else str(given.name)
        fix = f"xr.decode_cf({what}.to_dataset(name={name!r}))[{name!r}]"
        return _looked_at(who, given, fix, problems)
    arrays = given.data_vars.items()
    return given.assign(
        {name: _looked_at(who, one, f"xr.decode_cf({what})", problems) for name, one in arrays}
    )


def _looked_at(what: str | None, array: xr.DataArray, fix: str, problems: Problems) -> xr.DataArray:
    fills = _fills(array)
    if not check_decoded(what, array, problems, fix) or array.chunks is None or not fills:
        return array
    data, problem = array.data, _problem(what, array, fix)
    looked = data.map_blocks(_checked, fills, problem, dtype=data.dtype, meta=data._meta)
    return array.copy(data=looked)


def check_decoded(
    what: str | None, array: xr.DataArray, problems: Problems, fix: str = "xr.decode_cf(dataset)"
) -> bool:
    """Note one variable, or coordinate, that is packed or holds its fill value.

    Returns
    -------
    bool
        Whether it is decoded, as far as can be told without computing anything.
    """
    if array.dtype.kind not in "iuf":
        return True
    for key, neutral in _PACKING.items():
        if key in array.attrs and not _is(array.attrs[key], neutral):
            called, mend = _problem(what, array, fix)
            problems.add(f"{called}: {key} {array.attrs[key]} was not applied", mend)
            return False
    if array.chunks is not None:
        return True
    found = _found(array.values, _fills(array))
    if found is not None:
        called, mend = _problem(what, array, fix)
        problems.add(f"{called}: {found}", mend)
    return found is None


def _problem(what: str | None, array: xr.DataArray, fix: str) -> tuple[str, str]:
    """How a problem with a variable begins, and its fix."""
    name = "variable" if array.name is None else str(array.name)
    called = f"{name!r} is not decoded" if what is None else f"{what}: {name!r} is not decoded"
    attrs = ", ".join(repr(key) for key in (*_PACKING, *_FILLS) if key in array.attrs)
    return called, f"decode it, {fix}; if it is decoded, drop {attrs} from its attrs"


def _fills(array: xr.DataArray) -> dict[str, list[float]]:
    """The values that stand for missing ones, by attribute, where a value can equal them."""
    fills = {}
    for key in _FILLS:
        values = [_number(value) for value in np.ravel(array.attrs.get(key, []))]
        if known := [value for value in values if np.isfinite(value)]:
            fills[key] = known
    return fills


def _found(values: np.ndarray[Any, Any], fills: dict[str, list[float]]) -> str | None:
    for key, own in fills.items():
        for fill in own:
            if values.dtype.kind == "f":  # a fill is stored with the digits of the values
                with np.errstate(over="ignore"):
                    fill = float(values.dtype.type(fill))
            if count := int((values == fill).sum()):
                return f"{count} of its values are {key}, {fill:g}"
    return None


def _checked(
    block: np.ndarray[Any, Any], fills: dict[str, list[float]], problem: tuple[str, str]
) -> np.ndarray[Any, Any]:
    found = _found(block, fills)
    if found is not None:
        raise InputError([(f"{problem[0]}: {found}", problem[1])])
    return block


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


def _is(value: Any, number: float) -> bool:
    return all(_number(one) == number for one in np.ravel(value))
