"""The network of 4DVarNet: a cost, a solver and the units they work in. No labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from xr4dvar.batch import Batch, coarsen, interpolate
from xr4dvar.cost import Cost, ObservationTerm, PriorTerm, Variance
from xr4dvar.priors import PRIORS
from xr4dvar.solvers import GradientDescent, LearnedSolver, minimise
from xr4dvar.solvers.loop import Solver, State

__all__ = ["Architecture", "FourDVarNetwork"]


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network.

    Parameters
    ----------
    variables, times, context : int
        Variables and times of the state, and known fields beside it.
    """

    variables: int
    times: int
    context: int
    prior: str
    solver: str
    iterations: int
    widths: Sequence[int]
    prior_width: int
    coarsen: int


class FourDVarNetwork(nn.Module):
    """Map a batch of scaled innovations to a scaled increment.

    All fields are in units of the background's error, so that R and Q start at 1.
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture
        variables, times = architecture.variables, architecture.times
        state, context = variables * times, architecture.context * times
        self.prior = PRIORS[architecture.prior](state, context, architecture.prior_width)
        ones = [1.0] * variables
        self.cost = Cost(
            [
                ObservationTerm(Variance(ones, learned=True)),
                PriorTerm(self.prior, Variance(ones, learned=True)),
            ]
        )
        # gradients of both terms, the state, the weight of the observations, the context
        inputs = 4 * state + context
        self.solver: Solver = _make_solver(architecture, inputs, state)

    def forward(self, y: Tensor, weight: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Give the increment, and the state on the grid where it was solved.

        The arguments are those of `Batch`; plain tensors, for Lightning Fabric takes no other.

        Returns
        -------
        increment : Tensor, shape (B, V, T, Y, X)
        state : Tensor, shape (B, V, T, y, x)
        """
        factor = self.architecture.coarsen
        state: State = minimise(
            self.cost,
            self.solver,
            coarsen(Batch(y, weight, context), factor),
            self.architecture.iterations,
            differentiable=self.training,
        )
        return interpolate(state.x, factor, (y.shape[-2], y.shape[-1])), state.x

    def prior_misfit(self, x: Tensor, coarse: Batch) -> Tensor:
        """Mean of ``(x - Phi(x))^2`` over the cells of each sample, shape (B,)."""
        misfit: Tensor = (x - self.prior(x, coarse.context)) ** 2
        return misfit.flatten(1).mean(1)


def _make_solver(architecture: Architecture, inputs: int, outputs: int) -> Solver:
    if architecture.solver == "lstm":
        return LearnedSolver.lstm(inputs, outputs, architecture.widths[0])
    if architecture.solver == "unet":
        return LearnedSolver.unet(inputs, outputs, tuple(architecture.widths))
    return GradientDescent(0.2, learned=True)
