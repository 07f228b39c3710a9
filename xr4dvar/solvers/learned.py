"""A solver whose steps a network has learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost, Variance
from xr4dvar.networks import ConvLSTM, Convolution, Recurrent, UNet
from xr4dvar.networks.layout import MAPS, Layout
from xr4dvar.solvers.loop import State

__all__ = ["LearnedSolver"]


class LearnedSolver(nn.Module):
    r"""Steps given by a network that sees the gradients of the cost.

    Parameters
    ----------
    cell : module
        Recurrent network ``(input, memory) -> (update, memory)`` on images.
    layout : Layout, optional
        From states to images.
    descent : float, optional
        First step s down the gradient of the cost, which training may change. Not given: none.
    steps : int
        Steps K that are taken, where `descent` is given.

    Notes
    -----
    With g_i the gradient of each term of the cost, c the context and h the memory,

    .. math:: (d, h) \leftarrow \text{cell}([g_1, g_2, \dots, x, w, c], h), \quad
              x \leftarrow x - d

    The terms' gradients stay apart, for their sum hides whether a cell was observed; the
    weight w of the observations is an input for the same reason
    (Fablet et al. 2021, https://doi.org/10.1029/2021MS002572, feed their sum). Where the variance
    of a term is given, its gradient is multiplied by its standard deviation: errors that are
    known to be small make gradients too large for a network.

    With `descent` the network has its say first and the gradient g of the whole cost in the end
    (the authors' code, https://github.com/CIA-Oceanix/4dvarnet-starter), for k = 0, ..., K - 1

    .. math:: x \leftarrow x - \frac{d}{k + 1} - s \frac{k + 1}{K} g

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import BackgroundTerm, Batch, Cost, ObservationTerm, Variance
    >>> from xr4dvar.solvers import LearnedSolver, minimise
    >>> batch = Batch.from_gappy(torch.randn(2, 1, 3, 8, 8))
    >>> cost = Cost([ObservationTerm(Variance(1.0)), BackgroundTerm(Variance(1.0))])
    >>> solver = LearnedSolver.lstm(inputs=4 * 3, outputs=3, width=8)  # two gradients, x and w
    >>> minimise(cost, solver, batch, steps=2, differentiable=True).x.shape
    torch.Size([2, 1, 3, 8, 8])
    """

    def __init__(
        self, cell: nn.Module, layout: Layout = MAPS, descent: float | None = None, steps: int = 1
    ):
        super().__init__()
        self.cell = cell
        self.layout = layout
        self.steps = steps
        self.log_descent = None
        if descent is not None:
            self.log_descent = nn.Parameter(torch.tensor(descent).log())

    @classmethod
    def lstm(
        cls,
        inputs: int,
        outputs: int,
        width: int,
        layout: Layout = MAPS,
        descent: float | None = None,
        steps: int = 1,
    ) -> LearnedSolver:
        """Make one with a convolutional LSTM, as in 4DVarNet."""
        return cls(_LSTMCell(inputs, outputs, width, layout), layout, descent, steps)

    @classmethod
    def unet(
        cls,
        inputs: int,
        outputs: int,
        widths: Sequence[int],
        depth: int = 1,
        layout: Layout = MAPS,
    ) -> LearnedSolver:
        """Make one with a U-Net, which sees far at little cost, and no memory."""
        return cls(_UNetCell(UNet(inputs, outputs, widths, depth, layout)), layout)

    @classmethod
    def recurrent(
        cls, inputs: int, outputs: int, width: int, depth: int = 1, layout: Layout = MAPS
    ) -> LearnedSolver:
        """Make one with a recurrent network along series, both ways, which sees all of them."""
        return cls(_RecurrentCell(Recurrent(inputs, outputs, width, depth)), layout)

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start from an estimate; else from zero, the background of an increment."""
        return State(batch.zeros() if x is None else x)

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Take one learned step."""
        gradients = cost.gradients(state.x, batch, differentiable=differentiable)
        seen = [g * _unit(term) for term, g in zip(cost.terms, gradients, strict=True)]
        density = batch.weight if batch.density is None else batch.density
        image = self.layout.join(*seen, state.x, density, batch.context)
        update, memory = self.cell(image, state.memory)
        change, number = self.layout.back(update, state.x), state.step + 1
        if self.log_descent is not None:
            share = min(1.0, number / self.steps) * self.log_descent.exp()
            change = change / number + share * torch.stack(gradients).sum(0)
        return State(state.x - change, number, memory)


def _unit(term: nn.Module) -> Tensor | float:
    """Standard deviation of a term's errors where it is given, else 1: the network finds it."""
    variance = getattr(term, "variance", None)
    if not isinstance(variance, Variance) or variance.learned:
        return 1.0
    spread: Tensor = variance().sqrt()
    return spread


class _LSTMCell(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int, layout: Layout):
        super().__init__()
        self.lstm = ConvLSTM(inputs, width, layout)
        self.leave = Convolution(width, outputs, layout.kernel(3), wraps=layout.wraps)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(
        self, x: Tensor, memory: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, memory = self.lstm(x, memory)
        return self.leave(output), memory


class _UNetCell(nn.Module):
    def __init__(self, unet: UNet):
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, memory: None) -> tuple[Tensor, None]:
        return self.unet(x), None


class _RecurrentCell(nn.Module):
    """Its memory is along the series, and none from step to step."""

    def __init__(self, recurrent: Recurrent):
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: Tensor, memory: None) -> tuple[Tensor, None]:
        return self.recurrent(x), None
