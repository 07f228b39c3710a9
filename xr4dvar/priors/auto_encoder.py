"""An auto-encoder with a narrow code: whole windows from a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from xr4dvar.arguments import check_count
from xr4dvar.errors import Problems
from xr4dvar.networks import Convolution
from xr4dvar.networks.layout import MAPS, Layout
from xr4dvar.registry import register
from xr4dvar.renaming import renamed
from xr4dvar.training_options import Training, check_training, prior_training

__all__ = ["AutoEncoder", "ConvolutionalAutoEncoder"]

#: An image with sides of at most so many cells is not made coarser.
SMALLEST = 8


@register
@renamed(hidden="width")
@dataclass(frozen=True)
class AutoEncoder:
    """A convolutional auto-encoder of whole windows: a likely state has a short code.

    Parameters
    ----------
    code : int
        Numbers that a window is encoded by.
    width : int
        Channels inside.
    training : Training
        How long and how fast to learn.

    References
    ----------
    Hinton and Salakhutdinov 2006, https://doi.org/10.1126/science.1127647

    Examples
    --------
    >>> xv.AutoEncoder(code=5).training.batch_size
    32
    """

    code: int = 5
    width: int = 32
    training: Training = field(default_factory=prior_training)

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_count("code", self.code, problems)
        check_count("width", self.width, problems)
        check_training(self.training, problems)

    def module(self, shape: Sequence[int], context: int, layout: Layout) -> nn.Module:
        """Give Phi of states (V, T, Y, X), which looks at no context."""
        return ConvolutionalAutoEncoder(shape, self.code, self.width, layout)


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
    width : int
        Channels inside.
    layout : Layout, optional

    References
    ----------
    Hinton and Salakhutdinov 2006, https://doi.org/10.1126/science.1127647

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.networks.layout import Layout
    >>> from xr4dvar.priors import ConvolutionalAutoEncoder
    >>> prior = ConvolutionalAutoEncoder((1, 200, 1, 3), code=5, layout=Layout("time"))
    >>> x = torch.zeros(2, 1, 200, 1, 3)
    >>> prior.encode(x).shape, prior(x).shape
    (torch.Size([2, 5]), torch.Size([2, 1, 200, 1, 3]))
    """

    def __init__(self, shape: Sequence[int], code: int, width: int = 32, layout: Layout = MAPS):
        super().__init__()
        self.shape = tuple(shape)
        self.layout = layout
        self.halves = layout.kernel(2)
        image = layout.flat(torch.zeros(1, *shape))
        self.sizes = [(image.shape[-2], image.shape[-1])]
        while max(self.sizes[-1]) > SMALLEST:
            rows, columns = (
                -(-n // half) for n, half in zip(self.sizes[-1], self.halves, strict=True)
            )
            self.sizes.append((rows, columns))
        self.narrow = width, *self.sizes[-1]
        channels = image.shape[1]

        def convolution(inputs: int, outputs: int) -> Convolution:
            return Convolution(inputs, outputs, layout.kernel(5), wraps=layout.wraps)

        levels = len(self.sizes)
        self.down = nn.ModuleList(
            [convolution(channels if n == 0 else width, width) for n in range(levels)]
        )
        cells = width * self.sizes[-1][0] * self.sizes[-1][1]
        self.to_code = nn.Sequential(nn.Linear(cells, width), nn.SiLU(), nn.Linear(width, code))
        self.from_code = nn.Sequential(
            nn.Linear(code, 4 * width), nn.SiLU(), nn.Linear(4 * width, cells)
        )
        self.up = nn.ModuleList([convolution(width, width) for _ in range(levels)])
        self.leave = convolution(width, channels)

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
