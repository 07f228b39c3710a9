"""Solving patches by optimal interpolation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xr4dvar.contract.method import Parameters
from xr4dvar.contract.observing import through
from xr4dvar.contract.patches import Patches, Points
from xr4dvar.covariance import TOLERANCE, Covariance, Prior, Separable, Spherical, Sum, analyse
from xr4dvar.covariance.error import analysis_error
from xr4dvar.covariance.observed_error import observed_error
from xr4dvar.errors import InputError
from xr4dvar.methods.oi.places import Places, alike, key_of, places_of
from xr4dvar.operators.layers import of_variable
from xr4dvar.training.device import choose_device, one_at_a_time
from xr4dvar.types import ROLES, FloatArray, Role

if TYPE_CHECKING:
    from xr4dvar.methods.oi.config import OptimalInterpolation

__all__ = [
    "InterpolationEngine",
    "analysed",
    "check_precision",
    "covariance_of",
    "errors_of",
    "is_metric",
    "mean_at",
    "once",
    "periods_of",
    "priors_of",
    "terms_of",
    "warn_unless_converged",
]

log = logging.getLogger("xr4dvar")

#: The smallest error variance over the prior variance that double precision can tell from none.
LEAST_RATIO = 1e-10


class InterpolationEngine:
    """Optimal interpolation with fitted covariances."""

    def __init__(self, method: OptimalInterpolation, parameters: Parameters, device: str):
        self.parameters = parameters
        self.place = choose_device(device)
        self.variables = parameters.settings["variables"]
        self.prior_of = priors_of(self.place)
        self.prior_of_errors = priors_of("cpu")

    def maps(self, patches: Patches) -> FloatArray:
        """Map patches.

        The log warns, with the size, of maps that are not as near to the exact ones as wanted.
        """
        result = empty_maps(patches, len(self.variables))
        for v, variable in enumerate(self.variables):
            mean = mean_at(self.parameters.arrays, variable, patches)
            with one_at_a_time(self.place):
                result[:, v], bound = analysed(patches, variable, mean, self.prior_of, v)
            warn_unless_converged(variable["name"], bound)
        return result

    def errors(self, patches: Patches) -> tuple[FloatArray, FloatArray]:
        """Maps and the standard deviations of their errors.

        The error depends on where the observations are and on how precise they are, not on their
        values, and is as good as the covariance. The error of the mean is not part of it.
        """
        result = empty_maps(patches, len(self.variables))
        for v, variable in enumerate(self.variables):
            operator, fields = of_variable(patches.operator, v)
            errors = errors_of(patches, variable, fields)
            for n, y in enumerate(patches.y[:, fields]):
                places = places_of(patches, n, is_metric(variable))
                prior = self.prior_of_errors(variable, places)
                seen = torch.as_tensor(np.isfinite(y)).flatten(0, 1)
                if operator is None:
                    variance = analysis_error(seen, errors[n, 0], prior)
                else:
                    own = operator.take(torch.tensor([n]))
                    variance = observed_error(seen, errors[n].flatten(0, 1), prior, own)
                result[n, v] = variance.sqrt().numpy()
        return self.maps(patches), result

    def points(
        self, points: Sequence[Points], coordinates: Mapping[Role, FloatArray], error: bool
    ) -> tuple[FloatArray, FloatArray | None]:
        """Map scattered observations."""
        from xr4dvar.methods.oi.points import map_points

        return map_points(self.parameters, points, coordinates, error)


def warn_unless_converged(name: str, bound: float) -> None:
    """Say by how much maps may differ from the exact ones, where that is more than wanted."""
    if bound > TOLERANCE:
        log.warning(
            "%s: optimal interpolation did not converge, the map may be wrong by %.2g of "
            "the standard deviation of its error (asked for %.2g): the observations are "
            "very precise for their density, give a larger error_variance",
            name, bound, TOLERANCE,
        )  # fmt: skip


def analysed(
    patches: Patches,
    variable: Mapping[str, Any],
    mean: FloatArray,
    prior_of: Callable[[Mapping[str, Any], Places], Prior],
    v: int = 0,
    **accuracy: Any,
) -> tuple[FloatArray, float]:
    """Maps (n, T, Y, X) of a variable, and the largest bound of their errors (see `analyse`).

    The mean is taken off and put back in double precision, and the rest is solved in units of
    the prior's standard deviation: no offset and no scale costs digits.
    """
    operator, fields = of_variable(patches.operator, v)
    expected = through(operator, mean[:, np.newaxis])
    innovation = (patches.y[:, fields].astype(np.float64) - expected).reshape(
        len(mean), -1, *mean.shape[2:]
    )
    errors = errors_of(patches, variable, fields).flatten(1, 2)
    result = np.empty_like(mean)
    bound = 0.0
    for members, places in alike(patches, is_metric(variable)):
        prior = prior_of(variable, places)
        some = torch.as_tensor(innovation[members], device=prior.device)
        analysis = analyse(
            some, torch.isfinite(some), prior, errors[members].to(prior.device),
            operator=operator and operator.take(torch.tensor(members)), **accuracy,
        )  # fmt: skip
        result[members] = mean[members] + analysis.increment.cpu().numpy()
        bound = max(bound, float(analysis.bound.max()))
    return result, bound


def empty_maps(patches: Patches, variables: int) -> FloatArray:
    """Room for maps (n, V, T, Y, X) of patches."""
    n, _, *cells = patches.y.shape
    return np.empty((n, variables, *cells), patches.y.dtype)


def errors_of(patches: Patches, variable: Mapping[str, Any], fields: Sequence[int]) -> Tensor:
    """Error variances of the observed fields of a variable, shape (n, K, T, Y, X), float64.

    Raises
    ------
    InputError
        One is so small beside the prior variance that double precision cannot tell it from 0.
    """
    y, given = patches.y[:, fields], variable["error_variance"]
    each = list(given.values()) if isinstance(given, Mapping) else [given] * len(fields)
    errors = torch.tensor(each, dtype=torch.float64)[:, None, None, None]
    if patches.error_variance is not None:
        errors = torch.as_tensor(patches.error_variance[:, fields].astype(np.float64))
    errors = errors.expand(y.shape)
    check_precision(errors[torch.as_tensor(np.isfinite(y))], variable)
    return errors


def check_precision(errors: Tensor, variable: Mapping[str, Any]) -> None:
    """Refuse observation error variances that are too small beside the prior variance."""
    prior = sum(term["variance"] for term in variable["terms"])
    if len(errors) and float(errors.min()) < LEAST_RATIO * prior:
        what = (
            f"the error variance of {variable['name']!r} is {float(errors.min()):g}, less than "
            f"{LEAST_RATIO:g} of the prior variance, {prior:g}"
        )
        raise InputError([(what, f"give at least error_variance={LEAST_RATIO * prior:.1g}")])


def priors_of(place: torch.device | str) -> Callable[[Mapping[str, Any], Places], Prior]:
    """Give the function that makes the prior of a variable at some cells, once for each."""
    return once(lambda variable, places: Prior(covariance_of(variable), places, place))


def once(
    make: Callable[[Mapping[str, Any], Places], Prior],
) -> Callable[[Mapping[str, Any], Places], Prior]:
    """A function that makes priors, of settings with a name, and keeps some of them."""
    priors: dict[Any, Prior] = {}

    def prior_of(variable: Mapping[str, Any], places: Places) -> Prior:
        key = (variable["name"], key_of(places))
        if key not in priors:
            if len(priors) > 64:
                priors.clear()
            priors[key] = make(variable, places)
        return priors[key]

    return prior_of


def covariance_of(variable: Mapping[str, Any]) -> Covariance:
    """The covariance model that settings describe."""
    terms = terms_of(variable)
    return terms[0] if len(terms) == 1 else Sum(terms)


def terms_of(variable: Mapping[str, Any]) -> list[Separable | Spherical]:
    """The covariance models that add up to that of a variable."""
    closing = periods_of(variable)
    time, y, x = (closing.get(role) for role in ROLES)
    terms: list[Separable | Spherical] = []
    for term in variable["terms"]:
        variance, family = term["variance"], variable["family"]
        if term["metric"]:
            terms.append(Spherical((term["time"], term["y"]), family, variance, time))
        else:
            lengths = term["time"], term["y"], term["x"]
            terms.append(Separable(lengths, family, variance, (time, y, x)))
    return terms


def periods_of(variable: Mapping[str, Any]) -> dict[Role, float]:
    """Periods of the axes that close; files of earlier versions hold that of x alone."""
    if "periods" in variable:
        return dict(variable["periods"])
    return {} if variable.get("period") is None else {"x": variable["period"]}


def mean_at(
    arrays: Mapping[str, FloatArray], variable: Mapping[str, Any], patches: Patches
) -> FloatArray:
    """The prior mean at every cell of the patches, shape (n, T, Y, X), float64."""
    name = variable["name"]
    shape = patches.y[:, 0].shape
    if f"{name}/mean" not in arrays:
        return np.full(shape, float(variable["mean"]))
    rows, columns = (
        _nearest(arrays[f"{name}/mean_{role}"], patches.coordinates, role, shape)
        for role in ("y", "x")
    )
    maps = arrays[f"{name}/mean"][rows[:, :, np.newaxis], columns[:, np.newaxis, :]]
    return np.broadcast_to(maps[:, np.newaxis], shape).astype(np.float64)


def _nearest(
    known: FloatArray, coordinates: Mapping[Role, FloatArray], role: Role, shape: tuple[int, ...]
) -> np.ndarray:
    """Index of each position (n, size) of an axis among those that the mean is known at."""
    if role not in coordinates:
        return np.zeros((shape[0], 1), np.intp)
    wanted = coordinates[role]
    index = np.clip(np.searchsorted(known, wanted), 1, max(1, len(known) - 1))
    left = known[index - 1]
    right = known[np.minimum(index, len(known) - 1)]
    index = np.where(wanted - left <= right - wanted, index - 1, np.minimum(index, len(known) - 1))
    reach = np.median(np.diff(known)) if len(known) > 1 else np.inf
    if np.abs(known[index] - wanted).max() > 0.51 * reach:
        what = (
            f"the model's mean map covers {role} from {known[0]:g} to {known[-1]:g}, "
            f"the data reach from {wanted.min():g} to {wanted.max():g}"
        )
        raise InputError(
            [(what, "fit on this domain, or use OptimalInterpolation(mean='constant')")]
        )
    return index


def is_metric(variable: Mapping[str, Any]) -> bool:
    """Whether lengths of a variable are in km on the sphere."""
    return any(term["metric"] for term in variable["terms"])
