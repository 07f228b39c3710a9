"""The network of 4DVarNet: a cost, a solver and the units they work in. No labels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from xr4dvar.cost.batch import Batch, coarse_state, interpolate
from xr4dvar.cost.cost import Cost, ObservationTerm, PriorTerm, Variance
from xr4dvar.dynamics.model import Dynamics, flow_of
from xr4dvar.networks.layout import Layout, LayoutGrid
from xr4dvar.priors import PRIORS, DynamicsPrior
from xr4dvar.priors.static import ModulePrior
from xr4dvar.solvers import EachStep, FixedPoint, LearnedSolver, minimise
from xr4dvar.solvers.gradient import SAFE, LearnedDescent
from xr4dvar.solvers.loop import Backpropagation, Solver, State

__all__ = ["Architecture", "FourDVarNetwork"]


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network.

    Parameters
    ----------
    variables, times, y, x : int
        Of the state. The sizes y and x matter only where they are channels.
    context : int
        Known fields beside the state.
    spacing : float
        Time between states, in the model's units.
    shared : bool
        Whether all steps of the solver have the same weights.
    backpropagation
        See `minimise`.
    error_variance, model_error_variance : nested lists, shape (V, 1, Y, X), optional
        R and Q in the network's units squared. None: learned.
    fields : int, optional
        Observed fields, where these are others than the variables.
    grid, fold, wraps
        See `Layout`.
    """

    variables: int
    times: int
    context: int
    solver: str
    iterations: int
    widths: Sequence[int]
    prior_width: int
    coarsen: int
    depth: int = 1
    y: int = 1
    x: int = 1
    grid: LayoutGrid = "y-x"
    fold: int = 1
    wraps: bool = False
    spacing: float = 1.0
    shared: bool = True
    backpropagation: Backpropagation = "full"
    error_variance: Sequence[Any] | None = None
    model_error_variance: Sequence[Any] | None = None
    fields: int | None = None

    @property
    def layout(self) -> Layout:
        """How the state becomes an image."""
        return Layout(self.grid, self.fold, self.wraps)

    def channels(self, variables: int) -> int:
        """Channels of a field of so many variables."""
        return self.layout.channels((variables, self.times, self.y, self.x))


