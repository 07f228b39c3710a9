"""A network that takes white noise of a known size off a state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from xr4dvar.arguments import as_tuple, check_count, is_count, shown
from xr4dvar.errors import Problems
from xr4dvar.networks import UNet
from xr4dvar.networks.layout import MAPS, Layout
from xr4dvar.registry import register
from xr4dvar.training_options import Training, check_training, prior_training

__all__ = ["Denoiser", "NoiseLevelUNet"]


@register
@dataclass(frozen=True)
class Denoiser:
    """A network that takes noise off whole windows: what it leaves alone is a likely state.

    A residual U-Net that is told the noise level, for the solver ``"plug_and_play"``.

    Parameters
    ----------
    widths : sequence of int
        Channels of the U-Net's levels.
    depth : int
        Residual blocks of each level.
    training : Training
        How long and how fast to learn.

    References
    ----------
    Zhang et al. 2022, https://doi.org/10.1109/TPAMI.2021.3088914

    Examples
    --------
    >>> xv.Denoiser(widths=(16, 32)).depth
    1
    """

    widths: Sequence[int] = (32, 64)
    depth: int = 1
    training: Training = field(default_factory=prior_training)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", as_tuple(self.widths))

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        widths: object = self.widths
        if not isinstance(widths, tuple) or not widths or not all(map(is_count, widths)):
            fix = "use whole numbers, at least 1, such as (32, 64)"
            problems.add(f"widths is {shown(widths)}", fix)
        check_count("depth", self.depth, problems)
        check_training(self.training, problems)


class NoiseLevelUNet(nn.Module):
    r"""``Den(x, s)``: the expected state, given the state plus noise of standard deviation s.

    States are scaled: their variance is about 1. The U-Net sees the noise level as a map.

    Parameters
    ----------
    channels : int
        Of the state, as it is laid out.
    widths : sequence of int
        Channels of the U-Net's levels.
    depth : int
        Residual blocks of each level.
    layout : Layout, optional

    Notes
    -----
    .. math:: \mathrm{Den}(x, s) = \frac{x}{1 + s^2}
              + \frac{s}{\sqrt{1 + s^2}} \mathrm{UNet}\big(\frac{x}{\sqrt{1 + s^2}}, \ln s\big)

    The first part is the best estimate of uncorrelated cells, which an untrained network gives
    (preconditioning of Karras et al. 2022, https://arxiv.org/abs/2206.00364).

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.priors import NoiseLevelUNet
    >>> denoise = NoiseLevelUNet(channels=3, widths=(8, 16))
    >>> denoise(torch.ones(2, 1, 3, 9, 8), torch.tensor([1.0, 3.0])).amax((1, 2, 3, 4))
    tensor([0.5000, 0.1000], grad_fn=<AmaxBackward0>)
    """

    def __init__(
        self, channels: int, widths: Sequence[int] = (32, 64), depth: int = 1, layout: Layout = MAPS
    ):
        super().__init__()
        self.layout = layout
        self.unet = UNet(channels + 1, channels, widths, depth, layout)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Give the estimate (B, V, T, Y, X) at noise levels (B,) or one for all."""
        s = sigma.to(x.dtype).expand(len(x)).view(-1, 1, 1, 1, 1)
        size = (1 + s**2).sqrt()
        image = self.layout.flat(x / size)
        level = s.log()[:, 0].expand(-1, 1, *image.shape[-2:])
        found = self.layout.back(self.unet(torch.cat([image, level], 1)), x)
        return x / size**2 + s / size * found
