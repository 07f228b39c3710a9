"""Fitting 4DVarNet and solving with it: units on the way in and out, losses, training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from xr4dvar.batch import Batch, coarsen, interpolate
from xr4dvar.errors import InputError
from xr4dvar.losses import gradient_loss, supervised_loss
from xr4dvar.methods.base import FitOptions, Parameters, Patches, Solver
from xr4dvar.methods.device import choose_device, one_at_a_time
from xr4dvar.methods.fourdvarnet_network import Architecture, FourDVarNetwork
from xr4dvar.methods.patch_sampler import (
    PatchSampler,
    Sample,
    validation_patches,
)
from xr4dvar.methods.training import train
from xr4dvar.methods.training_data import Block, TrainingData
from xr4dvar.types import FloatArray, Role

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvarnet import FourDVarNet

#: Most cells of a block: it is in memory, and mapped by the background method, whole.
BLOCK_CELLS = 4_000_000
#: A block is this many patches long in time, so that its ends are rare but are learned too.
BLOCK_PATCHES = 5


def fit_fourdvarnet(
    method: FourDVarNet, data: TrainingData, options: FitOptions, background: Solver | None
) -> Parameters:
    """Train the network of `method` on `data`."""
    patch = method.patch_sizes(data.grid)
    block = _block_sizes(data, patch)
    sampler = PatchSampler(
        data,
        background,
        block,
        patch,
        method.training.batch_size,
        options.seed,
        redraw=method.redraw and data.supervised,
    )
    units = _Units.estimate(sampler.blocks(0), data)
    factor = method.coarsen
    if factor == "auto":
        factor = units.choose_coarsening(sampler.blocks(0))
    architecture = Architecture(
        variables=len(data.names),
        times=patch.get("time", 1),
        context=0 if background is None else len(data.names),
        prior=method.prior,
        solver=method.solver,
        iterations=method.iterations,
        widths=list(method.widths),
        prior_width=method.prior_width,
        coarsen=int(factor),
    )
    network = _make_network(architecture, options.seed)
    objective = _Objective(units, method.loss_weights, method.mirror)
    stride = {role: max(1, size // 2) for role, size in patch.items()}
    held_out = validation_patches(data, background, patch, stride, options.seed, block)
    weights, history = train(
        network,
        objective.loss,
        sampler.sample,
        lambda net: objective.score(net, held_out),
        method.training,
        options,
        {"method": asdict(method), "seed": options.seed, "shape": data.shape, "train": data.train},
    )
    history.attrs["background_loss"] = objective.background_score(held_out)
    settings = {"architecture": asdict(architecture), "units": units.settings, "patch": patch}
    return Parameters(settings, weights, history)


def make_solver(parameters: Parameters, device: str) -> Solver:
    """Give the function that maps patches with a fitted network."""
    settings = parameters.settings
    network = FourDVarNetwork(Architecture(**settings["architecture"]))
    state = {name: torch.as_tensor(array) for name, array in parameters.arrays.items()}
    network.load_state_dict(state)
    place = choose_device(device)
    network.to(place).eval().requires_grad_(False)
    units = _Units(**settings["units"])

    def solve(patches: Patches) -> FloatArray:
        with one_at_a_time(place):
            batch = units.batch(patches, place)
            increment, _ = network(batch.y, batch.weight, batch.context)
            return units.analysis(increment, patches)

    return solve


def _make_network(architecture: Architecture, seed: int) -> FourDVarNetwork:
    # fork: the user's own random numbers stay as they were
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FourDVarNetwork(architecture)


def _block_sizes(data: TrainingData, patch: Mapping[Role, int]) -> dict[Role, int]:
    """Blocks that hold several patches in time and as much of y and x as fits."""
    whole = data.sizes(data.train)
    sizes = {role: min(size, patch[role]) for role, size in whole.items()}
    if "time" in whole:
        sizes["time"] = min(whole["time"], BLOCK_PATCHES * patch["time"])
    for role in ("y", "x"):
        if role in whole:
            others = int(np.prod([size for r, size in sizes.items() if r != role]))
            sizes[role] = max(sizes[role], min(whole[role], BLOCK_CELLS // max(1, others)))
    return sizes


class _Units:
    """Per variable: mean and spread of the data, and the size of the background's error."""

    def __init__(self, mean: list[float], spread: list[float], error: list[float]):
        self.settings = {"mean": mean, "spread": spread, "error": error}
        self.mean, self.spread, self.error = (
            np.array(values, dtype=np.float32).reshape(-1, 1, 1, 1)
            for values in (mean, spread, error)
        )

    @classmethod
    def estimate(cls, blocks: list[Block], data: TrainingData) -> _Units:
        """From the statistics of the data, and blocks on which the background was tried."""
        mean, spread = list(data.normalisation.mean), list(data.normalisation.std)
        squares = [np.zeros(0)] * len(mean)
        for block in blocks:
            for v in range(len(mean)):
                guess = mean[v] if block.background is None else block.background[v]
                misfit = block.target[v] - guess
                squares[v] = np.append(squares[v], misfit[np.isfinite(misfit)] ** 2)
        error = [
            float(np.sqrt(square.mean())) if square.size else spread[v]
            for v, square in enumerate(squares)
        ]
        return cls(mean, spread, error)

    def first_guess(self, patches: Patches) -> FloatArray:
        """The background, or the mean where there is none."""
        if patches.background is None:
            return np.broadcast_to(self.mean, patches.y.shape)
        return patches.background

    def batch(self, patches: Patches, device: torch.device) -> Batch:
        """Scaled innovations and context, on the device."""
        innovation = (patches.y - self.first_guess(patches)) / self.error
        context = None
        if patches.background is not None:
            context = _tensor((patches.background - self.mean) / self.spread, device)
        return Batch.from_gappy(_tensor(innovation, device), context)

    def scaled_target(self, sample: Sample, device: torch.device) -> Tensor:
        """What the increment should be."""
        return _tensor((sample.target - self.first_guess(sample.patches)) / self.error, device)

    def analysis(self, increment: Tensor, patches: Patches) -> FloatArray:
        """Back to the data's units."""
        return self.first_guess(patches) + increment.float().cpu().numpy() * self.error

    def choose_coarsening(self, blocks: list[Block]) -> int:
        """The largest factor that loses less than 2 % of the variance of what is to be learned.

        That is the background's error where the target has no gap; elsewhere the background's
        own anomalies stand for it.
        """
        for factor in (4, 2):
            lost = [self._lost(block, factor) for block in blocks]
            if np.mean(lost) < 0.02:
                return factor
        return 1

    def _lost(self, block: Block, factor: int) -> float:
        """Share of the variance that a coarse grid cannot hold."""
        guess = self.mean if block.background is None else block.background
        if np.isfinite(block.target).all():
            field: FloatArray = (block.target - guess) / self.error
        elif block.background is not None:
            field = (guess - self.mean) / self.spread
        else:
            return np.inf
        if min(field.shape[-2:]) < 4 * factor:
            return np.inf
        x = _tensor(field[np.newaxis], torch.device("cpu"))
        coarse = coarsen(Batch.from_gappy(x), factor).y
        back = interpolate(coarse, factor, (x.shape[-2], x.shape[-1]))
        inner = (..., slice(factor, -factor), slice(factor, -factor))
        return float(((back - x)[inner] ** 2).mean() / (x[inner] ** 2).mean())


