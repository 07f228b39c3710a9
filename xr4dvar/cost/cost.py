r"""The variational cost: terms that add up.

.. math:: U(x) = \tfrac12\sum_{\text{observed}} \frac{(y - H(x))^2}{R}
                + \tfrac12\sum_{\text{cells}} \frac{(x - \Phi(x))^2}{Q} + \dots

R and Q are variances, so nobody guesses weights: a term is a negative log-likelihood. Sums run
over the cells of each sample by itself: what else is in the batch, and how large the patch is,
never changes the gradient at a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from xr4dvar.cost.batch import Batch
from xr4dvar.errors import InputError

__all__ = [
    "BackgroundTerm",
    "Cost",
    "LeastSquares",
    "ObservationTerm",
    "PriorTerm",
    "Variance",
    "half_squares",
]


@runtime_checkable
class LeastSquares(Protocol):
    """A term of a cost that is half a sum of squares.

    Examples
    --------
    >>> from xr4dvar.cost import BackgroundTerm, LeastSquares, Variance
    >>> isinstance(BackgroundTerm(Variance(1.0)), LeastSquares)
    True
    """

    def residuals(self, x: Tensor, batch: Batch) -> Tensor:
        """What is squared, in units of its standard error, shape (B, ...)."""


def half_squares(residuals: Tensor) -> Tensor:
    """Half the sum of the squares of each sample, shape (B,)."""
    return 0.5 * (residuals**2).flatten(1).sum(1)


class Variance(nn.Module):
    """A variance per variable or cell, in the state's units squared; learned when asked to be.

    Parameters
    ----------
    value : float, sequence of float, shape (V,), or nested sequence, shape (V, T, Y, X)
        The (first) variance of each variable; or of each cell, where a size of 1 stands for all.
    learned : bool
        Whether training may change it; its logarithm is then a parameter.
    dtype : torch.dtype
        Of the logarithm, and of the variance.

    Raises
    ------
    InputError
        A variance is not positive and finite.

    Examples
    --------
    >>> from xr4dvar.cost import Variance
    >>> Variance([4.0, 9.0])().shape
    torch.Size([2, 1, 1, 1])
    """

    def __init__(
        self,
        value: float | Sequence[Any],
        *,
        learned: bool = False,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        values = torch.as_tensor(value, dtype=torch.float64)
        if values.ndim < 4:
            values = values.reshape(-1)
        kept = values.to(dtype)
        if not values.numel() or not bool((torch.isfinite(kept) & (kept > 0)).all()):
            raise InputError([(f"variance is {value}", "give positive variances")])
        self.log = nn.Parameter(values.log().to(dtype), requires_grad=learned)
        self.learned = learned

    def forward(self) -> Tensor:
        """Give the variance, shape (V, 1, 1, 1) or (V, T, Y, X)."""
        variance = self.log.exp()
        return variance if variance.ndim == 4 else variance[:, None, None, None]


class ObservationTerm(nn.Module):
    """Half the sum of ``(y - H(x))^2 / R`` over what was observed, with the batch's H.

    Parameters
    ----------
    variance : Variance
        R.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import Batch, ObservationTerm, Variance
    >>> batch = Batch.from_gappy(torch.tensor([2.0, float("nan")]).view(1, 1, 1, 1, 2))
    >>> ObservationTerm(Variance(4.0))(torch.zeros(1, 1, 1, 1, 2), batch)
    tensor([0.5000])
    """

    def __init__(self, variance: Variance):
        super().__init__()
        self.variance = variance

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """Cost of each sample, shape (B,)."""
        return half_squares(self.residuals(x, batch))

    def residuals(self, x: Tensor, batch: Batch) -> Tensor:
        """Misfits in units of their standard errors, 0 where nothing was observed."""
        misfit: Tensor = batch.weight.sqrt() * batch.misfit(x) / self.variance().sqrt()
        return misfit


class PriorTerm(nn.Module):
    """Half the sum of ``(x - Phi(x))^2 / Q`` over all cells.

    Parameters
    ----------
    prior : Module
        Phi, of a state (B, V, T, Y, X) and a context.
    variance : Variance
        Q.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import Batch, PriorTerm, Variance
    >>> from xr4dvar.priors import EOFProjection
    >>> prior = EOFProjection(torch.zeros(1, 1, 1, 2), torch.tensor([1.0, 0.0]).view(1, 1, 1, 1, 2))
    >>> x = torch.tensor([5.0, 2.0]).view(1, 1, 1, 1, 2)  # the mode holds the first cell alone
    >>> PriorTerm(prior, Variance(1.0))(x, Batch.from_gappy(x))
    tensor([2.])
    """

    def __init__(self, prior: nn.Module, variance: Variance):
        super().__init__()
        self.prior = prior
        self.variance = variance

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """Cost of each sample, shape (B,)."""
        return half_squares(self.residuals(x, batch))

    def residuals(self, x: Tensor, batch: Batch) -> Tensor:
        """What the prior would change, in units of its standard error."""
        expected = self.prior(x, batch.context)
        if batch.forcing is not None:
            expected = expected + batch.forcing
        change: Tensor = (x - expected) / self.variance().sqrt()
        return change


class BackgroundTerm(nn.Module):
    """Half the sum of ``x^2 / B`` over all cells, for a state that is an increment.

    Parameters
    ----------
    variance : Variance
        B.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import BackgroundTerm, Batch, Variance
    >>> x = torch.full((1, 1, 1, 1, 1), 3.0)
    >>> BackgroundTerm(Variance(9.0))(x, Batch.from_gappy(x))
    tensor([0.5000])
    """

    def __init__(self, variance: Variance):
        super().__init__()
        self.variance = variance

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """Cost of each sample, shape (B,)."""
        return half_squares(self.residuals(x, batch))

    def residuals(self, x: Tensor, batch: Batch) -> Tensor:
        """Increments in units of the background's standard error."""
        anomaly = x if batch.mean is None else x - batch.mean
        increments: Tensor = anomaly / self.variance().sqrt()
        return increments


