"""Operators of the user's own: a matrix, or a function of torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xr4dvar.arguments import as_numbers, shown
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.operators.cells import Cells
from xr4dvar.operators.operator import Operator
from xr4dvar.operators.probing import check_linear, joined_axes, joins_variables, try_function
from xr4dvar.operators.weights import bound_weights, seen_rows
from xr4dvar.registry import register
from xr4dvar.types import ROLES, BoolArray, FloatArray, Role

__all__ = ["Function", "Linear"]


@register
@dataclass(frozen=True)
class Function(Operator):
    """A function of the field, which torch can differentiate; it need not be linear.

    Parameters
    ----------
    function : callable
        From torch tensors (B, V, T, Y, X), float32 or float64, to tensors of that shape, each
        sample by itself; axes run as in the data. A function that joins cells sees all cells of
        the axes along which it does: methods that cut these into patches refuse it.

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
            problems.add(f"function is {shown(function)}", fix)
            return
        with problems.collect():
            try_function(function, "function", grid, names)

    def reach(self, grid: Grid) -> dict[Role, int]:
        """All cells of the axes along which it joins them."""
        return {role: grid[role].size for role in joined_axes(self.function, grid)}

    def joins_variables(self, grid: Grid, names: Sequence[str]) -> bool:
        """Whether it tells variables apart."""
        return joins_variables(self.function, grid, names)

    def bind(self, cells: Cells) -> Any:
        """Give the function, of fields whose axes run as in the data."""
        return _turned(self.function, cells.grid)


@register
@dataclass(frozen=True)
class Linear(Operator):
    """A matrix of the components along x, or a linear function of the field.

    Parameters
    ----------
    matrix : array-like of float, shape (n, n), or callable
        Rows: what is observed in place of each of the n components (cells along x, in the order of
        the data), rows of zeros where nothing is; or a function as of `Function`, that is linear.
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
        numbers = None if callable(self.matrix) else as_numbers(self.matrix)
        if numbers is not None and numbers.ndim == 2:
            object.__setattr__(self, "matrix", tuple(map(tuple, numbers.tolist())))

    def check(self, grid: Grid, names: Sequence[str], problems: Problems) -> None:
        """Note a matrix that is none or of another shape, and an adjoint that is none."""
        if callable(self.matrix):
            with problems.collect():
                check_linear(self.matrix, self.adjoint, grid, names)
            return
        size = grid["x"].size if "x" in grid.roles else 1
        numbers = as_numbers(self.matrix)
        fix = f"give {size} x {size} numbers, zeros where nothing is observed"
        if numbers is None or not np.isfinite(numbers).all():
            problems.add(f"matrix is {shown(self.matrix)}, no matrix of finite numbers", fix)
        elif numbers.shape != (size, size):
            what = f"matrix has the shape {numbers.shape}, the data have {size} components along x"
            problems.add(what, fix)
        elif self.adjoint is not None:
            problems.add("adjoint is given with a matrix", "leave it out: it is the transpose")

    def reach(self, grid: Grid) -> dict[Role, int]:
        """All of x, of a matrix; of a function all cells of the axes along which it joins them."""
        joined: tuple[Role, ...] = ("x",)
        if callable(self.matrix):
            joined = joined_axes(self.matrix, grid)
        return {role: grid[role].size for role in joined if role in grid.roles}

    def joins_variables(self, grid: Grid, names: Sequence[str]) -> bool:
        """Whether a function tells variables apart."""
        return callable(self.matrix) and joins_variables(self.matrix, grid, names)

    def bind(self, cells: Cells) -> Any:
        """Give the matrix, or the function."""
        from xr4dvar.operators.bound import ByGradient

        if not callable(self.matrix):
            return bound_weights(self._weights(cells), cells)
        back = None if self.adjoint is None else _turned(self.adjoint, cells.grid)
        return ByGradient(_turned(self.matrix, cells.grid), back, linear=True)

    def seen(self, cells: Cells) -> BoolArray | None:
        """Rows of a matrix whose weights are those of cells of the patch."""
        return None if callable(self.matrix) else seen_rows(self._weights(cells), cells)

    def _weights(self, cells: Cells) -> Mapping[Role, FloatArray]:
        matrix = np.array(self.matrix, dtype=np.float64)
        if "x" not in cells.grid.roles:
            return {"x": matrix} if matrix.size > 1 else {}
        if cells.grid["x"].descending:
            matrix = matrix[::-1, ::-1]
        return {"x": matrix[cells.index("x")]}


def _turned(function: Callable[[Any], Any], grid: Grid) -> Callable[[Any], Any]:
    """A function of fields with axes as in the data, as one of fields whose axes ascend."""
    dims = [ROLES.index(role) - 3 for role in grid.roles if grid[role].descending]
    if not dims:
        return function
    return lambda x: function(x.flip(dims)).flip(dims)
