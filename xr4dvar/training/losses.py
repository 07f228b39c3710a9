"""Training losses of 4DVarNet, as parts: what is held against what, and its weight.

``FourDVarNet(loss=[Supervised(), Gradient(0.5)])``. A loss of your own is a frozen dataclass with a
``weight`` that turns an `Outcome` into a number of each sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost
from xr4dvar.registry import register, shorthand
from xr4dvar.training.loss_functions import cost_as_loss, gradient_loss, supervised_loss

__all__ = [
    "Gradient",
    "Loss",
    "Outcome",
    "Regularisation",
    "Supervised",
    "VariationalCost",
    "is_loss",
    "loss_name",
    "needs_prior",
    "needs_target",
]


class Outcome:
    """What a network has made of a batch, in units of the background's error.

    Parameters
    ----------
    analysis, target : Tensor, shape (B, V, T, Y, X)
        The increment, or what an operator observes of it where observations were hidden; and what
        it is held against, NaN where that is not known.
    state, truth : Tensor, shape (B, V, T, y, x)
        The increment on the grid where it was solved, and its target there; `truth` is None
        where the target has a gap.
    batch : Batch
        The observations of that grid.
    cost : Cost
    prior : Module, optional
        Phi, of a state and a context.
    progress : float
        How much of the training is done, from 0 to 1.
    """

    def __init__(
        self,
        analysis: Tensor,
        target: Tensor,
        state: Tensor,
        truth: Tensor | None,
        batch: Batch,
        cost: Cost,
        prior: nn.Module | None,
        progress: float = 1.0,
    ):
        self.analysis, self.target = analysis, target
        self.state, self.truth = state, truth
        self.batch, self.cost, self.prior, self.progress = batch, cost, prior, progress


@runtime_checkable
class Loss(Protocol):
    """A training loss.

    A class may say ``needs_target = False`` of itself, if it learns from the observations alone,
    and ``needs_prior = True``. Its name in the history is ``name``, else that of the class.

    Examples
    --------
    >>> isinstance(xv.losses.Gradient(0.5), xv.losses.Loss)
    True
    """

    @property
    def weight(self) -> float:
        """What it counts, beside the others."""

    def __call__(self, outcome: Outcome) -> Any:
        """The loss of each sample, shape (B,)."""


@register
@dataclass(frozen=True)
class Supervised:
    """Square error against the target, or against observations that were hidden; a mean of cells.

    Examples
    --------
    >>> xv.losses.Supervised()
    Supervised(weight=1.0)
    """

    weight: float = 1.0

    def __call__(self, outcome: Outcome) -> Tensor:
        """Mean over the cells where the target is known."""
        return supervised_loss(outcome.analysis, outcome.target, _every(outcome))


@register
@dataclass(frozen=True)
class Gradient:
    """Square error of the differences of neighbours in y and x: sharp fronts count more.

    Examples
    --------
    >>> xv.FourDVarNet(loss=[xv.losses.Supervised(), xv.losses.Gradient(0.5)]).loss_weights
    {'supervised': 1.0, 'gradient': 0.5}
    """

    weight: float = 1.0

    def __call__(self, outcome: Outcome) -> Tensor:
        """Mean over the pairs of cells where the target is known."""
        return gradient_loss(outcome.analysis, outcome.target, _every(outcome))


@register
@dataclass(frozen=True)
class Regularisation:
    """``|x - Phi(x)|^2`` of the increment, and of its target where that has no gap.

    Examples
    --------
    >>> xv.losses.Regularisation(0.1).needs_prior
    True
    """

    weight: float = 1.0

    needs_target: ClassVar[bool] = False
    needs_prior: ClassVar[bool] = True

    def __call__(self, outcome: Outcome) -> Tensor:
        """Mean over the cells."""
        found = self._misfit(outcome.state, outcome)
        return found if outcome.truth is None else found + self._misfit(outcome.truth, outcome)

    @staticmethod
    def _misfit(x: Tensor, outcome: Outcome) -> Tensor:
        if outcome.prior is None:
            return x.new_zeros(len(x))
        misfit: Tensor = (x - outcome.prior(x, outcome.batch.context)) ** 2
        return misfit.flatten(1).mean(1)


@register
@dataclass(frozen=True)
class VariationalCost:
    """The cost itself, a mean of cells, which needs no target.

    Examples
    --------
    >>> xv.losses.VariationalCost().needs_target
    False
    """

    weight: float = 1.0

    name: ClassVar[str] = "variational"
    needs_target: ClassVar[bool] = False
    needs_prior: ClassVar[bool] = True

    def __call__(self, outcome: Outcome) -> Tensor:
        """Of each sample over its cells, see `cost_as_loss`."""
        cost = cost_as_loss(outcome.cost, outcome.state, outcome.batch, outcome.progress)
        return cost / outcome.state[0].numel()


shorthand("loss", "supervised", Supervised())
shorthand("loss", "gradient", Gradient())
shorthand("loss", "regularisation", Regularisation())
shorthand("loss", "variational", VariationalCost())


def is_loss(value: object) -> bool:
    """Whether a value is a loss: a class is none yet.

    Examples
    --------
    >>> from xr4dvar.training.losses import is_loss
    >>> is_loss(xv.losses.Supervised()), is_loss(xv.losses.Supervised)
    (True, False)
    """
    return not isinstance(value, type) and isinstance(value, Loss) and callable(value)


def loss_name(loss: object) -> str:
    """What a loss is called in the history of a training."""
    return str(getattr(loss, "name", type(loss).__name__.lower()))


def needs_target(losses: Sequence[Loss]) -> bool:
    """Whether one of the losses is that of maps against something that was not shown."""
    return any(loss.weight and getattr(loss, "needs_target", True) for loss in losses)


def needs_prior(loss: object) -> bool:
    """Whether a loss is one of the prior."""
    return bool(getattr(loss, "needs_prior", False))


def _every(outcome: Outcome) -> Tensor:
    """Weights of one for all cells."""
    return outcome.analysis.new_ones(1)
