"""The mean map of an optimal interpolation, from data with or without gaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from xr4dvar.covariance import Prior, Separable, Sum, analyse
from xr4dvar.types import FloatArray, Role

__all__ = ["mean_map"]

#: A cell with values at this share of all times has its plain mean.
COMPLETE = 0.9
#: Data of so many correlation times count as one piece of information on the mean.
MEMORY = 2.0
#: Cells with this share of the most visits tell the correlation lengths of the mean map, if there
#: are enough of them.
OFTEN, FEW_CELLS = 0.5, 100


def mean_map(
    anomaly: FloatArray,
    coordinates: Mapping[Role, FloatArray],
    guess_of: Callable[[FloatArray], Mapping[str, float]],
    periods: Mapping[Role, float],
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
    guess_of : callable
        From fields (T, Y, X) to a first guess of their correlation lengths ``time``, ``y``, ``x``
        and of ``noise``, the error variance over the prior variance.
    periods : mapping of role to float
        Periods of y and x, where they close.

    Returns
    -------
    numpy.ndarray, shape (Y, X), float64
    """
    observed = np.isfinite(anomaly)
    count = observed.sum(0)
    plain: FloatArray = np.where(observed, anomaly, 0.0).sum(0) / np.maximum(count, 1)
    complete = count >= COMPLETE * len(anomaly)
    if complete.all():
        return plain
    # what a cell has in common with itself at other times is no part of its anomalies
    often = count >= OFTEN * count.max()
    varying = guess_of(anomaly - np.where(often, plain, 0.0))
    standing = dict(varying)
    if often.sum() >= FEW_CELLS:
        standing |= guess_of(np.where(often, plain, np.nan)[np.newaxis])
    bins = _bins(coordinates.get("time", np.zeros(1)), MEMORY * varying["time"])
    sums = np.stack([np.where(observed[part], anomaly[part], 0.0).sum(0) for part in bins])
    counts = np.stack([observed[part].sum(0) for part in bins])
    found = _standing(sums, counts, coordinates, (varying, standing), periods)
    return np.where(complete, plain, found)


def _bins(time: FloatArray, width: float) -> list[FloatArray]:
    """Which times belong together, one boolean array a bin."""
    number = ((time - time[0]) // width).astype(int)
    return [number == n for n in np.unique(number)]


def _standing(
    sums: FloatArray,
    counts: FloatArray,
    coordinates: Mapping[Role, FloatArray],
    guesses: tuple[Mapping[str, float], Mapping[str, float]],
    periods: Mapping[Role, float],
) -> FloatArray:
    """Optimal interpolation of what is the same in all bins: its analysis in a bin far away."""
    means = sums / np.maximum(counts, 1)
    spread = float(np.square(means[counts > 0]).mean())
    standing = _standing_variance(sums, counts, spread)
    y, x = (torch.as_tensor(coordinates.get(role, np.zeros(1))) for role in ("y", "x"))
    varying, still = guesses
    closing = None, periods.get("y"), periods.get("x")
    covariance = Sum(
        [
            Separable((1e9, still["y"], still["x"]), "gaussian", standing, closing),
            Separable((0.1, varying["y"], varying["x"]), "gaussian", spread - standing, closing),
        ]
    )
    time = torch.arange(len(sums) + 1, dtype=torch.float64)
    empty = np.zeros_like(counts[:1])
    number = torch.as_tensor(np.concatenate([counts, empty]))
    values = torch.as_tensor(np.concatenate([means, empty]))
    noise = varying["noise"] * spread / number.clamp(min=1)
    result = analyse(values, number > 0, Prior(covariance, (time, y, x)), noise)
    return result.increment[-1].numpy()


def _standing_variance(sums: FloatArray, counts: FloatArray, spread: float) -> float:
    """Variance of what even and odd bins share: nothing else do they have in common."""
    even, odd = ((sums[n::2].sum(0), counts[n::2].sum(0)) for n in (0, 1))
    weight = np.minimum(even[1], odd[1])
    if not weight.any():
        return 0.01 * spread
    product = even[0] / np.maximum(even[1], 1) * odd[0] / np.maximum(odd[1], 1)
    return float(np.clip((weight * product).sum() / weight.sum(), 0.01 * spread, 0.9 * spread))
