"""How long and how fast a network learns."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xr4dvar.arguments import check_count, check_number, is_number, shown
from xr4dvar.errors import Problems
from xr4dvar.registry import register

__all__ = ["Training", "check_training", "prior_training"]


@register
@dataclass(frozen=True)
class Training:
    """How long and how fast to learn.

    Parameters
    ----------
    steps : int
        Gradient steps, unless validation stops improving before.
    batch_size : int
        Patches a step.
    learning_rate : float
        Highest step of AdamW; it rises over the first 100 steps, then falls along a cosine to 0.
    steps_per_epoch : int
        Steps between validations.
    patience : int
        Epochs without a better validation after which training stops.
    gradient_clip : float
        Largest norm of the gradient.
    averaging : float
        Decay per step of the moving average of the weights that is validated and kept.
    minimum_observed : float
        Least share of a patch's cells that must be observed for it to be learned from.

    Examples
    --------
    >>> short = xv.Training(steps=500, steps_per_epoch=50)
    >>> xv.FourDVarNet(training=short).training.steps
    500
    """

    steps: int = 2000
    batch_size: int = 4
    learning_rate: float = 1e-3
    steps_per_epoch: int = 100
    patience: int = 20
    gradient_clip: float = 1.0
    averaging: float = 0.995
    minimum_observed: float = 0.001

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        for name in ("steps", "batch_size", "steps_per_epoch", "patience"):
            check_count(f"training.{name}", getattr(self, name), problems)
        check_number("training.learning_rate", self.learning_rate, problems)
        check_number("training.gradient_clip", self.gradient_clip, problems)
        for name, usual in (("averaging", 0.995), ("minimum_observed", 0.001)):
            value: object = getattr(self, name)
            check_number(f"training.{name}", value, problems, zero=True)
            if is_number(value) and value >= 1:  # type: ignore[operator]
                problems.add(
                    f"training.{name} is {shown(value)}", f"use a number below 1, such as {usual}"
                )

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        rise = min(1.0, (step + 1) / 100)
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def prior_training() -> Training:
    """Defaults of a prior that is learned by itself, from windows that are small."""
    return Training(batch_size=32, learning_rate=3e-3)


def check_training(training: object, problems: Problems) -> None:
    """Note what is no `Training`, and every setting of one that cannot be used."""
    if isinstance(training, Training):
        training.check(problems)
    else:
        problems.add(f"training is {shown(training)}", "give xr4dvar.Training(...)")