class Cost(nn.Module):
    """A sum of terms, each a module ``(x, batch) -> cost of each sample, shape (B,)``.

    Examples
    --------
    >>> import torch
    >>> cost = Cost([ObservationTerm(Variance(4.0))])
    >>> batch = Batch.from_gappy(torch.full((1, 1, 1, 1, 3), 2.0))
    >>> cost(torch.zeros(1, 1, 1, 1, 3), batch)
    tensor([1.5000])
    """

    def __init__(self, terms: Sequence[nn.Module]):
        super().__init__()
        self.terms = nn.ModuleList(terms)

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """Cost of each sample, shape (B,)."""
        return torch.stack([term(x, batch) for term in self.terms]).sum(0)

    def value_and_gradient(
        self, x: Tensor, batch: Batch, *, differentiable: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Cost of each sample, shape (B,), and its gradient, of the shape of `x`.

        Parameters
        ----------
        x : Tensor, shape (B, V, T, Y, X)
        batch : Batch
        differentiable : bool
            Keep the graph, so that training can differentiate through both.
        """
        with torch.enable_grad():
            if not x.requires_grad:
                x = x.detach().requires_grad_()
            value: Tensor = self(x, batch)
            (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=differentiable)
        return (value if differentiable else value.detach()), gradient

    def gradients(self, x: Tensor, batch: Batch, *, differentiable: bool = False) -> list[Tensor]:
        """Gradient of each term with respect to `x`, in the order of the terms.

        Parameters
        ----------
        x : Tensor, shape (B, V, T, Y, X)
        batch : Batch
        differentiable : bool
            Keep the graph, so that training can differentiate through the gradient.
        """
        with torch.enable_grad():
            if not x.requires_grad:
                x = x.detach().requires_grad_()
            return [
                torch.autograd.grad(term(x, batch).sum(), x, create_graph=differentiable)[0]
                for term in self.terms
            ]
