"""Estimating R and Q of 4DVar: the factors that make the observations likeliest."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from xr4dvar.contract.method import FitOptions, Parameters
from xr4dvar.contract.patches import Patches
from xr4dvar.contract.training_data import BlockBox, TrainingData
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import (
    ModelErrorTerm,
    NormalEquations,
    StateObservationTerm,
    to_states,
)
from xr4dvar.errors import InputError
from xr4dvar.methods.fourdvar.assimilation import Assimilation
from xr4dvar.solvers import GaussNewton
from xr4dvar.solvers.block_tridiagonal import joint_marginals
from xr4dvar.solvers.gauss_newton import normal_equations
from xr4dvar.training.device import choose_device
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvar.config import FourDVar

__all__ = ["estimate_variances"]

log = logging.getLogger("xr4dvar")

#: Times that are assimilated, at most: two numbers need no more.
MOST_TIMES = 10_000
#: Iterations, at most, and the change of a factor, as a share of it, that ends them.
ITERATIONS, SETTLED = 40, 1e-2
#: Change from which the observations say nothing more of a factor.
NEGLIGIBLE = 1e-5
#: How many times longer a step may be taken than the one before.
MOST_LONGER = 4


@dataclass(frozen=True)
class Point:
    """What is known at some R and Q.

    Parameters
    ----------
    logs : numpy.ndarray, shape (k,)
        Logarithms of their factors.
    steps : numpy.ndarray, shape (k,)
        What one iteration of expectation and maximisation adds to these.
    likelihood : float
    x : Tensor
        The analysis.
    """

    logs: FloatArray
    steps: FloatArray
    likelihood: float
    x: Tensor


def estimate_variances(
    method: FourDVar, parameters: Parameters, data: TrainingData, options: FitOptions
) -> Parameters:
    """Find the factors of R and Q by expectation and maximisation.

    The posterior of each window is taken to be Gaussian about its analysis (Laplace). The steps
    for Q are very short where observations are few: they are lengthened by what the last two say
    of their rate (Aitken), and taken back where that makes the observations less likely.

    Raises
    ------
    InputError
        Nothing was observed in the windows of training.

    References
    ----------
    Shumway and Stoffer 1982, https://doi.org/10.1111/j.1467-9892.1982.tb00349.x
    """
    given = ("error_variance", "model_error_variance")
    names = [name for name in given if getattr(method, name) is not None]
    found: list[Point] = []
    logs: FloatArray = np.zeros(len(names))
    lengths: FloatArray = np.ones(len(names))
    batch = None
    for _ in range(ITERATIONS):
        parameters = _with_factors(parameters, names, logs)
        assimilation = Assimilation(method, parameters, choose_device(options.device))
        if batch is None:
            batch = _batch(assimilation, Patches(_training_windows(data, options.seed), {}))
        point = _evaluate(assimilation, batch, names, logs, found)
        if found and point.likelihood < found[-1].likelihood:
            if (lengths == 1).all():  # as near as Laplace's method lets it come
                break
            lengths = np.ones(len(names))
        else:
            longest = MOST_LONGER * lengths
            lengths = _lengths(point, found, longest)
            found.append(point)
            _tell(names, point)
            if _settled(point, lengths, longest):
                break
        logs = found[-1].logs + lengths * found[-1].steps
    parameters = _with_factors(parameters, names, found[-1].logs)
    return replace(parameters, history=_labelled(names, found))


def _with_factors(parameters: Parameters, names: list[str], logs: FloatArray) -> Parameters:
    factors = dict(zip(names, np.exp(logs).tolist(), strict=True))
    return replace(parameters, settings={**parameters.settings, "variance_factors": factors})


def _evaluate(
    assimilation: Assimilation,
    batch: Batch,
    names: list[str],
    logs: FloatArray,
    found: list[Point],
) -> Point:
    """Assimilate, from the analysis before where there is one: the minimum moves little."""
    if found:
        steps = assimilation.method.steps
        x = assimilation.stages[-1].minimise(batch, found[-1].x, steps)
    else:
        x = assimilation.analysis(batch)
    changes, likelihood = _expect(assimilation, batch, x)
    return Point(logs, np.log([changes[name] for name in names]), likelihood, x)


def _lengths(point: Point, found: list[Point], longest: FloatArray) -> FloatArray:
    """How many times its own length each step is taken.

    If each is a share r of the one before, all to come together are 1 / (1 - r) of the next.
    """
    if not found:
        return np.ones(len(longest))
    moved = point.logs - found[-1].logs
    slope = (found[-1].steps - point.steps) / np.where(moved == 0, 1.0, moved)
    lengths: FloatArray = np.clip(1 / np.maximum(slope, 1e-9), 1, longest)
    return lengths


def _settled(point: Point, lengths: FloatArray, longest: FloatArray) -> bool:
    """Whether no factor has far to go: a step that could not be made long enough says nothing."""
    short = (np.abs(lengths * point.steps) < SETTLED) & (lengths < longest)
    return bool((short | (np.abs(point.steps) < NEGLIGIBLE)).all())


def _tell(names: list[str], point: Point) -> None:
    factors = zip(names, np.exp(point.logs), strict=True)
    told = ", ".join(f"{name} times {factor:.4g}" for name, factor in factors)
    log.info("%s: log likelihood %.6g", told, point.likelihood)


def _training_windows(data: TrainingData, seed: int) -> FloatArray:
    """Observations of whole windows (W, V, T, Y, X), drawn where they are more than needed."""
    whole = data.sizes(data.train)
    entries = list(np.ndindex(*data.shape[: len(data.shape) - len(whole)]))
    if data.train_entries is not None:
        first, last = data.train_entries
        entries = [entry for entry in entries if first <= entry[0] < last]
    count = max(1, MOST_TIMES // whole["time"])
    chosen = np.random.default_rng(seed).permutation(len(entries))[:count]
    slices = data.train_box(whole).slices
    found = [data.fields(BlockBox(entries[number], slices))[0] for number in sorted(chosen)]
    return np.stack(found)


def _batch(assimilation: Assimilation, patches: Patches) -> Batch:
    batch = assimilation.batch(patches)
    if not bool((batch.weight > 0).any()):
        what = "the windows of training have no observation: R and Q cannot be estimated"
        raise InputError([(what, "give others, or leave estimate_variances=True out")])
    return batch


def _expect(assimilation: Assimilation, batch: Batch, x: Tensor) -> tuple[dict[str, float], float]:
    """Factors of R and Q that would be likeliest if the posterior stayed as it is.

    Returns
    -------
    changes : dict of str to float
        By which to multiply what they are now.
    likelihood : float
        Log likelihood of all observations with R and Q as they are now.
    """
    last = assimilation.stages[-1]
    with torch.no_grad():
        covariances, lagged = _posterior(assimilation, batch, x)
        evidence = _log_likelihood(assimilation, batch, x)
        # where the curvature is not definite there is no Gaussian
        used = torch.isfinite(evidence) & torch.isfinite(covariances).flatten(1).all(1)
        seen = (batch.weight > 0).flatten(1).sum(1)
        steps = torch.full_like(seen, to_states(x)[0, 1:].numel())
        changes = {}
        for term in last.cost.terms:
            for kind, name, count in (
                (StateObservationTerm, "error_variance", seen),
                (ModelErrorTerm, "model_error_variance", steps),
            ):
                if isinstance(term, kind):
                    squares = _expected_squares(term, batch, x, covariances, lagged)
                    changes[name] = float(squares[used].sum() / count[used].sum())
    return changes, float(evidence[used].sum())


def _posterior(assimilation: Assimilation, batch: Batch, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Covariances of the states at each time and, where it is needed, with those one later."""
    last = assimilation.stages[-1]
    if isinstance(last.solver, GaussNewton):
        equations = normal_equations(last.cost, to_states(x), batch)
        return joint_marginals(equations.diagonal, equations.below)
    return last.solver.covariances(last.cost, batch, x), None


