"""The priors of `Variational` as torch modules, EOFs, and the statistics of codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xr4dvar.dynamics.model import Dynamics, flow_of
from xr4dvar.errors import InputError
from xr4dvar.networks.layout import Layout
from xr4dvar.priors import (
    DynamicsPrior,
    EOFProjection,
    NoiseLevelUNet,
)
from xr4dvar.priors.denoiser import Denoiser
from xr4dvar.priors.eof import EOFs
from xr4dvar.priors.static import is_module_prior

__all__ = ["code_statistics", "find_modes", "make_prior"]

#: Times in a row that are channels of one place, of series.
FOLD = 4
#: Windows that are encoded at a time.
AT_ONCE = 128


def make_prior(config: object, settings: Mapping[str, Any], arrays: Mapping[str, Any]) -> nn.Module:
    """Make a prior of scaled windows, with its weights where there are some.

    Parameters
    ----------
    config : StaticPrior, ModulePrior or Dynamics
    settings : mapping
        ``shape`` (V, T, Y, X), ``grid`` and ``wraps`` (see `Layout`), ``spacing`` of the times.
    arrays : mapping of str to numpy.ndarray
        ``prior/...``: weights; ``mean`` and ``spread`` of the data.
    """
    weights = {
        name.removeprefix("prior/"): torch.as_tensor(array)
        for name, array in arrays.items()
        if name.startswith("prior/")
    }
    if isinstance(config, EOFs):
        return EOFProjection(weights["mean"], weights["modes"])
    if isinstance(config, Dynamics):
        mean, spread = (torch.as_tensor(arrays[name]) for name in ("mean", "spread"))
        return DynamicsPrior(flow_of(config, settings["spacing"]), mean, spread.expand_as(mean))
    maps = settings["grid"] == "y-x"
    layout = Layout(settings["grid"], 1 if maps else FOLD, settings["wraps"])
    prior: nn.Module
    if isinstance(config, Denoiser):
        channels = layout.channels(settings["shape"])
        prior = NoiseLevelUNet(channels, config.widths, config.depth, layout)
    elif is_module_prior(config):
        prior = config.module(settings["shape"], 0, layout)
    else:
        raise TypeError(f"{config!r} is no prior")
    if weights:
        prior.load_state_dict(weights)
    return prior


def find_modes(windows: Tensor, count: int) -> dict[str, np.ndarray]:
    """Mean and leading singular vectors of windows (n, V, T, Y, X), largest first.

    Raises
    ------
    InputError
        There are fewer than `count` of them.
    """
    mean = windows.mean(0)
    values, vectors = torch.linalg.svd((windows - mean).flatten(1), full_matrices=False)[1:]
    rank = int((values > 1e-10 * values[0]).sum())
    if rank < count:
        what = f"modes is {count}, the target's {len(windows)} windows without gaps have {rank}"
        raise InputError([(what, f"use at most {rank} modes, or more or longer windows")])
    modes = vectors[:count]
    # of the two directions of a mode: that in which its largest number is positive
    largest = modes.gather(1, modes.abs().argmax(1, keepdim=True))
    modes = (modes * largest.sign()).reshape(count, *mean.shape)
    return {"mean": mean.numpy(), "modes": modes.numpy()}


def code_statistics(prior: nn.Module, windows: Tensor) -> dict[str, np.ndarray]:
    """Mean of the codes of windows, and the Cholesky factor of their covariance."""
    with torch.no_grad():
        parts = [prior.encode(part) for part in windows.split(AT_ONCE)]  # type: ignore[operator]
    codes = torch.cat(parts)
    covariance = torch.cov(codes.mT, correction=0).reshape(codes.shape[1], -1)
    # numbers that the code does not use are given a little room
    covariance.diagonal().add_(1e-10 * covariance.diagonal().mean() + 1e-30)
    return {"mean": codes.mean(0).numpy(), "root": torch.linalg.cholesky(covariance).numpy()}
