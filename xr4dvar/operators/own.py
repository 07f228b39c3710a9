"""Operators of the user's own: a matrix, or a function of torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xr4dvar.arguments import shown
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid
from xr4dvar.operators.cells import Cells
from xr4dvar.operators.operator import Operator
from xr4dvar.registry import register
from xr4dvar.types import Role

__all__ = ["Function", "Linear"]

#: Difference, over the size of the products, by which an adjoint may miss the dot product.
ADJOINT = 1e-8


@register
@dataclass(frozen=True)
class Function(Operator):
    """A function of the field, which torch can differentiate; it need not be linear.

    Parameters
    ----------
    function : callable
        From torch tensors (B, V, T, Y, X) to tensors of that shape, each sample by itself.

    Examples
    --------
    >>> import torch
    >>> xv.operators.Function(torch.exp).linear
    False
    """

    function: Callable[[Any], Any]

    linear: ClassVar[bool] = False

    def check(self, grid: Grid, names: Sequence[str], problems: Problems) -> None:
        """Note what is no function, or gives another shape."""
        function: object = self.function
        if not callable(function):
            fix = "give a function of torch tensors (batch, variable, time, y, x)"
            problems.add(f"function is {shown(self.function)}", fix)
            return
        with problems.collect():
            _try(function, "function", _shape(grid, names))

    def bind(self, cells: Cells) -> Any:
        """Give the function."""
        return self.function


@register
@dataclass(frozen=True)
class Linear(Operator):
    """A matrix of the components along x, or a linear function of the field.

    Parameters
    ----------
    matrix : array-like of float, shape (n, n), or callable
        Rows: what is observed in place of each of the n components (cells along x), rows of zeros
        where nothing is; or a function as of `Function`, that is linear.
    adjoint : callable, optional
        The transposed function. Not given: by differentiation.

    Examples
    --------
    >>> sums = xv.operators.Linear([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> sums.linear
    True
    """

    matrix: Sequence[Sequence[float]] | Callable[[Any], Any]
    adjoint: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        matrix: Any = self.matrix
        if not callable(matrix):
            rows = tuple(tuple(np.asarray(row, dtype=float).tolist()) for row in matrix)
            object.__setattr__(self, "matrix", rows)

    def check(self, grid: Grid, names: Sequence[str], problems: Problems) -> None:
        """Note a matrix of another shape, and an adjoint that is none."""
        if not callable(self.matrix):
            size = grid["x"].size if "x" in grid.roles else 1
            shape = np.shape(np.asarray(self.matrix, dtype=float))
            if shape != (size, size):
                what = f"matrix has the shape {shape}, the data have {size} components along x"
                problems.add(what, f"give {size} x {size} numbers, zeros where nothing is observed")
            elif self.adjoint is not None:
                problems.add("adjoint is given with a matrix", "leave it out: it is the transpose")
            return
        with problems.collect():
            _check_linear(self.matrix, self.adjoint, _shape(grid, names))

    def roles(self, grid: Grid) -> Collection[Role]:
        """Along x, of a matrix."""
        return grid.roles if callable(self.matrix) else ("x",)

    def bind(self, cells: Cells) -> Any:
        """Give the matrix, or the function."""
        import torch

        from xr4dvar.operators.bound import AlongAxes, ByGradient

        if callable(self.matrix):
            return ByGradient(self.matrix, self.adjoint, linear=True)
        return AlongAxes({-1: torch.tensor(self.matrix, dtype=torch.float64)})


def joins_times(operator: Operator, grid: Grid, names: Sequence[str]) -> bool:
    """Whether observations of one time may depend on the field at others."""
    own: Any = getattr(operator, "function", None) or getattr(operator, "matrix", None)
    if not (isinstance(operator, Function | Linear) and callable(own)):
        return "time" in operator.roles(grid)
    x, both = _try(own, "the function", _shape(grid, names))
    first = own(x[:, :, :1])
    return not bool((both[:, :, :1] - first).abs().max() <= ADJOINT * (1 + first.abs().max()))


def _shape(grid: Grid, names: Sequence[str]) -> tuple[int, ...]:
    """Shape of two times of a field on the grid."""
    y, x = (grid[role].size if role in grid.roles else 1 for role in ("y", "x"))
    return 1, len(names), 2, y, x


def _try(function: Callable[[Any], Any], what: str, shape: tuple[int, ...], seed: int = 0) -> Any:
    """Apply a user's function to a small field, and give both."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, dtype=torch.float64, generator=generator)
    try:
        y = function(x)
    except Exception as error:  # whatever the user's function may raise
        fix = "it gets torch tensors (batch, variable, time, y, x)"
        raise InputError([(f"{what} fails on a field of shape {shape}: {error}", fix)]) from error
    if getattr(y, "shape", None) != x.shape:
        have = tuple(getattr(y, "shape", ())) or type(y).__name__
        what = f"{what} turns a field of shape {shape} into {have}"
        raise InputError([(what, "give what is observed in the shape of the field")])
    return x, y


def _check_linear(
    function: Callable[[Any], Any], adjoint: Callable[[Any], Any] | None, shape: tuple[int, ...]
) -> None:
    x, y = _try(function, "matrix", shape)
    z, other = _try(function, "matrix", shape, seed=1)
    both = function(2.0 * x + z)
    if float((both - 2.0 * y - other).abs().max()) > ADJOINT * float(both.abs().max() + 1):
        what = "the function given as matrix= is not linear"
        raise InputError([(what, "use xr4dvar.operators.Function for it")])
    if adjoint is None:
        return
    _, back = _try(adjoint, "adjoint", shape, seed=1)
    left, right = float((y * z).sum()), float((x * back).sum())
    if abs(left - right) > ADJOINT * (abs(left) + float(y.norm() * z.norm())):
        what = f"adjoint is not that of matrix: <Hx, y> is {left:g}, <x, H'y> {right:g}"
        raise InputError([(what, "correct it, or leave it out: torch differentiates")])
