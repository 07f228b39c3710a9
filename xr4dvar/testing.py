"""Helpers for tests of one's own code: that it stays lazy, that an operator has its adjoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xr4dvar.operators import Operator
    from xr4dvar.types import DimsMapping, Labelled


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


def assert_adjoint(
    operator: Operator,
    like: Labelled,
    *,
    dims: DimsMapping | None = None,
    seed: int = 0,
    tolerance: float = 1e-10,
) -> None:
    """Hold an observation operator against the dot product, ``<H x, y> = <x, H' y>``.

    Parameters
    ----------
    operator : Operator
        A linear one.
    like : DataArray or Dataset
        On the grid of the state; its values are not looked at.
    dims : mapping, optional
        See `fit`.
    seed : int
        Of the random fields x and y, in float64.
    tolerance : float
        Difference of the two products, over ``|H x| |y|``.

    Raises
    ------
    AssertionError
        They differ by more.

    Examples
    --------
    >>> from xr4dvar.testing import assert_adjoint
    >>> field = xv.datasets.gulfstream_twin().ssh.isel(time=slice(0, 3))
    >>> assert_adjoint(xv.operators.Blur({"lat": 0.5, "lon": "40 km"}), field)
    """
    import torch

    from xr4dvar.labels import find_axes, make_grid
    from xr4dvar.operators.binding import Binder
    from xr4dvar.types import ROLES

    grid = make_grid(like, find_axes(like, dims))
    bound, _ = Binder(operator, grid)({role: grid[role].values[None] for role in grid.roles})
    shape = [grid[role].size if role in grid.roles else 1 for role in ROLES]
    variables = len(operator.states(operator.fields(["x"])))
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, variables, *shape, dtype=torch.float64, generator=generator)
    seen = bound(x)
    y = torch.randn(seen.shape, dtype=torch.float64, generator=generator)
    left, right = float((seen * y).sum()), float((x * bound.adjoint(y)).sum())
    size = float(seen.norm() * y.norm())
    if not abs(left - right) <= tolerance * size:
        name = type(operator).__name__
        raise AssertionError(f"{name}: <H x, y> is {left:.15g}, <x, H' y> is {right:.15g}")
