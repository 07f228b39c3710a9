"""Axes that close on themselves: which methods honour a period, and along which of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from xr4dvar.contract.method import Method, Parameters
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.types import Role

__all__ = ["ClosesAxes", "check_periods", "closing"]


@runtime_checkable
class ClosesAxes(Protocol):
    """A method that honours ``periodic=``; any other one refuses it.

    Examples
    --------
    >>> from xr4dvar.contract.closed_axes import ClosesAxes
    >>> isinstance(xv.LinearInterpolation(), ClosesAxes)
    True
    """

    def closed_axes(self, grid: Grid, parameters: Parameters | None) -> Collection[Role]:
        """Give the axes along which it honours a period; without parameters, along which it can."""


def closing(grid: Grid) -> list[Role]:
    """The axes that close on themselves."""
    return [role for role in grid.roles if grid[role].period is not None]


def check_periods(
    method: Method,
    grid: Grid,
    problems: Problems,
    parameters: Parameters | None = None,
) -> None:
    """Note every axis whose period would be ignored.

    Parameters
    ----------
    method : Method
    grid : Grid
        Of the data.
    problems : Problems
        Gets what was found.
    parameters : Parameters, optional
        Of a method that is fitted.
    """
    honoured, able = (_honoured(method, grid, p) for p in (parameters, None))
    for role in closing(grid):
        if role in honoured:
            continue
        name = grid.axes.dim(role)
        fix = "leave it out of periodic"
        if role in able:
            fix = f"fit with periodic=({name!r},) too"
        elif hasattr(method, "patch"):
            fix = f"{fix}, or give a patch= that is shorter than {name!r}"
        problems.add(f"periodic: {name!r} is not honoured by {type(method).__name__}", fix)


def _honoured(method: Method, grid: Grid, parameters: Parameters | None) -> Collection[Role]:
    if isinstance(method, ClosesAxes):
        return method.closed_axes(grid, parameters)
    return ()
