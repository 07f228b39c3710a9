"""The field itself, where it was observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xr4dvar.labels import Grid
from xr4dvar.operators.cells import Cells
from xr4dvar.operators.operator import Operator
from xr4dvar.registry import register
from xr4dvar.types import Role

__all__ = ["Mask"]


@register
@dataclass(frozen=True)
class Mask(Operator):
    """Observations are the field itself, where it was observed: interpolation.

    Examples
    --------
    >>> oi = xv.OptimalInterpolation(length={"time": "7D"})
    >>> oi.operator
    Mask()
    """

    def reach(self, grid: Grid) -> dict[Role, int]:
        """None: each cell by itself."""
        return {}

    def bind(self, cells: Cells) -> Any:
        """Leave states as they are."""
        from xr4dvar.operators.bound import AlongAxes

        return AlongAxes({})
