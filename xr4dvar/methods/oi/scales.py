"""A covariance of many scales in space and time, found from the empirical one.

A variable that others are regressed on is taken apart into fields of their own lengths: the more
of these there are, the closer is a weight for each to a regression by wavelength and frequency.
Their variances are the non-negative least squares fit of a ladder of covariances to the empirical
one.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from xr4dvar.methods.oi.engine import terms_of
from xr4dvar.types import ROLES, FloatArray, Role

__all__ = ["empirical_covariance", "many_scales"]

#: Ratio of the rungs of a ladder of lengths; the shortest is so many spacings, the longest such a
#: share of an axis.
RATIO, SHORTEST, LONGEST = 1.4, 2.0, 0.5
#: Lags along each axis, up to such a share of it; pairs of times that are looked at for each lag.
LAGS, FARTHEST, PAIRS = 16, 0.6, 100
#: Terms of less than this share of the variance are left out; the least error variance over it.
SMALL, LEAST_ERROR = 0.02, 0.05


def many_scales(
    anomaly: FloatArray, coordinates: Mapping[Role, FloatArray], variable: Mapping[str, Any]
) -> dict[str, Any]:
    """Terms of a covariance, and the variance that they leave as that of the error.

    Parameters
    ----------
    anomaly : numpy.ndarray, shape (T, Y, X)
        Values less the mean, NaN where there is none.
    coordinates : mapping of role to numpy.ndarray
        Positions along the axes that are there.
    variable : mapping
        Settings: ``"family"`` and ``"periods"`` of the covariance.

    Examples
    --------
    >>> from xr4dvar.methods.oi.scales import many_scales
    >>> time = np.arange(400.0)
    >>> wave = np.sin(2 * np.pi * time / 90).reshape(-1, 1, 1)
    >>> found = many_scales(wave, {"time": time}, {"family": "gaussian", "periods": {}})
    >>> sum(term["variance"] for term in found["terms"]) > 0.4  # of 0.5
    True
    """
    steps = {role: _spacing(coordinates.get(role)) for role in ROLES}
    lags, covariance = empirical_covariance(anomaly)
    variance = float(np.nanmean(anomaly**2))
    distance = [steps[role] * lag.astype(np.float64) for role, lag in zip(ROLES, lags, strict=True)]
    ladder = [
        {**dict(zip(ROLES, lengths, strict=True)), "metric": False, "variance": 1.0}
        for lengths in _ladder(anomaly.shape, steps)
    ]
    apart_by = torch.cartesian_prod(*map(torch.as_tensor, distance))
    waves = np.stack(
        [
            part.between(torch.zeros(1, 3, dtype=torch.float64), apart_by)[0].numpy()
            for part in terms_of({**variable, "terms": ladder})
        ],
        -1,
    )
    apart = np.add.outer(np.add.outer(*(_share(d) for d in distance[:2])), _share(distance[2]))
    weight = 1.0 / (1.0 + apart)  # near lags tell most, and are told best
    weight = np.where(np.isfinite(covariance), weight, 0.0)
    weight[0, 0, 0] = 0.0  # that of the error is in it
    values = np.where(np.isfinite(covariance), covariance, 0.0) / variance
    shares = _fitted(waves, values, weight)
    terms = [
        {**term, "variance": float(variance * share)}
        for term, share in zip(ladder, shares, strict=True)
        if share > 0
    ]
    left = max(1.0 - sum(shares), LEAST_ERROR)
    return {"terms": terms, "error_variance": float(variance * left)}


def empirical_covariance(anomaly: FloatArray) -> tuple[list[np.ndarray], FloatArray]:
    """Mean products of values at lags along time, y and x, of either sign along y and x.

    Returns
    -------
    lags : list of numpy.ndarray of int
        In cells, from 0.
    covariance : numpy.ndarray, shape (time lags, y lags, x lags)
        NaN where no pair of values lies so far apart.

    Examples
    --------
    >>> from xr4dvar.methods.oi.scales import empirical_covariance
    >>> lags, found = empirical_covariance(np.array([1.0, -1.0, 1.0, -1.0]).reshape(4, 1, 1))
    >>> found[:, 0, 0]
    array([ 1., -1.,  1.])
    """
    lags = [_lags(size) for size in anomaly.shape]
    seen = np.isfinite(anomaly)
    shape = [2 * size for size in anomaly.shape[1:]]
    fields = np.fft.rfft2(np.where(seen, anomaly, 0.0), shape)
    masks = np.fft.rfft2(seen.astype(np.float64), shape)
    found = np.full([len(one) for one in lags], np.nan)
    for n, lag in enumerate(lags[0]):
        first = np.arange(len(anomaly) - lag)
        first = first[:: max(1, len(first) // PAIRS)]
        sums, counts = (
            np.fft.irfft2((part[first].conj() * part[first + lag]).sum(0), shape)
            for part in (fields, masks)
        )
        found[n] = _folded(sums, lags) / np.maximum(_folded(counts, lags).round(), 1e-300)
        found[n][_folded(counts, lags) < 0.5] = np.nan
    return lags, found


def _folded(values: FloatArray, lags: list[np.ndarray]) -> FloatArray:
    """Sums over both signs of the lags along y and x."""
    y, x = lags[1], lags[2]
    signs = product((1, -1), (1, -1))
    return np.asarray(sum(values[np.ix_(a * y, b * x)] for a, b in signs))


def _lags(size: int) -> np.ndarray:
    """Whole numbers from 0, farther apart the larger they are."""
    most = int(FARTHEST * size)
    return np.unique(np.geomspace(1, most + 1, LAGS).round().astype(int)) - 1


def _spacing(axis: FloatArray | None) -> float:
    return 1.0 if axis is None or len(axis) < 2 else float(np.median(np.diff(axis)))


def _ladder(
    shape: tuple[int, ...], steps: Mapping[Role, float]
) -> list[tuple[float, float, float]]:
    """Lengths along time, y and x: all times with all distances, equal along y and x."""
    sides = [(steps[role], n) for role, n in zip(ROLES[1:], shape[1:], strict=True) if n > 1]
    step = max((own for own, _ in sides), default=1.0)
    size = min((int(n * own / step) for own, n in sides), default=1)
    return [
        (time * steps["time"], side * step, side * step)
        for time in _rungs(shape[0])
        for side in _rungs(size)
    ]


def _rungs(size: int) -> list[float]:
    """Lengths in cells."""
    if size == 1:
        return [1.0]
    most = max(SHORTEST, LONGEST * size)
    count = 1 + int(np.log(most / SHORTEST) / np.log(RATIO))
    return [float(SHORTEST * RATIO**n) for n in range(count)]


def _share(distance: FloatArray) -> FloatArray:
    """Squares of distances over a quarter of the longest."""
    return np.asarray((4 * distance / max(distance.max(), 1e-300)) ** 2)


def _fitted(waves: FloatArray, values: FloatArray, weight: FloatArray) -> FloatArray:
    """Shares of the terms; small ones are left out, and the others fitted again."""
    root = np.sqrt(weight).ravel()
    matrix = waves * root[:, None]
    right = values.ravel() * root
    shares, _ = nnls(matrix, right)
    kept = shares >= SMALL
    if kept.any():
        again, _ = nnls(matrix[:, kept], right)
        shares = np.zeros_like(shares)
        shares[kept] = again
    else:
        shares = np.where(np.arange(len(shares)) == shares.argmax(), 1.0 - LEAST_ERROR, 0.0)
    total = shares.sum()
    return np.asarray(shares * min(1.0, (1.0 - LEAST_ERROR) / total))
