"""The network of a data assimilation network, and the densities that it gives. No labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Architecture", "FilterNetwork", "minus_log_density", "standard_deviation"]

#: Bound of the logarithms of the diagonal of a root of the precision.
LARGEST_LOG = 8.0


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network: numbers of a state, channels of the memory, layers of each block."""

    components: int
    width: int
    depth: int


class FilterNetwork(nn.Module):
    r"""From observations in their order to a Gaussian before and after each.

    With h the memory, :math:`h^b_t = b(h^a_{t-1})`, :math:`h^a_t = a(h^b_t, y_t)`, and a Gaussian
    c(h) of each. a and b are residual; their last maps start at zero.
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        n, width, depth = architecture.components, architecture.width, architecture.depth
        self.components = n
        self.first = nn.Parameter(torch.zeros(width))
        self.propagate = _layers(width, width, depth)
        self.analyse = _layers(width + 2 * n, width, depth)
        self.density = nn.Linear(width, n + n * (n + 1) // 2)

    def forward(self, y: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Filter.

        Parameters
        ----------
        y : Tensor, shape (B, T, n)
            Observations, 0 where there is none.
        seen : Tensor, shape (B, T, n)
            1 where there is one, else 0.

        Returns
        -------
        mean : Tensor, shape (2, B, T, n)
            Before, and after, the observations of each time.
        root : Tensor, shape (2, B, T, n, n)
            Lower triangular L of the precision ``L L'``.
        """
        memory = self.first.expand(len(y), -1)
        before, after = [], []
        for t, now in enumerate(torch.cat([y, seen], -1).unbind(1)):
            if t:
                memory = memory + self.propagate(memory)
            before.append(memory)
            memory = memory + self.analyse(torch.cat([memory, now], -1))
            after.append(memory)
        both = torch.stack([torch.stack(before, 1), torch.stack(after, 1)])
        return self._gaussian(self.density(both).float())

    def _gaussian(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        n = self.components
        mean, diagonal, below = numbers.split([n, n, n * (n - 1) // 2], -1)
        row, column = torch.tril_indices(n, n, -1, device=numbers.device)
        root = torch.diag_embed((LARGEST_LOG * torch.tanh(diagonal / LARGEST_LOG)).exp())
        root[..., row, column] = below
        return mean, root


def _layers(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, outputs), nn.SiLU()]
        inputs = outputs
    last = nn.Linear(inputs, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


def minus_log_density(x: Tensor, mean: Tensor, root: Tensor) -> Tensor:
    """Of states (..., n) under Gaussians of a root of the precision, shape (...).

    Examples
    --------
    >>> import torch
    >>> one = torch.ones(1)
    >>> round(minus_log_density(one, 0 * one, one[None]).item(), 4)
    1.4189
    """
    white = (root.mT @ (x - mean)[..., None])[..., 0]
    log_root = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    constant = 0.5 * x.shape[-1] * math.log(2 * math.pi)
    return 0.5 * white.square().sum(-1) - log_root + constant


def standard_deviation(root: Tensor) -> Tensor:
    """Of each component (..., n), from a root L of the precision ``L L'`` (..., n, n)."""
    eye = torch.eye(root.shape[-1], dtype=root.dtype, device=root.device)
    inverse: Tensor = torch.linalg.solve_triangular(root, eye.expand_as(root), upper=False)
    return inverse.square().sum(-2).sqrt()
