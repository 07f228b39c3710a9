"""Networks that priors and solvers are made of."""

from xr4dvar.networks.conv_lstm import ConvLSTM as ConvLSTM
from xr4dvar.networks.convolution import Convolution as Convolution
from xr4dvar.networks.recurrent import Recurrent as Recurrent
from xr4dvar.networks.unet import UNet as UNet

__all__ = ["ConvLSTM", "Convolution", "Recurrent", "UNet"]
