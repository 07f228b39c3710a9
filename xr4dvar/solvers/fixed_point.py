"""Fixed-point iteration on a prior: put the observations in, apply the prior, and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost, ObservationTerm, PriorTerm
from xr4dvar.errors import InputError
from xr4dvar.registry import register, shorthand
from xr4dvar.solvers.loop import State, refuse_operator

__all__ = ["FixedPoint"]


@register
@dataclass(frozen=True)
class FixedPoint:
    r"""``x <- Phi(x) + K (y - Phi(x))`` where something was observed, ``Phi(x)`` elsewhere.

    Parameters are those of the cost: Phi and Q of its `PriorTerm`, R of its `ObservationTerm`.

    Notes
    -----
    With n observations behind a value, ``K = n Q / (n Q + R)``: each x is the best estimate from y
    and Phi(x). Perfect observations (R = 0) are put in as they are,
    ``x <- M y + (1 - M) Phi(x)`` (Fablet et al. 2019, https://arxiv.org/abs/1910.00556).

    For an orthogonal projection Phi, such as `priors.EOFProjection`, the fixed point is the
    minimum of the cost, and Phi of it the least-squares fit of its modes to the observations
    (the inner loop of DINEOF: Beckers and Rixen 2003,
    https://doi.org/10.1175/1520-0426(2003)020%3C1839:ECADFF%3E2.0.CO;2). For others the derivative
    of Phi is left out: it need not be a minimum.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import Variance
    >>> from xr4dvar.priors import EOFProjection
    >>> from xr4dvar.solvers import minimise
    >>> flat = EOFProjection(torch.zeros(1, 1, 1, 2), torch.full((1, 1, 1, 1, 2), 0.5**0.5))
    >>> cost = Cost([ObservationTerm(Variance(1.0)), PriorTerm(flat, Variance(1.0))])
    >>> batch = Batch.from_gappy(torch.tensor([3.0, float("nan")]).view(1, 1, 1, 1, 2))
    >>> minimise(cost, FixedPoint(), batch, steps=60).x.flatten().round(decimals=3).tolist()
    [3.0, 3.0]
    """

    of_states: ClassVar[bool] = True
    minimises: ClassVar[bool] = False
    takes_operators: ClassVar[bool] = False

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start from an estimate; from zero where there is none."""
        return State(batch.zeros() if x is None else x)

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Apply the prior once, and put the observations in."""
        observation, prior = _terms(cost)
        refuse_operator(self, batch)
        with torch.set_grad_enabled(differentiable):
            predicted = prior.prior(state.x, batch.context)
            q = batch.weight * prior.variance()
            x = predicted - q / (q + observation.variance()) * batch.misfit(predicted)
        return State(x, state.step + 1)


shorthand("solver", "fixed_point", FixedPoint())


def _terms(cost: Cost) -> tuple[ObservationTerm, PriorTerm]:
    kinds = ObservationTerm, PriorTerm
    found = [[term for term in cost.terms if isinstance(term, kind)] for kind in kinds]
    if len(cost.terms) != 2 or not all(found):
        names = ", ".join(type(term).__name__ for term in cost.terms)
        what = f"a fixed point is one of observations and a prior, the cost has {names}"
        raise InputError([(what, "use another solver, such as GradientDescent")])
    (observation,), (prior,) = found
    return observation, prior  # type: ignore[return-value]
