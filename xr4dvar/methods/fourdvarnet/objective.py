"""What 4DVarNet is trained for, and what it is validated by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xr4dvar.cost.batch import Batch, coarsen
from xr4dvar.cost.cost import Cost, PriorTerm
from xr4dvar.errors import InputError
from xr4dvar.methods.fourdvarnet.units import Units
from xr4dvar.training.losses import gradient_loss, supervised_loss
from xr4dvar.training.mirror import mirrored
from xr4dvar.training.sampler import Sample

__all__ = ["Objective", "cost_as_loss", "needs_target"]


#: Share of training in which a given variance of the model's error falls to its value.
ANNEALED = 0.5


class Objective:
    """The training loss and the validation score."""

    def __init__(
        self, units: Units, weights: Mapping[str, float], mirror: bool, observed: bool = False
    ):
        self.units = units
        self.weights = weights
        self.mirror = mirror
        self.observed = observed  # targets are observations that were hidden, of an operator

    def loss(self, network: nn.Module, sample: Sample) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of the losses of each patch, and the losses."""
        device = next(network.parameters()).device
        batch = self.units.batch(sample.patches, device)
        target = self._target(sample, batch, device)
        if self.mirror:
            batch, target = mirrored(batch, target)
        increment, state = network(batch.y, batch.weight, batch.context, batch.operator)
        shown = self._shown(increment, batch)
        every = torch.ones(1, device=device)
        parts = {"supervised": supervised_loss(shown, target, every)}
        if self.weights["gradient"]:
            parts["gradient"] = gradient_loss(shown, target, every)
        inner: Any = getattr(network, "module", network)
        coarse = inner.coarse(batch)
        if self.weights["regularisation"]:
            parts["regularisation"] = inner.prior_misfit(state, coarse)
            if bool(torch.isfinite(target).all()) and not self.observed:
                truth = coarsen(Batch.from_gappy(target), inner.architecture.coarsen).y
                parts["regularisation"] = parts["regularisation"] + inner.prior_misfit(
                    truth, coarse
                )
        if self.weights["variational"]:
            cost = cost_as_loss(inner.cost, state, coarse, sample.progress)
            parts["variational"] = cost / state[0].numel()
        total = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum(0)
        return total, parts

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
        return not known and not needs_target(self.weights)

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


def needs_target(weights: Mapping[str, float]) -> bool:
    """Whether one of the losses is that of maps against something that was not shown."""
    return bool(weights["supervised"] or weights["gradient"])


def cost_as_loss(cost: Cost, state: Tensor, batch: Batch, progress: float = 1.0) -> Tensor:
    """The cost of each sample as a loss: larger variances must not look like a better fit.

    A given variance of the model's error is approached from 1, the variance of the state,
    geometrically, as training goes on (`progress`, from 0 to 1). With a tight model from the
    start a network learns to rest where the model does, whatever is observed
    (annealing of the precision: Ye et al. 2015, https://doi.org/10.5194/npg-22-205-2015).
    """
    variances = {
        name: parameter.detach()
        for name, parameter in cost.named_parameters()
        if name.endswith("variance.log")
    }
    looser = max(0.0, 1 - progress / ANNEALED)
    for number, term in enumerate(cost.terms):
        if isinstance(term, PriorTerm) and not term.variance.learned:
            name = f"terms.{number}.variance.log"
            given = variances[name]
            variances[name] = given.clamp(min=0) + (1 - looser) * given.clamp(max=0)
    value: Tensor = torch.func.functional_call(cost, variances, (state, batch))
    return value