class _Objective:
    """The training loss and the validation score."""

    def __init__(self, units: _Units, weights: Mapping[str, float], mirror: bool):
        self.units = units
        self.weights = weights
        self.mirror = mirror

    def loss(self, network: nn.Module, sample: Sample) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of the losses of each patch, and the losses."""
        device = next(network.parameters()).device
        batch, target = (
            self.units.batch(sample.patches, device),
            self.units.scaled_target(sample, device),
        )
        if self.mirror:
            batch, target = _mirrored(batch, target)
        increment, state = network(batch.y, batch.weight, batch.context)
        every = torch.ones(1, device=device)
        parts = {"supervised": supervised_loss(increment, target, every)}
        if self.weights["gradient"]:
            parts["gradient"] = gradient_loss(increment, target, every)
        inner: Any = getattr(network, "module", network)
        coarse = coarsen(batch, inner.architecture.coarsen)
        if self.weights["regularisation"]:
            parts["regularisation"] = inner.prior_misfit(state, coarse)
            if bool(torch.isfinite(target).all()):
                truth = coarsen(Batch.from_gappy(target), inner.architecture.coarsen).y
                parts["regularisation"] = parts["regularisation"] + inner.prior_misfit(
                    truth, coarse
                )
        if self.weights["variational"]:
            parts["variational"] = inner.cost(state, coarse) / state[0].numel()
        total = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum(0)
        return total, parts

    def score(self, network: nn.Module, samples: list[Sample]) -> float:
        """Root mean square error over all validation patches, in units of the background's."""
        device = next(network.parameters()).device
        maps = []
        for sample in samples:
            batch = self.units.batch(sample.patches, device)
            maps.append(network(batch.y, batch.weight, batch.context)[0].detach())
        return self._rms(maps, samples, device)

    def background_score(self, samples: list[Sample]) -> float:
        """The same of the background itself."""
        device = torch.device("cpu")
        maps = [torch.zeros(sample.target.shape) for sample in samples]
        return self._rms(maps, samples, device)

    def _rms(self, maps: list[Tensor], samples: list[Sample], device: torch.device) -> float:
        total, count = 0.0, 0
        for increment, sample in zip(maps, samples, strict=True):
            error = (increment - self.units.scaled_target(sample, device)).detach()
            known = torch.isfinite(error)
            total += float((error[known].double() ** 2).sum())
            count += int(known.sum())
        if count == 0:
            raise InputError(
                [("the validation period has nothing to score on", "choose another validation=")]
            )
        return float(np.sqrt(total / count))


def _mirrored(batch: Batch, target: Tensor) -> tuple[Batch, Tensor]:
    """Turn every other patch north to south and change its sign."""
    context = None if batch.context is None else _mirror(batch.context, -1.0)
    flipped = Batch(_mirror(batch.y, -1.0), _mirror(batch.weight, 1.0), context)
    return flipped, _mirror(target, -1.0)


def _mirror(x: Tensor, sign: float) -> Tensor:
    x = x.clone()
    x[1::2] = sign * x[1::2].flip(-2)
    return x


def _tensor(array: FloatArray, device: torch.device) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32), device=device)
