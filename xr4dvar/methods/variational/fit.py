"""Learning the prior of `Variational`, and how wrong it is, from complete windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xr4dvar.contract.layouts import goes_round, layout_grid
from xr4dvar.contract.method import FitOptions, Parameters
from xr4dvar.contract.states import components, spacing_of
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.dynamics.climate import free_run
from xr4dvar.dynamics.model import Dynamics, flow_of, is_dynamics
from xr4dvar.labels import Grid
from xr4dvar.methods.variational.engine import noise_levels
from xr4dvar.methods.variational.prior import AT_ONCE, code_statistics, find_modes, make_prior
from xr4dvar.methods.variational.training import train_prior
from xr4dvar.operators.operator import other_fields
from xr4dvar.priors.denoiser import Denoiser
from xr4dvar.priors.eof import EOFs
from xr4dvar.priors.static import ModulePrior
from xr4dvar.training.windows import whole_windows
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.variational.config import Variational

__all__ = ["fit_variational", "known_model"]

#: Share of the variance of a variable below which no prior is taken to be wrong: a cost that
#: trusts one far more than the observations has a minimum that no solver gets to.
LEAST_ERROR = 1e-6
#: States of a free run that mean and spread are taken from, where there is no target.
CLIMATE = 2000


def fit_variational(method: Variational, data: TrainingData, options: FitOptions) -> Parameters:
    """Learn the prior, its error and the statistics of its codes, as far as they are needed."""
    patch = method.patch_sizes(data.grid)
    windows, held_out = whole_windows(data, patch, options.seed)
    arrays: dict[str, Any] = _scales(windows)
    mean, spread = arrays["mean"], arrays["spread"]
    windows, held_out = ((a.astype(np.float64) - mean) / spread for a in (windows, held_out))
    settings = _settings(method, data.grid, windows.shape[1:])
    weights: dict[str, np.ndarray] = {}
    history = None
    if isinstance(method.prior, EOFs):
        weights = find_modes(torch.from_numpy(windows), method.prior.modes)
    elif isinstance(method.prior, Denoiser | ModulePrior):
        lowest = noise_levels(method, mean, spread)[-1]
        weights, history = train_prior(method.prior, settings, windows, held_out, lowest, options)
    arrays |= {f"prior/{name}": array for name, array in weights.items()}
    if not isinstance(method.prior, Denoiser):
        arrays |= _errors(method, settings, arrays, windows, held_out)
    return Parameters(settings, arrays, history)


def known_model(
    method: Variational, model: Dynamics, grid: Grid, names: Sequence[str]
) -> Parameters:
    """Take mean and spread of the data from a free run of the model that is the prior."""
    size = components(grid, names)
    step = flow_of(model, spacing_of(grid, model), size)
    y, x = (grid[role].size if role in grid.roles else 1 for role in ("y", "x"))
    shape = len(names), method.patch_sizes(grid)["time"], y, x
    states = free_run(step, size, CLIMATE, seed=0).reshape(-1, len(names), 1, y, x)
    scales = _scales(states)
    # a model that settles has no spread: what is seen of it spreads as its errors do
    if not other_fields(method.operator):
        least = float(np.min(method.error_variance)) ** 0.5  # type: ignore[arg-type]
        scales["spread"] = np.maximum(scales["spread"], least)
    return Parameters(_settings(method, grid, shape), scales)


def _settings(method: Variational, grid: Grid, shape: Sequence[int]) -> dict[str, Any]:
    """What a prior has to know of the data; `shape` (V, T, Y, X) is that of a window."""
    return {
        "patch": method.patch_sizes(grid),
        "shape": list(shape),
        "grid": layout_grid(grid),
        "wraps": not isinstance(method.prior, EOFs)
        and not is_dynamics(method.prior)
        and goes_round(grid, method.patch_sizes(grid)),
        "spacing": spacing_of(grid, method.prior) if is_dynamics(method.prior) else 1.0,
        "places": _places(grid),
    }


def _scales(windows: FloatArray) -> dict[str, np.ndarray]:
    """Mean of each place, (V, 1, Y, X), and spread of each variable about it, (V, 1, 1, 1)."""
    mean = windows.mean((0, 2), dtype=np.float64, keepdims=True)[0]
    squares = np.mean((windows - mean) ** 2, (0, 2, 3, 4), keepdims=True)[0]
    return {"mean": mean, "spread": np.sqrt(np.where(squares > 0, squares, 1.0))}


def _errors(
    method: Variational,
    settings: dict[str, Any],
    arrays: dict[str, Any],
    windows: FloatArray,
    held_out: FloatArray,
) -> dict[str, np.ndarray]:
    """Variance of ``x - Phi(x)`` where it was not learned, and statistics of codes."""
    prior = make_prior(method.prior, settings, arrays).double().eval().requires_grad_(False)
    found = {}
    if method.model_error_variance is None:
        parts = torch.from_numpy(held_out).split(AT_ONCE)
        squares = torch.cat([(part - prior(part, None)) ** 2 for part in parts])
        if is_dynamics(method.prior):
            squares = squares[:, :, 1:]  # of the first time it says nothing
        variance = squares.mean((0, 2, 3, 4)).clamp(min=LEAST_ERROR).numpy()
        found["prior_error_variance"] = variance * arrays["spread"].ravel() ** 2
    if method.control == "latent":
        statistics = code_statistics(prior, torch.from_numpy(windows))
        found |= {f"code/{name}": array for name, array in statistics.items()}
    return found


def _places(grid: Grid) -> dict[str, tuple[float, ...]]:
    """Size and ends of the axes that a window holds whole."""
    axes = {role: grid[role] for role in grid.roles if role != "time"}
    return {
        role: (axis.size, float(axis.values[0]), float(axis.values[-1]))
        for role, axis in axes.items()
    }
