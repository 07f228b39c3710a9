"""A few empirical orthogonal functions of whole windows as a prior."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from xr4dvar.arguments import check_count
from xr4dvar.errors import Problems
from xr4dvar.registry import register

__all__ = ["EOFProjection", "EOFs"]


@register
@dataclass(frozen=True)
class EOFs:
    """Empirical orthogonal functions of whole windows: a likely state is made of a few of them.

    Patterns in space and time, all variables and places of some times in a row, by a singular
    value decomposition of the target's windows about their mean.

    Parameters
    ----------
    modes : int
        How many.

    References
    ----------
    Weare and Nasstrom 1982, https://doi.org/10.1175/1520-0493(1982)110%3C0481:EOEEOF%3E2.0.CO;2

    Examples
    --------
    >>> xv.EOFs(modes=5)
    EOFs(modes=5)
    """

    modes: int = 10

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_count("modes", self.modes, problems)


class EOFProjection(nn.Module):
    r"""``Phi(x) = m + E E'(x - m)``: the nearest state that is made of a few modes.

    A state is a whole window, all variables, times and places of it: the modes are patterns in
    space and time (extended EOFs).

    Parameters
    ----------
    mean : Tensor, shape (V, T, Y, X)
        m.
    modes : Tensor, shape (K, V, T, Y, X)
        Columns of E, orthonormal.

    References
    ----------
    Weare and Nasstrom 1982, https://doi.org/10.1175/1520-0493(1982)110%3C0481:EOEEOF%3E2.0.CO;2

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.priors import EOFProjection
    >>> prior = EOFProjection(torch.zeros(1, 1, 1, 2), torch.tensor([0.6, 0.8]).view(1, 1, 1, 1, 2))
    >>> prior(torch.tensor([5.0, 0.0]).view(1, 1, 1, 1, 2)).flatten().tolist()
    [1.8..., 2.4...]
    """

    mean: Tensor
    modes: Tensor

    def __init__(self, mean: Tensor, modes: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("modes", modes)

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Amplitudes of the modes (B, K) in states (B, V, T, Y, X)."""
        z: Tensor = (x - self.mean).flatten(1) @ self.modes.flatten(1).mT
        return z

    def decode(self, z: Tensor) -> Tensor:
        """States (B, V, T, Y, X) of amplitudes (B, K)."""
        anomaly: Tensor = (z @ self.modes.flatten(1)).unflatten(1, self.mean.shape)
        return self.mean + anomaly

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Give Phi(x); the context is of no use."""
        return self.decode(self.encode(x))
