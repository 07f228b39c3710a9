"""A small residual U-Net on (B, C, Y, X), for any Y and X."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["UNet"]


class _Residual(nn.Module):
    """``x + conv(silu(conv(silu(x))))``."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(functional.silu(self.first(functional.silu(x))))
        return x + change


class UNet(nn.Module):
    """Residual blocks on ever coarser grids and back, with sums as skip connections.

    Parameters
    ----------
    inputs, outputs : int
        Channels in and out.
    widths : sequence of int
        Channels of each level, finest first; each level is half as fine as the one before.

    Notes
    -----
    The last convolution starts at zero, so that an untrained network changes nothing: a solver
    built on it starts from the background (after Ronneberger et al. 2015 and He et al. 2016).

    Examples
    --------
    >>> import torch
    >>> UNet(3, 2, widths=(4, 8))(torch.ones(1, 3, 7, 10)).shape
    torch.Size([1, 2, 7, 10])
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int] = (48, 64, 96)):
        super().__init__()
        steps = list(pairwise(widths))
        self.enter = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.down = nn.ModuleList([_Residual(width) for width in widths])
        self.widen = nn.ModuleList([nn.Conv2d(fine, coarse, 1) for fine, coarse in steps])
        self.narrow = nn.ModuleList([nn.Conv2d(coarse, fine, 1) for fine, coarse in steps])
        self.up = nn.ModuleList([_Residual(width) for width in widths[:-1]])
        self.leave = nn.Conv2d(widths[0], outputs, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, Y, X) to (B, outputs, Y, X)."""
        x = self.down[0](self.enter(x))
        skips = []
        for widen, block in zip(self.widen, self.down[1:], strict=True):
            skips.append(x)
            x = block(widen(functional.avg_pool2d(x, 2, ceil_mode=True)))
        for narrow, block, skip in zip(
            reversed(self.narrow), reversed(self.up), reversed(skips), strict=True
        ):
            finer = functional.interpolate(narrow(x), size=skip.shape[-2:], mode="nearest")
            x = block(skip + finer)
        result: Tensor = self.leave(functional.silu(x))
        return result
