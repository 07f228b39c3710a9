"""Training the networks among the priors: to compress windows, to denoise or to predict them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from xr4dvar.contract.method import FitOptions
from xr4dvar.contract.patches import Patches
from xr4dvar.methods.variational.prior import AT_ONCE, make_prior
from xr4dvar.priors.denoiser import Denoiser
from xr4dvar.priors.static import ModulePrior, StaticPrior
from xr4dvar.registry import to_config
from xr4dvar.training.loop import train
from xr4dvar.training.sampler import Sample
from xr4dvar.training_options import Training, prior_training
from xr4dvar.types import FloatArray

__all__ = ["train_prior"]

#: The highest noise level that a denoiser learns, in units of the spread of the data.
HIGHEST = 2.0
#: Streams of random numbers that must not repeat each other.
TRAINING, VALIDATION = 1, 2


def train_prior(
    config: StaticPrior | ModulePrior,
    settings: Mapping[str, Any],
    windows: FloatArray,
    held_out: FloatArray,
    lowest: float,
    options: FitOptions,
) -> tuple[dict[str, np.ndarray], xr.Dataset | None]:
    """Train on scaled windows (n, V, T, Y, X).

    Parameters
    ----------
    config : StaticPrior or ModulePrior
    settings : mapping
        See `make_prior`.
    windows, held_out : numpy.ndarray
        To learn from, and to validate on.
    lowest : float
        The lowest noise level that a denoiser learns.
    options : FitOptions

    Returns
    -------
    weights : dict of numpy.ndarray
    history : xarray.Dataset, or None where there is nothing to learn
    """
    windows, held_out = windows.astype(np.float32), held_out.astype(np.float32)
    training: Training = getattr(config, "training", prior_training())
    noisy = isinstance(config, Denoiser)

    def shown(chosen: FloatArray, generator: np.random.Generator) -> Sample:
        if not noisy:
            return Sample(Patches(chosen, {}), chosen)
        return _with_noise(chosen, lowest, generator)

    def sample(step: int, rank: int) -> Sample:
        generator = np.random.default_rng([options.seed, TRAINING, step, rank])
        chosen = windows[generator.integers(len(windows), size=training.batch_size)]
        return shown(chosen, generator)

    generator = np.random.default_rng([options.seed, VALIDATION])
    parts = [shown(held_out[n : n + AT_ONCE], generator) for n in range(0, len(held_out), AT_ONCE)]

    def validate(network: nn.Module) -> float:
        with torch.no_grad():
            return float(torch.cat([_errors(network, part) for part in parts]).mean().sqrt())

    # fork: the user's own random numbers stay as they were
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        network = make_prior(config, settings, {})
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return {}, None  # it is known, and there is nothing to learn
    return train(
        network,
        lambda net, drawn: (_errors(net, drawn), {}),
        sample,
        validate,
        training,
        options,
        _identity(config, settings, windows, options),
    )


def _with_noise(windows: FloatArray, lowest: float, generator: np.random.Generator) -> Sample:
    """Windows with white noise, its level drawn from all orders of magnitude alike."""
    levels = np.exp(generator.uniform(math.log(lowest), math.log(HIGHEST), len(windows)))
    levels = levels.astype(np.float32).reshape(-1, 1, 1, 1, 1)
    noise = generator.standard_normal(windows.shape, dtype=np.float32)
    return Sample(Patches(windows + levels * noise, {}, error_variance=levels**2), windows)


def _errors(network: nn.Module, sample: Sample) -> Tensor:
    """Mean square error of each window, (B,); of a denoiser, over that of its first guess."""
    place = next(network.parameters()).device
    shown, target = (torch.as_tensor(a, device=place) for a in (sample.patches.y, sample.target))
    variance = sample.patches.error_variance
    if variance is None:
        squares: Tensor = (network(shown) - target) ** 2
    else:
        level = torch.as_tensor(variance, device=place).sqrt()
        found = network(shown, level.flatten())
        squares = (found - target) ** 2 * (1 + level**2) / level**2
    return squares.flatten(1).mean(1)


def _identity(
    config: StaticPrior | ModulePrior,
    settings: Mapping[str, Any],
    windows: FloatArray,
    options: FitOptions,
) -> dict[str, Any]:
    """What makes a fit this one: a checkpoint of any other is not gone on from."""
    # a few digits tell other data apart, and do not tell sums of another order
    statistics = [f"{float(number):.4g}" for number in (windows.std(), np.abs(windows).mean())]
    return {
        "prior": to_config(config),
        "settings": dict(settings),
        "shape": windows.shape,
        "statistics": statistics,
        "seed": options.seed,
    }
