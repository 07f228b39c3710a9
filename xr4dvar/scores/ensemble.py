"""Scores of ensembles: how sharp they are, and whether the truth looks like one more member."""

from __future__ import annotations

from collections.abc import Collection, Hashable

import numpy as np
import xarray as xr

__all__ = ["crps", "rank_histogram", "spread_skill"]


def crps(
    ensemble: xr.DataArray,
    truth: xr.DataArray,
    dim: Collection[Hashable],
    weights: xr.DataArray | None = None,
    *,
    member: str = "member",
) -> xr.DataArray:
    r"""Continuous ranked probability score, fair: as of infinitely many members.

    .. math:: \frac1M \sum_i |x_i - h| - \frac{1}{2 M (M - 1)} \sum_{i,j} |x_i - x_j|

    Parameters
    ----------
    ensemble : DataArray
        With the dimension `member`; NaN = left out.
    truth : DataArray
    dim : collection of hashable
        The dimensions to average over.
    weights : DataArray, optional
    member : str

    References
    ----------
    Ferro 2014, https://doi.org/10.1002/qj.2270

    Examples
    --------
    >>> from xr4dvar.scores import crps
    >>> ensemble = xr.DataArray([[0.0], [2.0]], dims=("member", "x"))
    >>> float(crps(ensemble, xr.DataArray([1.0], dims="x"), ["x"]))
    0.0
    """
    ensemble, truth = ensemble.astype("float64"), truth.astype("float64")
    count = ensemble.sizes[member]
    distance = abs(ensemble - truth).mean(member, skipna=False)
    # sum of |x_i - x_j| over all pairs, from the sorted members
    factor = xr.DataArray(2.0 * np.arange(1, count + 1) - count - 1, dims=member)
    ranked = xr.apply_ufunc(
        np.sort,
        ensemble,
        input_core_dims=[[member]],
        output_core_dims=[[member]],
        dask="parallelized",
        output_dtypes=[np.float64],
    ).drop_vars(member, errors="ignore")
    pairs = (ranked * factor).sum(member, skipna=False) / (count * (count - 1))
    return _mean(distance - pairs, dim, weights)


def spread_skill(
    ensemble: xr.DataArray,
    truth: xr.DataArray,
    dim: Collection[Hashable],
    weights: xr.DataArray | None = None,
    *,
    member: str = "member",
) -> xr.DataArray:
    r"""Spread of the ensemble over the RMSE of its mean; 1 where the truth is one more member.

    .. math:: \sqrt{\frac{M + 1}{M} \overline{s^2}} / \mathrm{RMSE}

    Parameters
    ----------
    ensemble, truth, dim, weights, member
        See `crps`.

    References
    ----------
    Fortin et al. 2014, https://doi.org/10.1175/JHM-D-14-0008.1

    Examples
    --------
    >>> from xr4dvar.scores import spread_skill
    >>> ensemble = xr.DataArray([[0.0], [2.0]], dims=("member", "x"))
    >>> round(float(spread_skill(ensemble, xr.DataArray([4.0], dims="x"), ["x"])), 3)
    0.577
    """
    ensemble, truth = ensemble.astype("float64"), truth.astype("float64")
    count = ensemble.sizes[member]
    variance = (count + 1) / count * ensemble.var(member, ddof=1, skipna=False)
    square = (ensemble.mean(member, skipna=False) - truth) ** 2
    known = variance.notnull() & square.notnull()
    means = [_mean(part.where(known), dim, weights) for part in (variance, square)]
    ratio: xr.DataArray = (means[0] / means[1]) ** 0.5
    return ratio


def rank_histogram(
    ensemble: xr.DataArray,
    truth: xr.DataArray,
    dim: Collection[Hashable],
    weights: xr.DataArray | None = None,
    *,
    member: str = "member",
) -> xr.DataArray:
    """Share of cells where so many members are below the truth; flat where it is one more member.

    Parameters
    ----------
    ensemble, truth, dim, weights, member
        See `crps`.

    Returns
    -------
    DataArray
        Along ``rank``, from 0 to the number of members; the sum is 1.

    References
    ----------
    Hamill 2001, https://doi.org/10.1175/1520-0493(2001)129%3C0550:IORHFV%3E2.0.CO;2

    Examples
    --------
    >>> from xr4dvar.scores import rank_histogram
    >>> ensemble = xr.DataArray([[0.0, 0.0], [2.0, 2.0]], dims=("member", "x"))
    >>> rank_histogram(ensemble, xr.DataArray([1.0, 3.0], dims="x"), ["x"]).values.tolist()
    [0.0, 0.5, 0.5]
    """
    known = truth.notnull() & ensemble.notnull().all(member)
    rank = (ensemble < truth).sum(member)
    ranks = np.arange(ensemble.sizes[member] + 1)
    shares = [_mean((rank == n).astype("float64").where(known), dim, weights) for n in ranks]
    return xr.concat(shares, xr.Variable("rank", ranks).to_index_variable(), join="exact")


def _mean(
    values: xr.DataArray, dim: Collection[Hashable], weights: xr.DataArray | None
) -> xr.DataArray:
    if weights is None:
        return values.mean(dim, keep_attrs=False)
    mean: xr.DataArray = values.weighted(weights).mean(dim, keep_attrs=False)
    return mean
