"""Scores of differences cell by cell: RMSE, mu, sigma, explained variance.

All of them follow from four weighted sums over the cells that both fields have, so the data is
read once: ``sums = pair_sums(...)``, then ``rmse(sums)``, ``mu(sums)`` and so on.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

import xarray as xr

#: A variance this small beside the mean square is rounding: the truth is constant.
_ROUNDING = 1e-12


def pair_sums(
    reconstruction: xr.DataArray,
    truth: xr.DataArray,
    dim: Collection[Hashable],
    weights: xr.DataArray | None = None,
) -> xr.Dataset:
    """Sum what the scores need over the cells present in both fields.

    Parameters
    ----------
    reconstruction, truth : DataArray
        On the same grid; NaN = left out. Numpy or dask.
    dim : collection of hashable
        The dimensions to sum over.
    weights : DataArray, optional
        Not negative; broadcast against the fields. Default: one for every cell.

    Returns
    -------
    Dataset
        Sums of ``weight``, ``square_error`` (w e^2), ``square`` (w h^2) and ``value`` (w h),
        float64, with e = reconstruction - truth and h = truth. Sums over some dimensions can be
        summed on over others.

    Examples
    --------
    >>> truth = xr.DataArray([1.0, 2.0, np.nan], dims="x")
    >>> float(pair_sums(truth + 1, truth, ["x"]).square_error)
    2.0
    """
    truth = truth.astype("float64")
    error = reconstruction.astype("float64") - truth
    paired = error.notnull()
    weight = paired if weights is None else weights.where(paired, 0.0)
    terms = {
        "weight": weight.astype("float64"),
        "square_error": weight * error**2,
        "square": weight * truth**2,
        "value": weight * truth,
    }
    sums = {name: term.sum(dim, skipna=True, keep_attrs=False) for name, term in terms.items()}
    return xr.Dataset(sums)


def rmse(sums: xr.Dataset) -> xr.DataArray:
    """Root mean square error, in the unit of the data; NaN where no cell is paired."""
    return _root_mean(sums.square_error, sums.weight)


def mu(sums: xr.Dataset) -> xr.DataArray:
    """Return 1 - RMSE / RMS(truth): one for a perfect field, zero for a field of zeros.

    With sums over time and space this is mu(RMSE) of the 2020 SSH mapping challenge: a ratio of
    two means over the whole period, not a mean of daily ratios; no mean is removed.
    """
    signal = _root_mean(sums.square, sums.weight)
    return 1.0 - rmse(sums) / signal.where(signal > 0)


def sigma(sums: xr.Dataset, time: str) -> xr.DataArray:
    """Return the standard deviation over time (ddof 0) of `mu`; times without a pair are left out.

    Parameters
    ----------
    sums : Dataset
        `pair_sums` over the other dimensions, so that `time` is still there.
    time : str
        The dimension of time.
    """
    return mu(sums).std(time, ddof=0, skipna=True)


def r_score(sums: xr.Dataset) -> xr.DataArray:
    """Return the explained variance 100 (1 - MSE / Var(truth)) in percent; a bias counts as error.

    Var is the variance of the truth about its own mean, over the same cells and weights (ddof 0);
    the score is NaN where the truth is constant.
    """
    weight = sums.weight.where(sums.weight > 0)
    mean_square = sums.square / weight
    variance = mean_square - (sums.value / weight) ** 2
    varies = variance > _ROUNDING * mean_square
    unexplained: xr.DataArray = sums.square_error / weight / variance.where(varies)
    return 100.0 * (1.0 - unexplained)


def _root_mean(total: xr.DataArray, weight: xr.DataArray) -> xr.DataArray:
    mean: xr.DataArray = total / weight.where(weight > 0)
    return mean**0.5