class FourDVarNetwork(nn.Module):
    """Map a batch of scaled innovations to a scaled increment.

    All fields are in units of the background's error, so that R and Q start at 1 where they are
    learned.

    Parameters
    ----------
    architecture : Architecture
    prior : str, Dynamics, ModulePrior or None
        Phi: a word for one that is learned, a model, or a part.
    solver : solver, optional
        In place of the architecture's.
    """

    def __init__(
        self,
        architecture: Architecture,
        prior: str | Dynamics | ModulePrior | None,
        solver: Any = None,
    ):
        super().__init__()
        self.architecture = architecture
        state = architecture.channels(architecture.variables)
        context = architecture.channels(architecture.context)
        fields = architecture.fields or architecture.variables
        variances = [_make_variance(architecture.error_variance, fields)]
        terms: list[nn.Module] = [ObservationTerm(variances[0])]
        if prior is not None:
            variances.append(
                _make_variance(architecture.model_error_variance, architecture.variables)
            )
            phi = _make_prior(prior, architecture, state, context)
            terms.append(PriorTerm(phi, variances[1]))
        self.cost = Cost(terms)
        # gradients of the terms, the state, the weight of the observations, the context
        inputs = (len(terms) + 1) * state + architecture.channels(fields) + context
        make = partial(_make_solver, architecture, inputs, state, variances)
        self.solver: Solver = make() if solver is None else _made_ready(solver, variances)
        if not architecture.shared:
            self.solver = EachStep([make() for _ in range(architecture.iterations)])

    def forward(
        self, y: Tensor, weight: Tensor, context: Tensor | None, operator: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Give the increment, and the state on the grid where it was solved.

        The arguments are those of `Batch`; no dataclass, for Lightning Fabric takes those apart.

        Returns
        -------
        increment : Tensor, shape (B, V, T, Y, X)
        state : Tensor, shape (B, V, T, y, x)
        """
        factor = self.architecture.coarsen
        state: State = minimise(
            self.cost,
            self.solver,
            self.coarse(self.batch(y, weight, context, operator)),
            self.architecture.iterations,
            differentiable=self.training,
            backpropagation=self.architecture.backpropagation,
        )
        fine = interpolate(state.x, factor, (y.shape[-2], y.shape[-1]), self.architecture.wraps)
        return fine, state.x

    def batch(
        self, y: Tensor, weight: Tensor, context: Tensor | None, operator: Any = None
    ) -> Batch:
        """The batch of the arguments of `forward`, which knows the shape of a state."""
        shape = None if operator is None else (self.architecture.variables, *y.shape[2:])
        return Batch(y, weight, context, operator=operator, shape=shape)

    def coarse(self, batch: Batch) -> Batch:
        """Observations of the state on the grid where it is solved."""
        return coarse_state(batch, self.architecture.coarsen, self.architecture.wraps)

    @property
    def prior(self) -> nn.Module | None:
        """Phi, which belongs to its term of the cost: its weights are there once."""
        priors = [term.prior for term in self.cost.terms if isinstance(term, PriorTerm)]
        return priors[0] if priors else None


def _make_prior(
    prior: str | Dynamics | ModulePrior, architecture: Architecture, state: int, context: int
) -> nn.Module:
    if isinstance(prior, str):
        return PRIORS[prior](state, context, architecture.prior_width, architecture.layout)
    if isinstance(prior, ModulePrior):
        factor = architecture.coarsen
        plane = -(-architecture.y // factor), -(-architecture.x // factor)
        whole = architecture.variables, architecture.times, *plane
        return prior.module(whole, context, architecture.layout)
    components = architecture.variables * architecture.y * architecture.x
    step = flow_of(prior, architecture.spacing, components)
    shape = architecture.variables, 1, architecture.y, architecture.x
    mean = torch.zeros(shape, dtype=torch.float64)
    return DynamicsPrior(step, mean, torch.ones_like(mean))


def _make_variance(given: Sequence[Any] | None, variables: int) -> Variance:
    return Variance([1.0] * variables, learned=True) if given is None else Variance(given)


def _made_ready(solver: Any, variances: Sequence[Variance]) -> Any:
    """A solver of the user's: a copy of a module, a step that is safe where none is given."""
    if isinstance(solver, nn.Module):
        return copy.deepcopy(solver)
    if not hasattr(solver, "for_curvature"):
        return solver
    return solver.for_curvature(_curvature(variances))


def _curvature(variances: Sequence[Variance]) -> float:
    """A bound of the cost's, as far as its variances tell: 1 / R + 1 / Q."""
    return sum(float(1 / variance().detach().min()) for variance in variances)


def _make_solver(
    architecture: Architecture, inputs: int, outputs: int, variances: Sequence[Variance]
) -> FixedPoint | LearnedDescent | LearnedSolver:
    widths, layout = tuple(architecture.widths), architecture.layout
    # within the largest curvature, 1 / R + 1 / Q and up to three times the last of both
    step = SAFE / _curvature(variances)
    if architecture.solver == "fixed_point":
        return FixedPoint()
    if architecture.solver == "gradient":
        return LearnedDescent(step)
    if architecture.solver.startswith("lstm"):
        descent = step if architecture.solver == "lstm_gradient" else None
        return LearnedSolver.lstm(
            inputs, outputs, widths[0], layout, descent, architecture.iterations
        )
    if architecture.solver == "recurrent":
        return LearnedSolver.recurrent(inputs, outputs, widths[0], architecture.depth, layout)
    return LearnedSolver.unet(inputs, outputs, widths, architecture.depth, layout)