def _expected_squares(
    term: StateObservationTerm | ModelErrorTerm,
    batch: Batch,
    x: Tensor,
    covariances: Tensor,
    lagged: Tensor | None,
) -> Tensor:
    """Sum of the squares of a term's residuals, expected over the posterior, shape (B,)."""
    states = to_states(x)
    own = NormalEquations.zeros(states)
    term.add_to(own, states, batch)
    spread = (own.diagonal * covariances).flatten(1).sum(1)
    if lagged is not None:
        spread = spread + 2 * (own.below * lagged).flatten(1).sum(1)
    found: Tensor = 2 * term(x, batch) + spread
    return found


def _log_likelihood(assimilation: Assimilation, batch: Batch, x: Tensor) -> Tensor:
    """Logarithm of the density of each window's observations (Laplace), shape (B,)."""
    evidence = assimilation.evidence(batch, x[:, None])[:, 0]
    for term in assimilation.stages[-1].cost.terms:
        if isinstance(term, StateObservationTerm):
            evidence = evidence - 0.5 * term.log_determinant(batch)
        elif isinstance(term, ModelErrorTerm):
            times = x.shape[2] - 1
            evidence = evidence - 0.5 * times * term.covariance.log_determinant()
        else:
            evidence = evidence - 0.5 * assimilation.background.log_determinant()
    seen = (batch.weight > 0).flatten(1).sum(1)
    return evidence - 0.5 * math.log(2 * math.pi) * seen


def _labelled(names: list[str], found: list[Point]) -> xr.Dataset:
    """The factors and the likelihood, along ``iteration``."""
    meaning = {
        "error_variance": "factor of the given variance of the observation errors, R",
        "model_error_variance": "factor of the given variance of the model's error, Q",
    }
    variables = {
        name: ("iteration", [float(np.exp(p.logs[n])) for p in found], {"long_name": meaning[name]})
        for n, name in enumerate(names)
    }
    attrs = {"long_name": "log likelihood of the observations of training"}
    likelihood = ("iteration", [point.likelihood for point in found], attrs)
    coords = {"iteration": np.arange(len(found))}
    return xr.Dataset({**variables, "log_likelihood": likelihood}, coords)
