"""The index of a dimension as pandas', whatever index xarray has for it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeAlias

from xr4dvar.types import Labelled

#: A pandas index; pandas has no types of its own.
Index: TypeAlias = Any


def index_of(array: Labelled, dim: Hashable) -> Index | None:
    """The labels along a dimension, None where it has none.

    ``array.indexes`` fails where *any* index is not of pandas, such as that of the nearest points
    on 2-D coordinates or that of a coordinate reference system.

    Examples
    --------
    >>> from xr4dvar.labels import index_of
    >>> array = xr.DataArray([[0.0, 1.0]], dims=("y", "x"), coords={"x": [3, 4]})
    >>> list(index_of(array, "x")), index_of(array, "y")
    ([3, 4], None)
    """
    index = array.xindexes.get(dim)
    if index is None:
        return None
    try:
        return index.to_pandas_index()
    except TypeError:
        return array.coords[dim].variable.to_index()


def text_of_index(dim: str, name: str, source: str = "obs") -> str:
    """How to write, in advice, an array whose dimension has its coordinate for an index.

    Examples
    --------
    >>> from xr4dvar.labels.indexes import text_of_index
    >>> text_of_index("Time", "XTIME"), text_of_index("time", "time")
    ("obs.swap_dims(Time='XTIME')", 'obs')
    """
    return source if dim == name else f"{source}.swap_dims({dim}={name!r})"
