"""Where a spectral score falls through a level, without a plotting library's contour."""

from __future__ import annotations

import numpy as np

from xr4dvar.types import BoolArray, FloatArray


def effective_resolution(
    score: FloatArray, period: FloatArray, wavelength: FloatArray, level: float = 0.5
) -> tuple[float, float]:
    """Find the smallest resolved wavelength and period on a (period, wavelength) plane.

    The challenge of 2020 takes the smallest wavelength and period on the first path that
    matplotlib happens to return for the contour ``score = level``. Here the path is defined:

    1. The *resolved region* is the set of bins with score >= level, joined along rows and
       columns, that reaches the longest wavelength or the longest period; the one of most bins,
       if several do. Islands at small scales do not count.
    2. Its border cuts the line between a bin of the region and the next one outside at the place
       where the score, taken as linear in wavelength (along a row) or in period (along a column),
       equals the level: the points of a contour drawn on axes of wavelength and period.
    3. The results are the smallest wavelength and the smallest period on the border. Holes
       inside the region never are the smallest.

    Parameters
    ----------
    score : ndarray (n_period, n_wavelength)
        1 - PSD(error) / PSD(truth); minus infinity is allowed.
    period, wavelength : ndarray
        Of the rows and columns, from the longest to the shortest (frequencies ascend).
    level : float, default 0.5
        What counts as resolved.

    Returns
    -------
    wavelength, period : float
        In the units of the axes; the shortest of an axis, if the region reaches it. NaN where
        the score has NaN or no large scale is resolved.

    Examples
    --------
    >>> from xr4dvar.scores import effective_resolution
    >>> score = np.array([[0.9, 0.7, 0.1], [0.8, 0.6, 0.0], [0.2, 0.1, 0.0]])
    >>> period, wavelength = np.array([6.0, 3.0, 2.0]), np.array([3.0, 2.0, 1.0])
    >>> x, t = effective_resolution(score, period, wavelength)
    >>> round(x, 3), round(t, 3)
    (1.667, 2.5)
    """
    if np.isnan(score).any():
        return float("nan"), float("nan")
    resolved = _resolved_region(score, level)
    if not resolved.any():
        return float("nan"), float("nan")
    return (
        _shortest(score, resolved, wavelength, level),
        _shortest(score.T, resolved.T, period, level),
    )


def without_islands(score: FloatArray, level: float = 0.5) -> FloatArray:
    """Return the score with all bins outside the resolved region put below the level.

    Parameters
    ----------
    score : ndarray (n_period, n_wavelength)
        As for `effective_resolution`, without NaN.
    level : float, default 0.5

    Returns
    -------
    ndarray
        Finite; its contour at the level is the border that `effective_resolution` measures.

    Examples
    --------
    >>> from xr4dvar.scores import without_islands
    >>> without_islands(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])) > 0.5
    array([[ True, False, False],
           [False, False, False]])
    """
    resolved = _resolved_region(score, level)
    above, below = np.nextafter(level, np.inf), np.nextafter(level, -np.inf)
    finite = np.maximum(score, level - 1e3)
    return np.where(resolved, np.maximum(finite, above), np.minimum(finite, below))


def _resolved_region(score: FloatArray, level: float) -> BoolArray:
    from scipy.ndimage import label

    labels, _ = label(score >= level)
    large = np.unique(np.concatenate([labels[0], labels[:, 0]]))
    large = large[large > 0]
    if not large.size:
        return np.zeros(score.shape, bool)
    bins = np.bincount(labels.ravel())
    return np.asarray(labels == large[np.argmax(bins[large])])


def _shortest(
    score: FloatArray, resolved: BoolArray, coordinate: FloatArray, level: float
) -> float:
    """Return the shortest coordinate along the last axis on the border of the region."""
    last = np.flatnonzero(resolved.any(axis=0))[-1]
    if last == coordinate.size - 1:
        return float(coordinate[last])
    rows = resolved[:, last]
    inside, outside = score[rows, last], score[rows, last + 1]
    # counted from the resolved bin, so that a score of minus infinity cuts at that bin
    share = (inside - level) / (inside - outside)
    return float(np.min(coordinate[last] + share * (coordinate[last + 1] - coordinate[last])))
