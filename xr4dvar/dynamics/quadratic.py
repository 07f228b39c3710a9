"""The tendency whose components are polynomials of second degree."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["QuadraticTendency"]


class QuadraticTendency(nn.Module):
    """``f(x) = c + A x + B(x, x)``: a constant, a linear and a quadratic part, all learned.

    The bilinear networks of Fablet et al. (2018), a linear layer beside products of linear
    layers, are of this family; here each function of it has one set of coefficients, so that
    those that were found can be held against those that are known.

    Parameters
    ----------
    n : int
        Components of a state. All coefficients start at zero.

    References
    ----------
    Fablet, Ouala and Herzet 2018, https://doi.org/10.23919/EUSIPCO.2018.8553492;
    https://arxiv.org/abs/1712.07003

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import QuadraticTendency
    >>> tendency = QuadraticTendency(2)
    >>> tendency.pairs
    [(0, 0), (0, 1), (1, 1)]
    >>> _ = tendency.quadratic.data[0].copy_(torch.tensor([0.0, 1.0, 0.0]))
    >>> tendency(torch.tensor([2.0, 3.0])).tolist()
    [6.0, 0.0]
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, n: int):
        super().__init__()
        rows, columns = torch.triu_indices(n, n)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self.constant = nn.Parameter(torch.zeros(n, dtype=torch.float64))
        self.linear = nn.Parameter(torch.zeros(n, n, dtype=torch.float64))
        self.quadratic = nn.Parameter(torch.zeros(n, len(rows), dtype=torch.float64))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Components whose product each column of ``quadratic`` is the coefficient of."""
        return list(zip(self.rows.tolist(), self.columns.tolist(), strict=True))

    def features(self, x: Tensor) -> Tensor:
        """One, components and products of states (..., n), shape (..., 1 + n + n (n + 1) / 2)."""
        one = torch.ones_like(x[..., :1])
        return torch.cat([one, x, self._products(x)], -1)

    def forward(self, x: Tensor) -> Tensor:
        """Give the tendency of states (..., n), in their precision."""
        linear = torch.nn.functional.linear
        constant = self.constant.to(x.dtype)
        quadratic = linear(self._products(x), self.quadratic.to(x.dtype))
        return linear(x, self.linear.to(x.dtype), constant) + quadratic

    def _products(self, x: Tensor) -> Tensor:
        return x.index_select(-1, self.rows) * x.index_select(-1, self.columns)

    def set_weights(self, weights: Tensor) -> None:
        """Take coefficients of the features, shape (n, features)."""
        n = len(self.constant)
        with torch.no_grad():
            self.constant.copy_(weights[:, 0])
            self.linear.copy_(weights[:, 1 : 1 + n])
            self.quadratic.copy_(weights[:, 1 + n :])

    def linearise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Derivative at states (..., n), shape (..., n, n), and the tendency."""
        n = x.shape[-1]
        with torch.no_grad():
            full = x.new_zeros(n, n, n)
            full[:, self.rows, self.columns] = self.quadratic.to(x.dtype)
            both = full + full.mT  # a square has two derivatives that are alike
            derivative = self.linear.to(x.dtype) + torch.einsum("ijk,...k->...ij", both, x)
            return derivative, self(x)
