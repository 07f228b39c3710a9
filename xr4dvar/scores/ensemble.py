"""Scores of ensembles: how sharp they are, and whether the truth looks like one more member."""

from __future__ import annotations

from collections.abc import Collection, Hashable

import numpy as np
import xarray as xr

from xr4dvar.cell_noise import cell_uniform

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

    One member has no pairs and says nothing of how far others would lie apart: its score is that
    of a single value, the mean absolute error.

    Parameters
    ----------
    ensemble : DataArray
        With the dimension `member`; NaN = left out. With dask, each task takes all members of
        its cells: where they are in several chunks, the input is rechunked.
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
    if count == 1:
        return _mean(distance, dim, weights)
    # sum of |x_i - x_j| over all pairs, from the sorted members
    factor = xr.DataArray(2.0 * np.arange(1, count + 1) - count - 1, dims=member)
    ranked = xr.apply_ufunc(
        np.sort,
        _members_in_one_chunk(ensemble, member),
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
    seed: int = 0,
) -> xr.DataArray:
    """Share of cells where so many members are below the truth; flat where it is one more member.

    Where members equal the truth, as in rounded data or in precipitation, the truth takes any of
    the places among them, drawn at random.

    Parameters
    ----------
    ensemble, truth, dim, weights, member
        See `crps`.
    seed : int
        What is drawn follows from it and from the place of the cell, however the data are chunked.

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
    ties = (ensemble == truth).sum(member)
    among = np.floor(_uniform(ties, seed) * (ties + 1)).clip(max=ties)
    rank = (ensemble < truth).sum(member) + among
    ranks = np.arange(ensemble.sizes[member] + 1)
    shares = [_mean((rank == n).astype("float64").where(known), dim, weights) for n in ranks]
    return xr.concat(shares, xr.Variable("rank", ranks).to_index_variable(), join="exact")


def _uniform(like: xr.DataArray, seed: int) -> xr.DataArray:
    """Random numbers between 0 and 1 for each cell, lazy and in the same chunks if `like` is."""
    dims = sorted(like.dims, key=str)  # however they are ordered in the data
    places = [xr.DataArray(np.arange(like.sizes[dim]), dims=[dim]) for dim in dims]
    if like.chunks is not None:
        places = [
            place.chunk({dim: like.chunksizes[dim] for dim in place.dims}) for place in places
        ]
    drawn: xr.DataArray = xr.apply_ufunc(
        lambda *indices: cell_uniform([seed], indices),
        *places,
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    return drawn


def _members_in_one_chunk(ensemble: xr.DataArray, member: str) -> xr.DataArray:
    if ensemble.chunks is None or len(ensemble.chunksizes[member]) == 1:
        return ensemble
    others = {dim: "auto" for dim in ensemble.dims if dim != member}
    return ensemble.chunk({member: -1, **others})


def _mean(
    values: xr.DataArray, dim: Collection[Hashable], weights: xr.DataArray | None
) -> xr.DataArray:
    if weights is None:
        return values.mean(dim, keep_attrs=False)
    mean: xr.DataArray = values.weighted(weights).mean(dim, keep_attrs=False)
    return mean
