"""The network of a data assimilation network, and the densities that it gives. No labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Architecture", "FilterNetwork", "minus_log_density", "standard_deviation"]

#: Bound of the logarithms of the diagonal of a root of the precision.
LARGEST_LOG = 8.0


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network: numbers of a state, channels of the memory, layers of each block.

    ``smooths`` says whether there is a second memory, which comes back from the end.
    """

    components: int
    width: int
    depth: int
    smooths: bool = False


class FilterNetwork(nn.Module):
    r"""From observations in their order to a Gaussian before and after each; and of all of them.

    With h the memory, :math:`h^b_t = b(h^a_{t-1})`, :math:`h^a_t = a(h^b_t, y_t)`, and a Gaussian
    c(h) of each. a and b are residual; their last maps start at zero. A smoother has the same
    in the other direction, :math:`g_t = b'(a'(g_{t+1}, y_{t+1}))`, and a Gaussian of both
    :math:`h^a_t` and :math:`g_t`.
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        n, width, depth = architecture.components, architecture.width, architecture.depth
        self.components = n
        numbers = n + n * (n + 1) // 2
        self.ahead = _Memory(n, width, depth)
        self.density = nn.Linear(width, numbers)
        self.back, self.of_both = None, None
        if architecture.smooths:
            self.back = _Memory(n, width, depth)
            self.of_both = nn.Sequential(
                nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, numbers)
            )

    def forward(self, y: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Filter, and smooth.

        Parameters
        ----------
        y : Tensor, shape (B, T, n)
            Observations, 0 where there is none.
        seen : Tensor, shape (B, T, n)
            1 where there is one, else 0.

        Returns
        -------
        mean : Tensor, shape (2 or 3, B, T, n)
            Before, and after, the observations of each time; and, of a smoother, after all.
        root : Tensor, shape (2 or 3, B, T, n, n)
            Lower triangular L of the precision ``L L'``.
        """
        observed = torch.cat([y, seen], -1).unbind(1)
        before, after = self.ahead(observed)
        numbers = self.density(torch.stack([before, after]))
        if self.back is not None and self.of_both is not None:
            later = self.back(observed[::-1])[0].flip(1)
            smoothed = self.of_both(torch.cat([after, later], -1))
            numbers = torch.cat([numbers, smoothed[None]])
        return self._gaussian(numbers.float())

    def _gaussian(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        n = self.components
        mean, diagonal, below = numbers.split([n, n, n * (n - 1) // 2], -1)
        row, column = torch.tril_indices(n, n, -1, device=numbers.device)
        root = torch.diag_embed((LARGEST_LOG * torch.tanh(diagonal / LARGEST_LOG)).exp())
        root[..., row, column] = below
        return mean, root


class _Memory(nn.Module):
    """Numbers that are moved on from time to time, and take in what is observed."""

    def __init__(self, components: int, width: int, depth: int):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(width))
        self.propagate = _layers(width, width, depth)
        self.analyse = _layers(width + 2 * components, width, depth)

    def forward(self, observed: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Memories before and after what is observed at each time, (B, T, width)."""
        memory = self.first.expand(len(observed[0]), -1)
        before, after = [], []
        for t, now in enumerate(observed):
            if t:
                memory = memory + self.propagate(memory)
            before.append(memory)
            memory = memory + self.analyse(torch.cat([memory, now], -1))
            after.append(memory)
        return torch.stack(before, 1), torch.stack(after, 1)


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
