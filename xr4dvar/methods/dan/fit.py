"""Fitting a data assimilation network, and filtering or smoothing with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from xr4dvar.contract.method import FitOptions, Parameters
from xr4dvar.contract.patches import Patches
from xr4dvar.contract.states import components, usable_spread
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.cost.chain import from_states, to_states
from xr4dvar.errors import InputError
from xr4dvar.methods.dan.network import (
    Architecture,
    FilterNetwork,
    minus_log_density,
    standard_deviation,
)
from xr4dvar.training.device import choose_device, one_at_a_time
from xr4dvar.training.loop import train
from xr4dvar.training.sampler import PatchSampler, Sample, validation_patches
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.dan.config import DataAssimilationNetwork

#: States that mean and spread are taken from.
STATISTICS = 10_000


class States:
    """Chains of scaled states (B, T, n) of patches (B, V, T, Y, X), and back.

    Mean and spread are float64: they are taken off before the network's float32, and put back
    after it.
    """

    def __init__(self, mean: list[float], spread: list[float]):
        self.settings = {"mean": mean, "spread": spread}
        self.mean, self.spread = (np.array(values, dtype=np.float64) for values in (mean, spread))

    @classmethod
    def estimate(cls, sampler: PatchSampler) -> States:
        """From the statistics of the targets of the first steps."""
        found: list[FloatArray] = []
        while sum(map(len, found)) < STATISTICS:
            found.append(_chain(sampler.sample(len(found)).target).flatten(0, 1).numpy())
        states = np.concatenate(found).astype(np.float64)
        if not np.isfinite(states).all(1).any():
            what = "at no time are all components of the target known"
            fix = "leave those that are never known out of the observations and of the target"
            raise InputError([(what, fix)])
        mean = np.nanmean(states, 0)
        spread = usable_spread(np.nanstd(states, 0), mean, 1.0)
        return cls(mean.tolist(), spread.tolist())

    def scaled(self, fields: FloatArray, device: torch.device) -> Tensor:
        """Anomalies in units of the spread; NaN stays."""
        states = (_chain(fields).numpy() - self.mean) / self.spread
        return torch.as_tensor(states, dtype=torch.float32, device=device)


def _chain(fields: FloatArray) -> Tensor:
    return to_states(torch.from_numpy(np.ascontiguousarray(fields)))


def fit_dan(method: DataAssimilationNetwork, data: TrainingData, options: FitOptions) -> Parameters:
    """Train the network of `method` on `data`."""
    if not data.supervised:
        what = "a data assimilation network learns from true states, and there is no target"
        raise InputError([(what, "give target=, or use FourDVarNet")])
    patch = {role: window.patch for role, window in method.windows(data.grid, Parameters()).items()}
    size = method.training.batch_size
    sampler = PatchSampler(data, None, patch, patch, size, options.seed, kept=size, fresh=size)
    states = States.estimate(sampler)
    architecture = Architecture(
        components(data.grid, data.names),
        method.width,
        method.depth,
        smooths=method.estimate == "smoothed",
    )
    with torch.random.fork_rng():  # the user's own random numbers stay as they were
        torch.manual_seed(options.seed)
        network = FilterNetwork(architecture)
    held_out = validation_patches(data, None, patch, patch, options.seed, patch)

    def loss(network: nn.Module, sample: Sample) -> tuple[Tensor, dict[str, Tensor]]:
        return _loss(network, sample, states)

    def validate(network: nn.Module) -> float:
        with torch.no_grad():
            return float(torch.cat([loss(network, sample)[0] for sample in held_out]).mean())

    identity = {
        "method": asdict(method),
        "seed": options.seed,
        "shape": data.shape,
        "train": data.train,
        "validation": data.validation,
        "mean": [f"{value:.4g}" for value in states.settings["mean"]],
    }
    weights, history = train(
        network, loss, sampler.sample, validate, method.training, options, identity
    )
    settings = {"architecture": asdict(architecture), "states": states.settings}
    return Parameters(settings, weights, history)


def _loss(network: nn.Module, sample: Sample, states: States) -> tuple[Tensor, dict[str, Tensor]]:
    """Minus the log-likelihood of the true states, mean over the times where all is known."""
    device = next(network.parameters()).device
    truth = states.scaled(sample.target, device)
    known = torch.isfinite(truth).all(-1)
    mean, root = network(*_observed(sample.patches.y, states, device))
    each = minus_log_density(torch.where(known[..., None], truth, 0.0), mean, root)
    losses = torch.where(known, each, 0.0).sum(-1) / known.sum(-1).clamp(min=1)
    names = ("before", "after", "smoothed")
    return losses.sum(0), dict(zip(names, losses, strict=False))


def _observed(y: FloatArray, states: States, device: torch.device) -> tuple[Tensor, Tensor]:
    scaled = states.scaled(y, device)
    seen = torch.isfinite(scaled)
    return torch.where(seen, scaled, 0.0), seen.to(scaled.dtype)


class FilterEngine:
    """A fitted data assimilation network."""

    def __init__(self, method: DataAssimilationNetwork, parameters: Parameters, device: str):
        settings = parameters.settings
        self.states, self.place = States(**settings["states"]), choose_device(device)
        network = FilterNetwork(Architecture(**settings["architecture"]))
        network.load_state_dict(
            {name: torch.as_tensor(array) for name, array in parameters.arrays.items()}
        )
        self.network = network.to(self.place).eval().requires_grad_(False)

    def maps(self, patches: Patches) -> FloatArray:
        """Means of the states."""
        return self.errors(patches)[0]

    def errors(self, patches: Patches) -> tuple[FloatArray, FloatArray]:
        """Means and standard deviations of the states."""
        states = self.states
        with one_at_a_time(self.place):
            means, roots = self.network(*_observed(patches.y, states, self.place))
            # the last: of a smoother after all observations, of a filter after those of each time
            mean, deviation = means[-1].cpu().numpy(), standard_deviation(roots[-1]).cpu().numpy()
        like = torch.from_numpy(patches.y)
        scaled = mean * states.spread + states.mean, deviation * states.spread
        maps, errors = (from_states(torch.from_numpy(values), like).numpy() for values in scaled)
        return maps, errors
