"""What 4DVarNet is trained for, and what it is validated by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xr4dvar.cost.batch import Batch, coarsen
from xr4dvar.errors import InputError
from xr4dvar.methods.fourdvarnet.units import Units
from xr4dvar.training.losses import Loss, Outcome, loss_name, needs_target
from xr4dvar.training.mirror import mirrored
from xr4dvar.training.sampler import Sample

__all__ = ["Objective"]


class Objective:
    """The training loss and the validation score."""

    def __init__(self, units: Units, losses: Sequence[Loss], mirror: bool, observed: bool = False):
        self.units = units
        self.losses = losses
        self.mirror = mirror
        self.observed = observed  # targets are observations that were hidden, of an operator

    def loss(self, network: nn.Module, sample: Sample) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of the losses of each patch, and the losses."""
        device = next(network.parameters()).device
        batch = self.units.batch(sample.patches, device)
        target = self._target(sample, batch, device)
        if self.mirror:
            batch, target = mirrored(batch, target, self.units.flags)
        increment, state = network(batch.y, batch.weight, batch.context, batch.operator)
        inner: Any = getattr(network, "module", network)
        truth = None
        if bool(torch.isfinite(target).all()) and not self.observed:
            truth = coarsen(Batch.from_gappy(target), inner.architecture.coarsen).y
        outcome = Outcome(
            self._shown(increment, batch), target, state, truth,
            inner.coarse(inner.batch(batch.y, batch.weight, batch.context, batch.operator)),
            inner.cost, inner.prior, sample.progress,
        )  # fmt: skip
        parts = {loss_name(loss): loss(outcome) for loss in self.losses}
        weighted = [loss.weight * parts[loss_name(loss)] for loss in self.losses]
        return torch.stack(weighted).sum(0), parts

    def score(self, network: nn.Module, samples: list[Sample]) -> float:
        """Root mean square error over all validation patches, in units of the background's.

        Where there is no target at all, and no loss needs one: the mean loss.
        """
        if self._without_target(samples):
            with torch.no_grad():
                losses = [self.loss(network, sample)[0] for sample in samples]
            return float(torch.cat(losses).mean())
        device = next(network.parameters()).device
        maps = []
        for sample in samples:
            batch = self.units.batch(sample.patches, device)
            increment, _ = network(batch.y, batch.weight, batch.context, batch.operator)
            maps.append(self._shown(increment.detach(), batch))
        return self._rms(maps, samples, device)

    def _target(self, sample: Sample, batch: Batch, device: torch.device) -> Tensor:
        return self.units.scaled_target(sample, device, batch.operator if self.observed else None)

    def _shown(self, increment: Tensor, batch: Batch) -> Tensor:
        """What is held against the target: the increment, or what is observed of it."""
        operator = batch.operator
        return increment if operator is None or not self.observed else operator(increment)

    def _without_target(self, samples: list[Sample]) -> bool:
        known = any(np.isfinite(sample.target).any() for sample in samples)
        return not known and not needs_target(self.losses)

    def background_score(self, samples: list[Sample]) -> float | None:
        """The same of the background itself; None where there is no target at all."""
        if self._without_target(samples):
            return None
        device = torch.device("cpu")
        maps = [torch.zeros(sample.target.shape) for sample in samples]
        return self._rms(maps, samples, device)

    def _rms(self, maps: list[Tensor], samples: list[Sample], device: torch.device) -> float:
        total, count = 0.0, 0
        for increment, sample in zip(maps, samples, strict=True):
            operator = self.units.batch(sample.patches, device).operator if self.observed else None
            error = (increment - self.units.scaled_target(sample, device, operator)).detach()
            known = torch.isfinite(error)
            total += float((error[known].double() ** 2).sum())
            count += int(known.sum())
        if count == 0:
            raise InputError(
                [("the validation period has nothing to score on", "choose another validation=")]
            )
        return float(np.sqrt(total / count))
