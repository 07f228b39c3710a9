"""A small residual U-Net on (B, C, Y, X), for any Y and X."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from xr4dvar.networks.convolution import Convolution
from xr4dvar.networks.layout import MAPS, Layout

__all__ = ["UNet"]


class _Residual(nn.Module):
    """``x + conv(silu(conv(silu(x))))``."""

    def __init__(self, channels: int, layout: Layout):
        super().__init__()
        kernel, wraps = layout.kernel(3), layout.wraps
        self.first = Convolution(channels, channels, kernel, wraps=wraps)
        self.second = Convolution(channels, channels, kernel, wraps=wraps)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(functional.silu(self.first(functional.silu(x))))
        return x + change


def _residuals(channels: int, depth: int, layout: Layout) -> nn.Module:
    blocks = [_Residual(channels, layout) for _ in range(depth)]
    return blocks[0] if depth == 1 else nn.Sequential(*blocks)


class UNet(nn.Module):
    """Residual blocks on ever coarser grids and back, with sums as skip connections.

    Parameters
    ----------
    inputs, outputs : int
        Channels in and out.
    widths : sequence of int
        Channels of each level, finest first; each level is half as fine as the one before.
    depth : int
        Residual blocks in a row.
    layout : Layout, optional
        Gives the kernels, and the axes that get coarser.

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

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int] = (48, 64, 96),
        depth: int = 1,
        layout: Layout = MAPS,
    ):
        super().__init__()
        steps = list(pairwise(widths))
        kernel, wraps = layout.kernel(3), layout.wraps
        self.halves = layout.kernel(2)
        self.enter = Convolution(inputs, widths[0], kernel, wraps=wraps)
        self.down = nn.ModuleList([_residuals(width, depth, layout) for width in widths])
        self.widen = nn.ModuleList([nn.Conv2d(fine, coarse, 1) for fine, coarse in steps])
        self.narrow = nn.ModuleList([nn.Conv2d(coarse, fine, 1) for fine, coarse in steps])
        self.up = nn.ModuleList([_residuals(width, depth, layout) for width in widths[:-1]])
        self.leave = Convolution(widths[0], outputs, kernel, wraps=wraps)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, Y, X) to (B, outputs, Y, X)."""
        x = self.down[0](self.enter(x))
        skips = []
        for widen, block in zip(self.widen, self.down[1:], strict=True):
            skips.append(x)
            x = block(widen(functional.avg_pool2d(x, self.halves, ceil_mode=True)))
        for narrow, block, skip in zip(
            reversed(self.narrow), reversed(self.up), reversed(skips), strict=True
        ):
            finer = functional.interpolate(narrow(x), size=skip.shape[-2:], mode="nearest")
            x = block(skip + finer)
        result: Tensor = self.leave(functional.silu(x))
        return result
