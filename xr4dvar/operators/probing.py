"""Trying out functions that users give as operators: shapes, types, what they join, adjoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from xr4dvar.errors import InputError
from xr4dvar.labels import Grid
from xr4dvar.types import ROLES, Role

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["check_linear", "joined_axes", "joins_variables", "try_function"]

#: Difference, over the size of what is compared, that is rounding.
ROUNDING = 1e-8
#: Cells along an axis that a function is tried on, where its size does not matter.
TIMES = 5


def try_function(
    function: Callable[[Any], Any], what: str, grid: Grid, names: Sequence[str], seed: int = 0
) -> tuple[Tensor, Tensor]:
    """A random field of some times of a grid, and what a user's function makes of it.

    Raises
    ------
    InputError
        It fails, in double or in single precision, or gives another shape or type.
    """
    import torch

    y, x = (grid[role].size if role in grid.roles else 1 for role in ("y", "x"))
    shape = 1, len(names), TIMES if "time" in grid.roles else 1, y, x
    generator = torch.Generator().manual_seed(seed)
    field = torch.randn(shape, dtype=torch.float64, generator=generator)
    for dtype in (torch.float32, torch.float64):
        try:
            found = function(field.to(dtype))
        except Exception as error:  # whatever the user's function may raise
            what = f"{what} fails on a field of shape {shape}, {dtype}: {error}"
            fix = (
                "it gets torch tensors (batch, variable, time, y, x); take others to them, a.to(x)"
            )
            raise InputError([(what, fix)]) from error
        if getattr(found, "shape", None) != field.shape:
            have = tuple(getattr(found, "shape", ())) or type(found).__name__
            what = f"{what} turns a field of shape {shape} into {have}"
            raise InputError([(what, "give what is observed in the shape of the field")])
    return field, found


def joined_axes(function: Callable[[Any], Any], grid: Grid) -> tuple[Role, ...]:
    """Axes along which what is observed of a cell depends on other cells.

    All, of a function that takes neither one, two nor three variables.
    """
    for count in (1, 2, 3):
        try:
            field, found = try_function(function, "function", grid, ["x"] * count)
        except InputError:
            continue
        return tuple(role for role in grid.roles if _joins(function, field, found, role))
    return grid.roles


def _joins(function: Callable[[Any], Any], field: Tensor, found: Tensor, role: Role) -> bool:
    """Whether another value in the middle of an axis changes what is observed beside it."""
    axis = ROLES.index(role) + 2
    middle = field.shape[axis] // 2
    other = field.clone()
    other.select(axis, middle).neg_().add_(1.0)
    change = (function(other) - found).abs()
    change.select(axis, middle).zero_()
    return not float(change.max()) <= ROUNDING * (1 + float(found.abs().max()))


def joins_variables(function: Callable[[Any], Any], grid: Grid, names: Sequence[str]) -> bool:
    """Whether what is observed of one variable depends on others, or on which one it is."""
    field, found = try_function(function, "function", grid, names)
    for v in range(len(names)):
        try:
            alone = function(field[:, v : v + 1])
        except Exception:  # it needs the others
            return True
        if alone.shape != found[:, v : v + 1].shape:
            return True
        gap = float((alone - found[:, v : v + 1]).abs().max())
        if not gap <= ROUNDING * (1 + float(found.abs().max())):
            return True
    return False


def check_linear(
    function: Callable[[Any], Any],
    adjoint: Callable[[Any], Any] | None,
    grid: Grid,
    names: Sequence[str],
) -> None:
    """Raise where a function is not linear, or another one is not its adjoint."""
    x, y = try_function(function, "matrix", grid, names)
    z, other = try_function(function, "matrix", grid, names, seed=1)
    both = function(2.0 * x + z)
    if not float((both - 2.0 * y - other).abs().max()) <= ROUNDING * float(both.abs().max() + 1):
        what = "the function given as matrix= is not linear"
        raise InputError([(what, "use xr4dvar.operators.Function for it")])
    if adjoint is None:
        return
    _, back = try_function(adjoint, "adjoint", grid, names, seed=1)
    left, right = float((y * z).sum()), float((x * back).sum())
    if not abs(left - right) <= ROUNDING * (abs(left) + float(y.norm() * z.norm())):
        what = f"adjoint is not that of matrix: <Hx, y> is {left:g}, <x, H'y> {right:g}"
        raise InputError([(what, "correct it, or leave it out: torch differentiates")])
