"""Priors: maps Phi that a likely state leaves (almost) unchanged.

A prior is a module ``(x, context) -> Phi(x)``: `x` and the result have shape
(B, V, T, Y, X), `context` (B, C, T, Y, X) or None holds known fields such as the background.
"""

from collections.abc import Callable

from torch import nn

from xr4dvar.networks.layout import Layout
from xr4dvar.priors.auto_encoder import AutoEncoder as AutoEncoder
from xr4dvar.priors.auto_encoder import ConvolutionalAutoEncoder as ConvolutionalAutoEncoder
from xr4dvar.priors.bilinear import BilinearAutoEncoder as BilinearAutoEncoder
from xr4dvar.priors.denoiser import Denoiser as Denoiser
from xr4dvar.priors.denoiser import NoiseLevelUNet as NoiseLevelUNet
from xr4dvar.priors.dynamics import DynamicsPrior as DynamicsPrior
from xr4dvar.priors.eof import EOFProjection as EOFProjection
from xr4dvar.priors.eof import EOFs as EOFs
from xr4dvar.priors.latent import DecodedTerm as DecodedTerm
from xr4dvar.priors.latent import GaussianCode as GaussianCode
from xr4dvar.priors.static import ModulePrior as ModulePrior
from xr4dvar.priors.static import StaticPrior as StaticPrior
from xr4dvar.priors.static import is_module_prior as is_module_prior
from xr4dvar.priors.two_scale import GibbsField as GibbsField
from xr4dvar.priors.two_scale import TwoScalePrior as TwoScalePrior
from xr4dvar.priors.unet import UNetPrior as UNetPrior

__all__ = [
    "PRIORS",
    "AutoEncoder",
    "BilinearAutoEncoder",
    "ConvolutionalAutoEncoder",
    "DecodedTerm",
    "Denoiser",
    "DynamicsPrior",
    "EOFProjection",
    "EOFs",
    "GaussianCode",
    "GibbsField",
    "ModulePrior",
    "NoiseLevelUNet",
    "StaticPrior",
    "TwoScalePrior",
    "UNetPrior",
    "is_module_prior",
]

#: Priors by name: ``(state channels, context channels, width, layout) -> module``.
PRIORS: dict[str, Callable[[int, int, int, Layout], nn.Module]] = {
    "bilinear": BilinearAutoEncoder,
    "two_scale": TwoScalePrior,
    "unet": UNetPrior,
}
