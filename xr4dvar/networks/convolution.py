"""A convolution that keeps the size of an image, on a ring too."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Convolution"]


class Convolution(nn.Conv2d):
    """``nn.Conv2d`` with an odd kernel, padded to the same size.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel : tuple of int
        Cells along both axes.
    wraps : bool
        Whether the last axis closes on itself; else zeros lie beyond its ends.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.networks import Convolution
    >>> Convolution(2, 3, (1, 5), wraps=True)(torch.ones(1, 2, 1, 8)).shape
    torch.Size([1, 3, 1, 8])
    """

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], *, wraps: bool = False):
        height, width = (size // 2 for size in kernel)
        super().__init__(inputs, outputs, kernel, padding=(height, 0 if wraps else width))
        self.wrapped = width if wraps else 0

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        return super().forward(self.wrap(image))

    def wrap(self, image: Tensor) -> Tensor:
        """Put what lies beyond the ends of a ring there."""
        if not self.wrapped:
            return image
        size = image.shape[-1]
        if self.wrapped > size:  # more than once round: torch's padding does not go so far
            places = torch.arange(-self.wrapped, size + self.wrapped, device=image.device)
            return image[..., places % size]
        return functional.pad(image, (self.wrapped, self.wrapped, 0, 0), mode="circular")
