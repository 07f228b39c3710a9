"""Where a training run stands: step, averaged and best weights, history."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor, nn

from xr4dvar.training_options import Training

__all__ = ["Progress"]


class Progress:
    """Where training stands: step, averaged and best weights, history."""

    def __init__(self, training: Training, weights: dict[str, Tensor]):
        self.training = training
        self.step = 0
        self.average = {name: value.detach().clone() for name, value in weights.items()}
        self.best = {name: value.clone() for name, value in self.average.items()}
        self.best_epoch = -1
        self.sums: dict[str, float] = {}
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0
        self._clock = time.perf_counter()

    @property
    def finished(self) -> bool:
        waited = len(self.rows) - 1 - self.best_epoch
        return self.step >= self.training.steps or waited >= self.training.patience

    @property
    def epoch_ends(self) -> bool:
        step, training = self.step, self.training
        return step % training.steps_per_epoch == 0 or step == training.steps

    @property
    def summary(self) -> str:
        row = self.rows[-1]
        return f"loss {row['loss']:.3f}, validation {row['validation_loss']:.3f}"

    def after_step(self, network: nn.Module, values: dict[str, float]) -> None:
        self.step += 1
        # a young average forgets faster, or the first random weights would stay in it for long
        decay = min(self.training.averaging, self.step / (self.step + 10))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)
        for name, number in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + number

    def after_epoch(self, network: nn.Module, validate: Callable[[nn.Module], float]) -> None:
        current = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.average)
        network.eval()
        score = validate(network)
        network.load_state_dict(current)
        steps = (self.step - 1) % self.training.steps_per_epoch + 1
        now = time.perf_counter()
        self.seconds, self._clock = self.seconds + now - self._clock, now
        self.rows.append(
            {
                **{name: total / steps for name, total in self.sums.items()},
                "validation_loss": score,
                "learning_rate": self.training.rate(self.step - 1),
                "step": self.step,
                "seconds": self.seconds,
            }
        )
        self.sums = {}
        if self.best_epoch < 0 or score < self.rows[self.best_epoch]["validation_loss"]:
            self.best_epoch = len(self.rows) - 1
            self.best = {name: value.clone() for name, value in self.average.items()}

    def history(self) -> xr.Dataset:
        names = {name: ("train_loss" if name == "loss" else name) for name in self.rows[0]}
        variables = {
            new: ("epoch", np.array([row[name] for row in self.rows]))
            for name, new in names.items()
        }
        epoch = np.arange(1, len(self.rows) + 1)
        history = xr.Dataset(variables, {"epoch": epoch}, {"best_epoch": self.best_epoch + 1})
        history["seconds"].attrs = {"units": "s", "long_name": "time since training began"}
        return history

    def state(self) -> dict[str, Any]:
        names = ("step", "average", "best", "best_epoch", "rows", "seconds")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if name in ("average", "best"):  # on the device where training goes on
                value = {key: one.to(self.average[key].device) for key, one in value.items()}
            setattr(self, name, value)
