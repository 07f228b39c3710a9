"""The units that 4DVarNet works in: innovations over the size of the background's error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xr4dvar.contract.observing import through
from xr4dvar.contract.patches import Patches
from xr4dvar.contract.states import usable_spread
from xr4dvar.contract.training_data import Block, Covariates, TrainingData
from xr4dvar.cost.batch import Batch, coarsen, interpolate
from xr4dvar.errors import InputError
from xr4dvar.operators.scaled import InUnits
from xr4dvar.training.sampler import Sample
from xr4dvar.types import FloatArray

__all__ = ["Units", "tensor"]


#: Least error of a time of a forecast, as a share of the largest: where all is observed it is 0.
SMALLEST = 0.1


class Units:
    """Mean and spread of the data, and the size of the background's error, in float64.

    The network is float32: what it sees are anomalies, from which the mean has been taken off
    before the cast, and the mean is put back after it.

    Parameters
    ----------
    mean, spread, error : nested lists
        One number a variable; of series, (V, 1, Y, X) numbers, one a component.
    covariates : mapping, optional
        ``"mean"``, ``"std"`` and ``"gappy"``, lists with an entry for each.
    fields : list of float, optional
        Size of the innovations of each observed field, where these are others than the variables.
    """

    def __init__(
        self,
        mean: list[Any],
        spread: list[Any],
        error: list[Any],
        covariates: Mapping[str, Any] | None = None,
        fields: Sequence[float] = (),
    ):
        self.settings: dict[str, Any] = {"mean": mean, "spread": spread, "error": error}
        self.known = covariates or {"mean": [], "std": [], "gappy": []}
        if covariates:
            self.settings["covariates"] = covariates
        if fields:
            self.settings["fields"] = list(fields)
        self.fields = np.array(fields, dtype=np.float64).reshape(-1, 1, 1, 1)
        self.mean, self.spread, self.error = (
            _four_axes(np.array(values, dtype=np.float64)) for values in (mean, spread, error)
        )

    @classmethod
    def estimate(cls, blocks: list[Block], data: TrainingData) -> Units:
        """From the statistics of the data, and blocks on which the background was tried."""
        mean, spread = list(data.normalisation.mean), list(data.normalisation.std)
        squares = [np.zeros(0)] * len(mean)
        for block in blocks:
            for v in range(len(mean)):
                guess = mean[v] if block.background is None else block.background[v]
                misfit = np.subtract(block.target[v], guess, dtype=np.float64)
                squares[v] = np.append(squares[v], misfit[np.isfinite(misfit)] ** 2)
        error = [
            float(np.sqrt(square.mean())) if square.size else spread[v]
            for v, square in enumerate(squares)
        ]
        return cls(mean, spread, error)

    @classmethod
    def of_components(
        cls, blocks: list[Block], data: TrainingData, states: FloatArray | None = None
    ) -> Units:
        """The same for series: each component by itself, from what blocks say of it.

        A component that is never known in them has the statistics of a model's states (n, V, 1,
        Y, X), where those are given, else of its variable.
        """
        general = cls.estimate(blocks, data)
        if states is not None:
            mean, spread = states.mean(0).tolist(), states.std(0).tolist()
            general = cls(mean, spread, np.broadcast_to(general.error, states.shape[1:]).tolist())
        known = np.stack([np.where(np.isfinite(b.target), b.target, b.y) for b in blocks])
        known = known.astype(np.float64)
        count = np.isfinite(known).sum((0, 2), keepdims=True)[0]
        total = np.nansum(known, (0, 2), keepdims=True)[0]
        mean = np.where(count, total / np.maximum(count, 1), general.mean)
        squares = np.nansum((known - mean) ** 2, (0, 2), keepdims=True)[0]
        spread = np.where(count > 1, np.sqrt(squares / np.maximum(count, 1)), general.spread)
        spread = usable_spread(spread, mean, general.spread)
        error = spread
        if blocks[0].background is not None:
            error = np.broadcast_to(general.error, mean.shape)
        return cls(mean.tolist(), spread.tolist(), error.tolist())

    def by_lead(self, blocks: list[Block]) -> Units:
        """The same with an error for each time of a window: a forecast's grows with its lead."""
        squares = []
        for block in blocks:
            guess = self.mean if block.background is None else block.background
            squares.append(np.subtract(block.target, guess, dtype=np.float64) ** 2)
        known = np.isfinite(squares)
        count = known.sum((0, 3, 4))
        total = np.where(known, squares, 0.0).sum((0, 3, 4))
        error = np.sqrt(np.where(count, total / np.maximum(count, 1), self.error[:, :, 0, 0] ** 2))
        error = np.maximum(error, SMALLEST * error.max(1, keepdims=True))
        return self._with(error=error[..., None, None].tolist())

    def with_covariates(self, covariates: Covariates | None) -> Units:
        """The same, and those of covariates."""
        if covariates is None:
            return self
        scale = covariates.normalisation
        known = {
            "mean": list(scale.mean), "std": list(scale.std), "gappy": list(covariates.gappy)
        }  # fmt: skip
        return self._with(covariates=known)

    def of_fields(self, blocks: list[Block], data: TrainingData) -> Units:
        """The same, and the sizes of the innovations of observed fields that are others."""
        if not data.states or data.binder is None:
            return self
        squares = []
        for block in blocks:
            each = {role: values[np.newaxis] for role, values in block.coordinates.items()}
            operator, _ = data.binder(each)
            guess = np.broadcast_to(self.mean, block.target.shape)
            guess = guess if block.background is None else block.background
            squares.append((block.y - through(operator, guess[np.newaxis])[0]) ** 2)
        known = np.isfinite(squares)
        count, total = known.sum((0, 2, 3, 4)), np.where(known, squares, 0.0).sum((0, 2, 3, 4))
        sizes = np.sqrt(np.where(total > 0, total / np.maximum(count, 1), 1.0))
        return self._with(fields=sizes.tolist())

    def _with(self, **others: Any) -> Units:
        """The same with other settings."""
        return Units(**{**self.settings, **others})

    @property
    def flags(self) -> int:
        """The last fields of the context that are 1 where a gappy covariate is known, else 0."""
        return sum(self.known["gappy"])

    @property
    def known_context(self) -> int:
        """Fields of the context that covariates are."""
        return len(self.known["mean"]) + self.flags

    def scaled_variance(
        self, variance: float | Sequence[float] | None, *, observed: bool = False
    ) -> list[Any] | None:
        """A variance in the data's units squared, of all or of each, in units of the error.

        Those of observed fields that are others than the variables in units of their innovations.
        """
        if variance is None:
            return None
        if observed and len(self.fields):
            of_fields = np.broadcast_to(np.asarray(variance, dtype=np.float64), len(self.fields))
            return (of_fields / self.fields.ravel() ** 2).tolist()  # type: ignore[no-any-return]
        same = self.error[:, :1]  # at all times
        each = np.broadcast_to(np.asarray(variance, dtype=np.float64), same.size)
        scaled: list[Any] = (each.reshape(same.shape) / self.error**2).tolist()
        return scaled

    def first_guess(self, patches: Patches) -> FloatArray:
        """The background, or the mean where there is none."""
        if patches.background is None:
            n, _, *cells = patches.y.shape
            return np.broadcast_to(self.mean, (n, len(self.mean), *cells))
        return patches.background

    def batch(self, patches: Patches, device: torch.device) -> Batch:
        """Scaled innovations and context, on the device."""
        operator = None
        if patches.operator is None:
            innovation = self._increment(patches.y, patches)
        else:
            guess = torch.tensor(self.first_guess(patches), dtype=torch.float64)
            unit = torch.tensor(self.fields) if len(self.fields) else None
            operator = InUnits(patches.operator, guess, torch.tensor(self.error), unit)
            innovation = operator.scaled(torch.as_tensor(patches.y)).numpy()
        context = self._context(patches, device)
        batch = Batch.from_gappy(tensor(innovation, device), context)
        return replace(batch, operator=operator)

    def _context(self, patches: Patches, device: torch.device) -> Tensor | None:
        """The background, the covariates, and where those with gaps are known."""
        fields: list[FloatArray] = []
        if patches.background is not None:
            fields.append((patches.background - self.mean) / self.spread)
        if self.known["mean"]:
            fields += self._covariates(patches)
        return tensor(np.concatenate(fields, axis=1), device) if fields else None

    def _covariates(self, patches: Patches) -> list[FloatArray]:
        """Covariates in units of their spread, 0 where one is missing, and flags of the gaps."""
        mean, std = (_four_axes(np.array(self.known[name])) for name in ("mean", "std"))
        values = (np.asarray(patches.covariates, dtype=np.float64) - mean) / std
        missing = np.isnan(values)
        gappy = np.array(self.known["gappy"], dtype=bool)
        if missing[:, ~gappy].any():
            what = "covariates have missing values that had none where the model was fitted"
            raise InputError([(what, "fill them, or fit with gaps in them")])
        flags = 1.0 - missing[:, gappy]
        return [np.where(missing, 0.0, values), flags]

    def scaled_target(self, sample: Sample, device: torch.device, operator: Any = None) -> Tensor:
        """What the increment should be or, with an operator, what should be observed of it."""
        if operator is not None:
            return tensor(operator.scaled(torch.as_tensor(sample.target)).numpy(), device)
        return tensor(self._increment(sample.target, sample.patches), device)

    def _increment(self, fields: FloatArray, patches: Patches) -> FloatArray:
        """Fields less the first guess, in units of its error."""
        return np.subtract(fields, self.first_guess(patches), dtype=np.float64) / self.error

    def analysis(self, increment: Tensor, patches: Patches) -> FloatArray:
        """Back to the data's units, float64."""
        return self.first_guess(patches) + increment.float().cpu().numpy() * self.error

    def choose_coarsening(self, blocks: list[Block], circle: int = 0) -> int:
        """The largest factor that loses less than 2 % of the variance of what is to be learned.

        That is the background's error where the target has no gap; elsewhere the background's
        own anomalies stand for it. Cells of a circle are merged by a divisor of their number.
        """
        for factor in (factor for factor in (4, 2) if circle % factor == 0):
            lost = [self._lost(block, factor) for block in blocks]
            if np.mean(lost) < 0.02:
                return factor
        return 1

    def _lost(self, block: Block, factor: int) -> float:
        """Share of the variance that a coarse grid cannot hold."""
        guess = self.mean if block.background is None else block.background
        if np.isfinite(block.target).all():
            field: FloatArray = np.subtract(block.target, guess, dtype=np.float64) / self.error
        elif block.background is not None:
            field = (guess - self.mean) / self.spread
        else:
            return np.inf
        if min(field.shape[-2:]) < 4 * factor:
            return np.inf
        x = tensor(field[np.newaxis], torch.device("cpu"))
        coarse = coarsen(Batch.from_gappy(x), factor).y
        back = interpolate(coarse, factor, (x.shape[-2], x.shape[-1]))
        inner = (..., slice(factor, -factor), slice(factor, -factor))
        return float(((back - x)[inner] ** 2).mean() / (x[inner] ** 2).mean())


def _four_axes(values: FloatArray) -> FloatArray:
    """(V,) or (V, 1, Y, X) as the latter."""
    return values.reshape(-1, 1, 1, 1) if values.ndim < 4 else values


def tensor(array: FloatArray, device: torch.device) -> Tensor:
    """Give a float32 tensor on the device, of numbers that are scaled."""
    return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32), device=device)
