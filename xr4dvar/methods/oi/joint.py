"""Optimal interpolation of several variables at once: what is seen of one tells of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xr4dvar.contract.method import Parameters
from xr4dvar.contract.patches import Patches
from xr4dvar.covariance import Joint, Prior, Separable, Spherical, analyse
from xr4dvar.covariance.joint import prior_deviations
from xr4dvar.methods.oi.engine import (
    errors_of,
    is_metric,
    mean_at,
    once,
    terms_of,
    warn_unless_converged,
)
from xr4dvar.methods.oi.places import Places, alike
from xr4dvar.training.device import choose_device, one_at_a_time
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.oi.config import OptimalInterpolation

#: Components are regressors, which need not be exact: iterations, variance of a root that is left
#: out over the error variance, and the least of these over the prior variance.
ITERATIONS, TRUNCATION, LEAST_ERROR = 100, 0.1, 0.1

__all__ = ["JointEngine", "components", "joint_prior", "loadings_of"]


class JointEngine:
    """Optimal interpolation with fitted covariances and loadings.

    The variables are parts of one state, each in units of its prior standard deviation, and are
    solved together.
    """

    def __init__(self, method: OptimalInterpolation, parameters: Parameters, device: str):
        self.parameters = parameters
        self.place = choose_device(device)
        self.variables = parameters.settings["variables"]
        parts = [terms_of(variable) for variable in self.variables]
        self.parts = [part for own in parts for part in own]
        self.loadings = loadings_of(self.variables)
        self.spreads = prior_deviations(self.parts, self.loadings).numpy()
        self.name = ", ".join(str(own["name"]) for own in self.variables)
        self.prior_of = once(
            lambda _, places: joint_prior(self.parts, self.loadings, places, self.place)
        )

    def maps(self, patches: Patches) -> FloatArray:
        """Map patches."""
        count, arrays = len(self.variables), self.parameters.arrays
        each = list(enumerate(self.variables))
        means = np.stack([mean_at(arrays, own, patches) for _, own in each], 1)
        spreads = self.spreads[:, None, None, None]
        innovation = (patches.y.astype(np.float64) - means) / spreads
        errors = torch.stack([errors_of(patches, own, [v]) for v, own in each], 1)[:, :, 0]
        errors = errors / torch.as_tensor(spreads) ** 2
        result = np.empty_like(innovation)
        bound = 0.0
        metric = any(is_metric(variable) for variable in self.variables)
        for members, places in alike(patches, metric):
            prior = self.prior_of({"name": self.name}, places)
            some = torch.as_tensor(innovation[members], device=self.place).flatten(1, 2)
            own = errors[members].flatten(1, 2).to(self.place)
            with one_at_a_time(self.place):
                analysis = analyse(some, torch.isfinite(some), prior, own)
            found = analysis.increment.unflatten(1, (count, -1)).cpu().numpy()
            result[members] = means[members] + spreads * found
            bound = max(bound, float(analysis.bound.max()))
        warn_unless_converged(self.name, bound)
        maps: FloatArray = result.astype(patches.y.dtype)
        return maps


def loadings_of(variables: Sequence[Mapping[str, Any]]) -> torch.Tensor:
    """What each term of the variables, one after the other, counts in each variable (K, V)."""
    names = [variable["name"] for variable in variables]
    rows = []
    for variable in variables:
        for term in variable["terms"]:
            counts = {**term.get("loadings", {}), variable["name"]: 1.0}
            rows.append([counts.get(name, 0.0) for name in names])
    return torch.tensor(rows, dtype=torch.float64)


def joint_prior(
    parts: Sequence[Separable | Spherical],
    loadings: torch.Tensor,
    places: Places,
    device: torch.device | str = "cpu",
) -> Prior:
    """The prior of all variables at the cells of a patch."""
    slots = torch.arange(float(loadings.shape[1] * len(places[0])), dtype=torch.float64)
    return Prior(Joint(parts, loadings, places[0]), (slots, places[1], places[2]), device)


def components(
    variable: Mapping[str, Any], anomaly: FloatArray, places: Places
) -> tuple[FloatArray, ...]:
    """What observations tell of each term of a variable: fields (T, Y, X) that add up to its map.

    Parameters
    ----------
    variable : mapping
        Settings of its covariance.
    anomaly : numpy.ndarray, shape (T, Y, X)
        Observations less the mean, NaN where there is none.
    places : tuple of Tensor
        Their cells.
    """
    parts = terms_of(variable)
    # variables of a state: the sum, which is observed, and its terms, which are not
    loadings = torch.cat([torch.ones(len(parts), 1), torch.eye(len(parts))], 1).double()
    spread, *deviations = prior_deviations(parts, loadings).tolist()
    prior = joint_prior(parts, loadings, places)
    unseen = np.full((len(parts) * len(anomaly), *anomaly.shape[1:]), np.nan)
    innovation = torch.as_tensor(np.concatenate([anomaly / spread, unseen]))
    error = max(float(variable["error_variance"]) / spread**2, LEAST_ERROR)
    found = analyse(
        innovation, torch.isfinite(innovation), prior, error,
        tolerance=1.0, max_iterations=ITERATIONS, truncation=TRUNCATION,
    ).increment  # fmt: skip
    fields = found.unflatten(0, (len(parts) + 1, -1))[1:].numpy()
    return tuple(size * field for size, field in zip(deviations, fields, strict=True))
