"""The mean map of an optimal interpolation, from data with or without gaps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from xr4dvar.covariance import Separable, Sum, analyse
from xr4dvar.types import FloatArray, Role

__all__ = ["mean_map"]

#: A cell with values at this share of all times has its plain mean.
COMPLETE = 0.9
#: Data of so many correlation times count as one piece of information on the mean.
MEMORY = 2.0
#: Correlation length of the mean map over that of the anomalies.
SMOOTHNESS = 2.0


def mean_map(
    anomaly: FloatArray,
    coordinates: Mapping[Role, FloatArray],
    guess: Mapping[str, float],
    period: float | None = None,
) -> FloatArray:
    """Mean over time of gappy fields: the plain one where complete, else what the data can tell.

    A few visits to a cell say as much of the eddies that happened to be there as of the mean.
    So the data are taken as the sum of a field that stands still and of anomalies that are
    independent after two correlation times, and the mean map is the optimal interpolation
    of the first. Where there are few data it falls back to 0.

    Parameters
    ----------
    anomaly : numpy.ndarray, shape (T, Y, X)
        Data minus their total mean, NaN where there are none.
    coordinates : mapping of role to numpy.ndarray
        Positions along the axes that are there.
    guess : mapping
        Correlation lengths ``time``, ``y``, ``x`` of the data, and ``noise``, the error variance
        over the prior variance.
    period : float, optional
        Period of x.

    Returns
    -------
    numpy.ndarray, shape (Y, X), float64
    """
    observed = np.isfinite(anomaly)
    complete = observed.mean(0) >= COMPLETE
    plain: FloatArray = np.where(observed, anomaly, 0.0).sum(0) / np.maximum(observed.sum(0), 1)
    if complete.all():
        return plain
    bins = _bins(coordinates.get("time", np.zeros(1)), MEMORY * guess["time"])
    sums = np.stack([np.where(observed[part], anomaly[part], 0.0).sum(0) for part in bins])
    counts = np.stack([observed[part].sum(0) for part in bins])
    return np.where(complete, plain, _standing(sums, counts, coordinates, guess, period))


def _bins(time: FloatArray, width: float) -> list[FloatArray]:
    """Which times belong together, one boolean array a bin."""
    number = ((time - time[0]) // width).astype(int)
    return [number == n for n in np.unique(number)]


def _standing(
    sums: FloatArray,
    counts: FloatArray,
    coordinates: Mapping[Role, FloatArray],
    guess: Mapping[str, float],
    period: float | None,
) -> FloatArray:
    """Optimal interpolation of what is the same in all bins: its analysis in a bin far away."""
    means = sums / np.maximum(counts, 1)
    spread = float(np.square(means[counts > 0]).mean())
    standing = _standing_variance(sums, counts, spread)
    y, x = (torch.as_tensor(coordinates.get(role, np.zeros(1))) for role in ("y", "x"))
    wide = SMOOTHNESS * guess["y"], SMOOTHNESS * guess["x"]
    covariance = Sum(
        [
            Separable((1e9, *wide), "gaussian", standing, period),
            Separable((0.1, guess["y"], guess["x"]), "gaussian", spread - standing, period),
        ]
    )
    time = torch.arange(len(sums) + 1, dtype=torch.float64)
    empty = np.zeros_like(counts[:1])
    number = torch.as_tensor(np.concatenate([counts, empty]))
    values = torch.as_tensor(np.concatenate([means, empty]), dtype=torch.float32)
    noise = guess["noise"] * spread / number.clamp(min=1)
    result = analyse(values, number > 0, covariance.root((time, y, x)), noise, tolerance=1e-4)
    return result.increment[-1].double().numpy()


def _standing_variance(sums: FloatArray, counts: FloatArray, spread: float) -> float:
    """Variance of what even and odd bins share: nothing else do they have in common."""
    even, odd = ((sums[n::2].sum(0), counts[n::2].sum(0)) for n in (0, 1))
    weight = np.minimum(even[1], odd[1])
    if not weight.any():
        return 0.01 * spread
    product = even[0] / np.maximum(even[1], 1) * odd[0] / np.maximum(odd[1], 1)
    return float(np.clip((weight * product).sum() / weight.sum(), 0.01 * spread, 0.9 * spread))
