"""Equations whose right sides are polynomials of second degree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from xr4dvar.dynamics.integrators import Flow, Step
from xr4dvar.dynamics.model import check_components, check_scheme, known_components
from xr4dvar.dynamics.scaled import Scaled
from xr4dvar.errors import InputError, Problems
from xr4dvar.registry import register

__all__ = ["QuadraticODE", "QuadraticTendency"]

#: Components from which the coefficients of all products are too many.
MOST_COMPONENTS = 60


@register
@dataclass(frozen=True)
class QuadraticODE:
    """An equation that is learned, ``dx/dt = c + A x + B(x, x)``: the bilinear model.

    `fit` finds all coefficients, from a target or from the observations; `Model.coefficients`
    gives them.

    Parameters
    ----------
    dt : float
        Longest step of the integration, in the units of the time axis (days, of dates).
    scheme : {"rk4", "euler"}
    components : int, optional
        Numbers of a state; default: those of the data.

    References
    ----------
    Fablet, Ouala and Herzet 2018, https://arxiv.org/abs/1712.07003

    Examples
    --------
    >>> ds = xv.datasets.lorenz63(windows=3, steps=100)
    >>> method = xv.FourDVar(xv.QuadraticODE(dt=0.01), error_variance=2.0)
    >>> model = ds.obs.fourdvar.fit(method, target=ds.truth)
    >>> found = model.coefficients
    >>> round(float(found.linear.sel(component="y", of="x")), 1)
    28.0
    >>> round(float(found.quadratic.sel({"component": "z", "of": "x", "with": "y"})), 2)
    1.0
    """

    dt: float
    scheme: str = "rk4"
    components: int | None = None

    learned: ClassVar[bool] = True

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_scheme(self.dt, self.scheme, problems)
        check_components(self.components, problems)

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later: at first, to themselves."""
        n = known_components(self)
        if n > MOST_COMPONENTS:
            what = (
                f"QuadraticODE has {n * (n + 1) * (n + 2) // 2:,} coefficients for {n} components"
            )
            fix = f"give at most {MOST_COMPONENTS}, such as amplitudes of the leading patterns"
            raise InputError([(what, fix)])
        tendency = Scaled(QuadraticTendency(n), n, 1 / interval)
        return Flow(tendency, interval, self.scheme, substeps)


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
