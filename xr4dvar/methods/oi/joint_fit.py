"""Finding how much of one variable each scale of another tells, and what is left of it.

The last variable has a covariance of its own. Each before it is a weighted sum of the terms of
those after it, by ridge regression of its values on what observations tell of these terms, plus a
rest of its own (conditional construction: Royle and Berliner 1999, doi:10.2307/1400450). A weight
for each term is a regression by wavelength.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xr4dvar.contract.method import FitOptions, Parameters
from xr4dvar.contract.training_data import Block, TrainingData
from xr4dvar.errors import InputError
from xr4dvar.methods.oi.fit import block_with_data, error_of, fit_variable, values_of
from xr4dvar.methods.oi.joint import components
from xr4dvar.methods.oi.scales import many_scales
from xr4dvar.types import ROLES, FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.oi.config import OptimalInterpolation

__all__ = ["fit_joint"]

#: Cells of a variable that are analysed at once.
CELLS = 600_000
#: Parts of the time axis that are left out in turn, and penalties that are tried.
FOLDS, PENALTIES = 6, (1e-3, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
#: Prior variance that weights may add, over the variance of what they tell.
INFLATION = 1.5
#: Values that a weight is estimated from, at least, for each weight.
LEAST = 10


def fit_joint(method: OptimalInterpolation, data: TrainingData, options: FitOptions) -> Parameters:
    """Estimate what `method` leaves open, and the loadings between the variables."""
    generator = np.random.default_rng(options.seed)
    block, box = block_with_data(data, generator)
    arrays: dict[str, FloatArray] = {}
    variables: list[dict[str, Any]] = []  # the last one first
    fields: list[FloatArray] = []  # of the terms of all that are done
    for v in reversed(range(len(data.names))):
        rest = block
        if variables:
            parts = [term["variance"] for variable in variables for term in variable["terms"]]
            anomaly = _anomaly(method, data, block, v)
            weights = _weights(anomaly, fields, np.array(parts), data.names[v])
            rest = _less(block, v, np.tensordot(weights, np.stack(fields), 1))
            _note(variables, data.names[v], weights)
        # lengths of the likelihood are the shortest that data resolve: too few to be shared
        shared = partial(_many, method, data, rest, v) if v and not method.lengths else None
        found = fit_variable(method, data, rest, box, v, generator, arrays, shared)
        if v:
            mean = arrays.get(f"{found['name']}/mean", np.asarray(found["mean"]))
            fields += _in_windows(found, rest.y[v] - mean, block)
        variables.append(found)
    return Parameters({"variables": variables[::-1]}, arrays)


def _many(
    method: OptimalInterpolation,
    data: TrainingData,
    block: Block,
    v: int,
    mean: FloatArray,
    variable: Mapping[str, Any],
) -> dict[str, Any]:
    """Terms of many scales; the error variance is what they leave and observations differ by."""
    found = many_scales(values_of(block, data)[v] - mean, block.coordinates, variable)
    if (error := error_of(method, variable["name"])) is not None:
        return found | {"error_variance": error}
    differs = (block.y[v] - block.target[v])[np.isfinite(block.y[v]) & np.isfinite(block.target[v])]
    noise = float((differs**2).mean()) if differs.size else 0.0
    return found | {"error_variance": found["error_variance"] + noise}


def _anomaly(method: OptimalInterpolation, data: TrainingData, block: Block, v: int) -> FloatArray:
    """Values of a variable about its mean, map or number, before the others are taken off."""
    values = values_of(block, data)[v]
    if method.mean != "map":
        mean = np.nanmean(values) if isinstance(method.mean, str) else method.mean
        return np.asarray(values - mean)
    known = np.isfinite(values)
    count = known.sum(0)
    with_values = np.where(known, values, 0.0).sum(0) / np.maximum(count, 1)
    return np.asarray(values - with_values)


def _weights(
    anomaly: FloatArray, fields: list[FloatArray], variances: FloatArray, name: str
) -> FloatArray:
    """Ridge regression of a variable on fields where it is known, its penalty by cross-validation.

    Fields of neighbouring lengths are much alike, and the values of a few eddies are not many: what
    does not hold at other times is no relation. Weights may all be near 0.
    """
    known = np.isfinite(anomaly)
    if known.sum() < LEAST * len(fields):
        what = f"{name!r} has {int(known.sum())} values, too few to relate it to the others"
        raise InputError([(what, "give more of them, or use multivariate=False")])
    folds = np.array_split(np.arange(len(anomaly)), min(FOLDS, len(anomaly)))
    gram, right = [], []
    for times in folds:
        some = known[times]
        seen = np.stack([field[times][some] for field in fields])
        gram.append(seen @ seen.T)
        right.append(seen @ anomaly[times][some])
    whole, total = np.sum(gram, axis=0), np.sum(right, axis=0)

    def unexplained(penalty: float) -> float:
        """Square error at times that the weights are not from, less a constant."""
        found = 0.0
        for own, told in zip(gram, right, strict=True):
            weights = _ridge(whole - own, total - told, penalty)
            found += float(weights @ own @ weights - 2 * weights @ told)
        return found

    gains = {penalty: -unexplained(penalty) for penalty in PENALTIES}
    if max(gains.values()) <= 0:
        return np.zeros(len(fields))
    for penalty in PENALTIES:
        weights = _ridge(whole, total, penalty)
        # large weights of fields that are alike cancel in what is told, not in the prior variance
        added, told = (weights**2 * variances).sum(), weights @ whole @ weights / known.sum()
        if gains[penalty] > 0 and added <= INFLATION * told:
            break
    return weights


def _ridge(gram: FloatArray, right: FloatArray, penalty: float) -> FloatArray:
    """Weights with a penalty on what each field adds, as a share of its own variance."""
    scale = np.diag(gram).clip(min=1e-300)
    weights, *_ = np.linalg.lstsq(gram + penalty * np.diag(scale), right, rcond=1e-12)
    return np.asarray(weights)


def _less(block: Block, v: int, told: FloatArray) -> Block:
    """A block whose variable v lacks what others tell of it."""
    y, target = block.y.astype(np.float64), block.target.astype(np.float64)
    y[v] -= told
    target[v] -= told
    return replace(block, y=y, target=target)


def _note(variables: list[dict[str, Any]], name: str, weights: FloatArray) -> None:
    """Write the weights into the terms that they are of."""
    rest = iter(weights.tolist())
    for n, variable in enumerate(variables):
        terms = [
            {**term, "loadings": {**term.get("loadings", {}), name: next(rest)}}
            for term in variable["terms"]
        ]
        variables[n] = {**variable, "terms": terms}


def _in_windows(variable: dict[str, Any], anomaly: FloatArray, block: Block) -> list[FloatArray]:
    """Fields of the terms of a variable over a block, from windows in time."""
    axes = [block.coordinates.get(role, np.zeros(1)) for role in ROLES]
    length = max(1, CELLS // int(np.prod(anomaly.shape[1:])))
    windows = []
    for start in range(0, len(anomaly), length):
        part = slice(start, start + length)
        time, y, x = (torch.as_tensor(axis) for axis in (axes[0][part], axes[1], axes[2]))
        windows.append(np.stack(components(variable, anomaly[part], (time, y, x))))
    return list(np.concatenate(windows, 1))
