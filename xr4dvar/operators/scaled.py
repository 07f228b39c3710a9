"""Observation operators of scaled fields."""

from __future__ import annotations

from torch import Tensor

from xr4dvar.operators.bound import Bound

__all__ = ["InUnits"]


class InUnits:
    """H of a field in units of a spread about an offset: ``(H(m + s x) - H(m)) / r``.

    Parameters
    ----------
    operator : Bound
        H of fields in the data's own units.
    offset : Tensor, shape (B, V, T, Y, X)
        m.
    spread : Tensor
        s, one number for each variable, or for all.
    unit : Tensor, optional
        r, one number for each observed field, where these are others than the variables. Default:
        s.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.operators.bound import ByGradient
    >>> from xr4dvar.operators.scaled import InUnits
    >>> square = InUnits(ByGradient(torch.square), torch.tensor([3.0]), torch.tensor(2.0))
    >>> square(torch.ones(1)).item()  # (25 - 9) / 2
    8.0
    """

    def __init__(self, operator: Bound, offset: Tensor, spread: Tensor, unit: Tensor | None = None):
        self.operator, self.offset, self.spread = operator, offset, spread
        self.unit = spread if unit is None else unit
        self.base = operator(offset)

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to a scaled field."""
        spread, unit = self.spread.to(x), self.unit.to(x)
        if self.operator.linear:  # no digit is lost to the offset
            return self.operator(spread * x) / unit
        return (self.operator(self.offset.to(x) + spread * x) - self.base.to(x)) / unit

    def scaled(self, y: Tensor) -> Tensor:
        """Observations in the data's units as those of a scaled field."""
        return (y - self.base) / self.unit

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed operator, of a linear one."""
        back: Tensor = self.operator.adjoint(y / self.unit.to(y)) * self.spread.to(y)
        return back

    def take(self, index: Tensor) -> InUnits:
        """That of some of the samples."""
        part = object.__new__(InUnits)
        part.operator = self.operator.take(index)
        part.spread, part.unit = self.spread, self.unit
        part.offset, part.base = self.offset[index], self.base[index]
        return part
