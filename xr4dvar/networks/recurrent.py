"""A recurrent network along a series, in both directions."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Recurrent"]


class Recurrent(nn.Module):
    """Long short-term memory from the past and from the future of each place of a series.

    Parameters
    ----------
    inputs, outputs : int
        Channels in and out.
    width : int
        Channels of the memory of each direction.
    depth : int
        Layers.

    Notes
    -----
    The last map starts at zero, so that an untrained network changes nothing
    (after Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735, and
    Schuster and Paliwal 1997, https://doi.org/10.1109/78.650093).

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.networks import Recurrent
    >>> Recurrent(3, 2, width=4)(torch.ones(1, 3, 1, 25)).shape
    torch.Size([1, 2, 1, 25])
    """

    def __init__(self, inputs: int, outputs: int, width: int, depth: int = 1):
        super().__init__()
        self.lstm = nn.LSTM(inputs, width, depth, batch_first=True, bidirectional=True)
        self.leave = nn.Linear(2 * width, outputs)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Map series (B, inputs, 1, W) to (B, outputs, 1, W)."""
        places, _ = self.lstm(image[:, :, 0].mT)
        result: Tensor = self.leave(places).mT[:, :, None]
        return result
