"""Control in the space of a code: terms of a cost of the code, and its Gaussian."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import LeastSquares, half_squares

__all__ = ["DecodedTerm", "GaussianCode"]


class GaussianCode(nn.Module):
    r"""States from numbers that are independent and of variance 1: ``x = decode(m + L u)``.

    Parameters
    ----------
    prior : Module
        With ``encode(x)``, (B, V, T, Y, X) to (B, K), and ``decode(z)``, the way back.
    mean : Tensor, shape (K,)
        m, of the codes of likely states.
    root : Tensor, shape (K, K)
        L, the Cholesky factor of their covariance.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.priors import EOFProjection, GaussianCode
    >>> flat = EOFProjection(torch.zeros(1, 1, 1, 2), torch.full((1, 1, 1, 1, 2), 0.5**0.5))
    >>> code = GaussianCode(flat, torch.zeros(1), 2 * torch.eye(1))
    >>> code.decode(torch.ones(1, 1, 1, 1, 1)).flatten()
    tensor([1.4142, 1.4142])
    """

    mean: Tensor
    root: Tensor

    def __init__(self, prior: nn.Module, mean: Tensor, root: Tensor):
        super().__init__()
        self.prior = prior
        self.register_buffer("mean", mean)
        self.register_buffer("root", root)

    def decode(self, u: Tensor) -> Tensor:
        """States (B, V, T, Y, X) of numbers u, which solvers see as (B, K, 1, 1, 1)."""
        x: Tensor = self.prior.decode(self.mean + u.flatten(1) @ self.root.mT)  # type: ignore[operator]
        return x

    def encode(self, x: Tensor) -> Tensor:
        """Numbers u of states."""
        anomaly = self.prior.encode(x) - self.mean  # type: ignore[operator]
        u: Tensor = torch.linalg.solve_triangular(self.root, anomaly.mT, upper=False).mT
        return u[..., None, None, None]


class DecodedTerm(nn.Module):
    """A term of the cost of a state, as one of what the state is decoded from.

    Parameters
    ----------
    term : Module
        ``(x, batch) -> cost of each sample``, half a sum of squares.
    decode : callable
        From the control to x.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import Batch, ObservationTerm, Variance
    >>> from xr4dvar.priors import DecodedTerm
    >>> batch = Batch.from_gappy(torch.full((1, 1, 1, 1, 2), 6.0))
    >>> term = DecodedTerm(ObservationTerm(Variance(1.0)), lambda u: u.expand(-1, -1, -1, -1, 2))
    >>> term(torch.full((1, 1, 1, 1, 1), 5.0), batch)
    tensor([1.])
    """

    def __init__(self, term: LeastSquares, decode: Callable[[Tensor], Tensor]):
        super().__init__()
        self.term = term
        self.decode = decode

    def forward(self, u: Tensor, batch: Batch) -> Tensor:
        """Cost of each sample, shape (B,)."""
        return half_squares(self.residuals(u, batch))

    def residuals(self, u: Tensor, batch: Batch) -> Tensor:
        """What is squared."""
        return self.term.residuals(self.decode(u), batch)
