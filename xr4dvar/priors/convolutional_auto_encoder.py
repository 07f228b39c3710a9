"""An auto-encoder with a narrow code: whole windows from a few numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from xr4dvar.layout import MAPS, Layout
from xr4dvar.networks import Convolution

__all__ = ["ConvolutionalAutoEncoder"]

#: An image with sides of at most so many cells is not made coarser.
SMALLEST = 8


class ConvolutionalAutoEncoder(nn.Module):
    """``Phi(x) = decode(encode(x))``, where the code is a few numbers for a whole window.

    Convolutions and averages make the image coarser and coarser down to some cells a side, a
    dense layer makes the code of what is left; back with as many. All is smooth, as solvers that
    use curvature need it.

    Parameters
    ----------
    shape : sequence of int
        Of a state, (V, T, Y, X).
    code : int
        Numbers that a window is encoded by.
    hidden : int
        Channels inside.
    layout : Layout, optional

    References
    ----------
    Hinton and Salakhutdinov 2006, https://doi.org/10.1126/science.1127647

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.layout import Layout
    >>> from xr4dvar.priors import ConvolutionalAutoEncoder
    >>> prior = ConvolutionalAutoEncoder((1, 200, 1, 3), code=5, layout=Layout("time"))
    >>> x = torch.zeros(2, 1, 200, 1, 3)
    >>> prior.encode(x).shape, prior(x).shape
    (torch.Size([2, 5]), torch.Size([2, 1, 200, 1, 3]))
    """

    def __init__(self, shape: Sequence[int], code: int, hidden: int = 32, layout: Layout = MAPS):
        super().__init__()
        self.shape = tuple(shape)
        self.layout = layout
        self.halves = layout.kernel(2)
        image = layout.flat(torch.zeros(1, *shape))
        self.sizes = [(image.shape[-2], image.shape[-1])]
        while max(self.sizes[-1]) > SMALLEST:
            height, width = (
                -(-n // half) for n, half in zip(self.sizes[-1], self.halves, strict=True)
            )
            self.sizes.append((height, width))
        self.narrow = hidden, *self.sizes[-1]
        channels = image.shape[1]

        def convolution(inputs: int, outputs: int) -> Convolution:
            return Convolution(inputs, outputs, layout.kernel(5), wraps=layout.wraps)

        levels = len(self.sizes)
        self.down = nn.ModuleList(
            [convolution(channels if n == 0 else hidden, hidden) for n in range(levels)]
        )
        cells = hidden * self.sizes[-1][0] * self.sizes[-1][1]
        self.to_code = nn.Sequential(nn.Linear(cells, hidden), nn.SiLU(), nn.Linear(hidden, code))
        self.from_code = nn.Sequential(
            nn.Linear(code, 4 * hidden), nn.SiLU(), nn.Linear(4 * hidden, cells)
        )
        self.up = nn.ModuleList([convolution(hidden, hidden) for _ in range(levels)])
        self.leave = convolution(hidden, channels)

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Codes (B, code) of states (B, V, T, Y, X)."""
        image = self.layout.flat(x)
        for n, convolution in enumerate(self.down):
            if n:
                image = functional.avg_pool2d(image, self.halves, ceil_mode=True)
            image = functional.silu(convolution(image))
        code: Tensor = self.to_code(image.flatten(1))
        return code

    def decode(self, z: Tensor) -> Tensor:
        """States (B, V, T, Y, X) of codes (B, code)."""
        image = self.from_code(z).unflatten(1, self.narrow)
        for size, convolution in zip(reversed(self.sizes), self.up, strict=True):
            if image.shape[-2:] != size:
                image = _finer(image, size, self.layout.wraps)
            image = functional.silu(convolution(image))
        return self.layout.back(self.leave(image), image.new_empty(len(z), *self.shape))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Give Phi(x); the context is of no use."""
        return self.decode(self.encode(x))


def _finer(image: Tensor, size: tuple[int, int], wraps: bool) -> Tensor:
    """Interpolate an image linearly to cells of half the width; round a circle if it `wraps`."""
    if not wraps:
        return functional.interpolate(image, size=size, mode="bilinear")
    ratio = -(-size[1] // image.shape[-1])
    image = functional.pad(image, (1, 1, 0, 0), mode="circular")
    wide = size[0], ratio * image.shape[-1]
    image = functional.interpolate(image, size=wide, mode="bilinear")
    return image[..., ratio : ratio + size[1]]
