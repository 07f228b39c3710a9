"""Helpers for tests of code that must stay lazy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def raise_if_dask_computes(max_computes: int = 0) -> Iterator[None]:
    """Raise as soon as dask computes more often than allowed inside the block.

    Parameters
    ----------
    max_computes : int, default: 0
        Computations to let pass, e.g. 1 for a step that computes all its statistics at once.

    Raises
    ------
    RuntimeError
        At the computation that is one too many.

    Examples
    --------
    >>> import dask.array as da
    >>> from xr4dvar.testing import raise_if_dask_computes
    >>> with raise_if_dask_computes():
    ...     y = da.ones(3) + 1
    """
    import dask
    from dask.local import get_sync

    n_computes = 0

    def count(dsk: Any, keys: Any, **kwargs: Any) -> Any:
        nonlocal n_computes
        n_computes += 1
        if n_computes > max_computes:
            raise RuntimeError(f"dask computed {n_computes} times, allowed are {max_computes}")
        return get_sync(dsk, keys, **kwargs)

    with dask.config.set(scheduler=count):
        yield
