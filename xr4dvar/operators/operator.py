"""What an observation operator is: a part that is bound to the cells of a patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xr4dvar.arguments import shown
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.operators.cells import Cells
from xr4dvar.registry import register
from xr4dvar.types import BoolArray, Role

__all__ = ["Composed", "Operator", "check_operator", "is_mask", "other_fields"]


class Operator:
    """Base class of observation operators H: from a field to what is observed of it.

    An operator is a frozen dataclass, its own configuration, with a method `bind`. Observations
    are on the grid of the state: what is observed lies in the cell that it is nearest to, and
    the other cells are missing. The K observed fields are those of the V variables of the state,
    unless `states` says otherwise. Axes of the fields that it is given ascend.

    Attributes
    ----------
    linear : bool
        Whether ``H(a x + b z) = a H(x) + b H(z)``.
    other_grid : bool
        Whether observations may be on another grid than the state.
    reads_places : bool
        Whether they have places of their own, and are given as `xr4dvar.Observations`.
    """

    linear: ClassVar[bool] = True
    other_grid: ClassVar[bool] = False
    reads_places: ClassVar[bool] = False

    def states(self, names: Sequence[str]) -> tuple[str, ...]:
        """Variables of the state, of which fields of these names are observed: the same ones."""
        return tuple(names)

    def fields(self, names: Sequence[str]) -> tuple[str, ...]:
        """Names of the observed fields, in the order in which `bind` gives them."""
        return tuple(names)

    def fields_of(self, state: str, names: Sequence[str]) -> tuple[str, ...]:
        """Names of the observed fields, of these names, that a variable of the state gives."""
        return (state,) if state in names else self.fields(names)

    def check_units(self, units: Mapping[str, str], problems: Problems) -> dict[str, str]:
        """Units of the variables of the state, from those of the observed fields.

        Parameters
        ----------
        units : mapping of str to str
            Unit of each field, "" where it is not known.
        problems : Problems
            Gets those in which nothing can be observed.
        """
        return dict(units)

    def check(self, grid: Grid, names: Sequence[str], problems: Problems) -> None:
        """Note settings that cannot be used on a grid of the state."""

    def reach(self, grid: Grid) -> dict[Role, int]:
        """Cells to either side that an observation depends on, along each of its axes.

        Along other axes each cell is observed by itself. Default: all cells of all axes, which
        methods then must not cut.
        """
        return {role: grid[role].size for role in grid.roles}

    def roles(self, grid: Grid) -> tuple[Role, ...]:
        """Axes along which an observation depends on more cells than its own."""
        return tuple(self.reach(grid))

    def joins_variables(self, grid: Grid, names: Sequence[str]) -> bool:
        """Whether what is observed of a variable depends on others, or on which one it is."""
        return False

    def anchors(self, grid: Grid, problems: Problems) -> dict[Role, Any]:
        """Number of the cell that stands for each observation, along each axis that differs.

        Parameters
        ----------
        grid : Grid
            Of the state, with that of the observations as `Grid.observed`.
        problems : Problems
            Gets axes that do not fit.
        """
        return {}

    def bind(self, cells: Cells) -> Any:
        """Give H of the cells of a patch.

        Returns
        -------
        callable or Bound
            From states (B, V, T, Y, X) to observations (B, K, T, Y, X). Without a method
            ``adjoint`` of its own it is differentiated by torch.
        """
        raise NotImplementedError

    def seen(self, cells: Cells) -> BoolArray | None:
        """Cells whose observations depend on nothing outside the patch. None: all.

        Of the shape (T, Y, X), or (K, T, Y, X) where fields differ.
        """
        return None

    def __matmul__(self, first: Operator) -> Operator:
        """Apply another one first."""
        return Composed(self, first)


@register
@dataclass(frozen=True)
class Composed(Operator):
    """One operator after another: ``last @ first``.

    Examples
    --------
    >>> blur = xv.operators.Blur(length={"lon": 1.0})
    >>> xv.operators.Mask() @ blur == xv.operators.Composed(xv.operators.Mask(), blur)
    True
    """

    last: Operator
    first: Operator

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """Whether both are."""
        return self.last.linear and self.first.linear

    @property
    def other_grid(self) -> bool:  # type: ignore[override]
        """Whether the last one gives observations on another grid."""
        return self.last.other_grid

    @property
    def reads_places(self) -> bool:  # type: ignore[override]
        """Whether the last one observes at places of its own."""
        return self.last.reads_places

    def states(self, names: Sequence[str]) -> tuple[str, ...]:
        """What the first observes, to give the state of the last."""
        return self.first.states(self.last.states(names))

    def fields(self, names: Sequence[str]) -> tuple[str, ...]:
        """Names of the fields, in the order of the operator that has one."""
        return self.first.fields(self.last.fields(names))

    def check_units(self, units: Mapping[str, str], problems: Problems) -> dict[str, str]:
        """Units of the variables of the state."""
        return self.first.check_units(self.last.check_units(units, problems), problems)

    def check(self, grid: Grid, names: Sequence[str], problems: Problems) -> None:
        """Note what is wrong with either."""
        if check_operator(self.last, grid, names, problems, "last"):
            check_operator(self.first, grid, self.last.states(names), problems, "first")
        if getattr(self.first, "other_grid", False):
            what = f"{type(self.first).__name__} gives another grid, and another operator follows"
            problems.add(what, "let it be the last, BlockMean() @ Blur(...)")

    def reach(self, grid: Grid) -> dict[Role, int]:
        """The sum of both."""
        last, first = self.last.reach(grid), self.first.reach(grid)
        return {role: last.get(role, 0) + first.get(role, 0) for role in {**last, **first}}

    def joins_variables(self, grid: Grid, names: Sequence[str]) -> bool:
        """Whether either does."""
        pairs = (self.last, names), (self.first, self.last.states(names))
        return any(part.joins_variables(grid, own) for part, own in pairs)

    def anchors(self, grid: Grid, problems: Problems) -> dict[Role, Any]:
        """Number of the cell that stands for each observation, as of the last."""
        return self.last.anchors(grid, problems)

    def bind(self, cells: Cells) -> Any:
        """Give the two in turn."""
        from xr4dvar.operators.binding import as_bound
        from xr4dvar.operators.bound import InTurn

        last, first = (
            as_bound(part.bind(cells), linear=part.linear) for part in (self.last, self.first)
        )
        return InTurn(last, first)

    def seen(self, cells: Cells) -> BoolArray | None:
        """Cells whose observations both know."""
        last, first = self.last.seen(cells), self.first.seen(cells)
        if first is None:
            return last
        # an observation of cells that the first does not know is not known either
        from xr4dvar.operators.binding import depends_on

        lost = depends_on(self.last, cells, np.any(~first.reshape(-1, *cells.shape), axis=0))
        return ~lost if last is None else last & ~lost


def is_mask(operator: object) -> bool:
    """Whether observations are the field itself, where it was observed."""
    from xr4dvar.operators.mask import Mask

    return operator is None or isinstance(operator, Mask)


def other_fields(operator: Operator) -> tuple[str, ...]:
    """Names of the observed fields, where these are others than the variables of the state."""
    fields = operator.fields([])
    return () if fields == operator.states([]) else fields


def check_operator(
    operator: object, grid: Grid, names: Sequence[str], problems: Problems, what: str = "operator"
) -> bool:
    """Note what is no observation operator, or one that the grid does not allow."""
    if isinstance(operator, type) or not isinstance(operator, Operator):
        fix = "give one of xr4dvar.operators, such as Blur(length={'lat': '30 km', 'lon': '30 km'})"
        problems.add(f"{what} is {shown(operator)}, no observation operator", fix)
        return False
    before = len(problems.found)
    operator.check(grid, names, problems)
    return len(problems.found) == before
