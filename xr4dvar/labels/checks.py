"""One pass over the values: counts, moments and what makes them useless."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr4dvar.errors import Problems
from xr4dvar.labels.stacking import Array, Field

#: Values are summed in pieces of at most this many, which bounds the memory of float64 copies.
_PIECE = 2**20
#: A standard deviation below this share of the mean is rounding.
_ROUNDING = 1e-10

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Summary:
    """What one pass over a variable tells.

    Parameters
    ----------
    name : str
        The variable.
    count : int
        Number of finite values.
    mean, std : float
        Mean and standard deviation of the finite values, nan where there are none.
    infinite : int
        Number of infinite values.
    observed : tuple of int
        Number of finite values at each time, empty without a time axis.
    """

    name: str
    count: int
    mean: float
    std: float
    infinite: int
    observed: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Moments:
    """Count, mean, sum of squared deviations, infinite values, finite values by time."""

    count: int
    mean: float
    squares: float
    infinite: int
    observed: Counts


def summarise(fields: Sequence[Field], time_axis: int | None = None) -> list[Summary]:
    """Count, mean and standard deviation of each variable.

    Sums are of float64 and of deviations from the mean of each piece, so that a large mean
    costs no digits [1]_. Dask arrays are read chunk by chunk in one ``dask.compute`` for all.

    Parameters
    ----------
    fields : sequence of (str, array)
        From `to_fields`; NaN marks missing values.
    time_axis : int, optional
        Axis along which to count the finite values too.

    Returns
    -------
    list of Summary

    References
    ----------
    .. [1] Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance.

    Examples
    --------
    >>> from xr4dvar.labels import summarise
    >>> summarise([("ssh", np.array([[1.0, np.nan], [3.0, np.inf]]))], time_axis=0)
    [Summary(name='ssh', count=2, mean=2.0, std=1.0, infinite=1, observed=(1, 1))]
    """
    parts = [_parts(array, time_axis) for _, array in fields]
    if any(not isinstance(array, np.ndarray) for _, array in fields):
        from dask.base import compute

        parts = compute(*parts)
    summaries = []
    for (name, array), own in zip(fields, parts, strict=True):
        observed = np.zeros(0 if time_axis is None else array.shape[time_axis], dtype=np.int64)
        total = _Moments(0, 0.0, 0.0, 0, observed)
        lazy = time_axis is not None and hasattr(array, "dask")
        starts = np.cumsum([0, *array.chunks[time_axis]]) if lazy else [0]
        for block, part in np.ndenumerate(own):
            start = 0 if time_axis is None else starts[block[time_axis]]
            observed[start : start + part.observed.size] += part.observed
            total = _merge(total, part, observed)
        summaries.append(_summary(name, total))
    return summaries


def summarise_lazily(fields: Sequence[Field]) -> Any:
    """The same for dask arrays as a `dask.delayed.Delayed`: nothing is computed.

    Examples
    --------
    >>> from xr4dvar.labels import summarise_lazily
    >>> [summary] = summarise_lazily([("ssh", np.array([1.0, np.nan, 3.0]))]).compute()
    >>> summary.mean
    2.0
    """
    from dask.delayed import delayed

    names, blocks = [name for name, _ in fields], []
    for _, array in fields:
        parts = _parts(array, None)
        lazy = hasattr(parts, "dask")
        blocks.append(list(parts.to_delayed(optimize_graph=False).flat) if lazy else [parts])
    return delayed(_totals, pure=True)(names, blocks)


def _totals(names: Sequence[str], blocks: Sequence[Sequence[Any]]) -> list[Summary]:
    """Summaries of variables from the moments of their chunks."""
    nothing = np.zeros(0, dtype=np.int64)
    summaries = []
    for name, own in zip(names, blocks, strict=True):
        total = _Moments(0, 0.0, 0.0, 0, nothing)
        for block in own:
            total = _merge(total, block.item(), nothing)
        summaries.append(_summary(name, total))
    return summaries


def check_values(
    summaries: Sequence[Summary],
    problems: Problems,
    periods: Mapping[str, slice] | None = None,
) -> None:
    """Note variables without values, with infinite values, or with one value only.

    Parameters
    ----------
    summaries : sequence of Summary
        From `summarise`, with its time axis where `periods` is given.
    problems : Problems
        Gets what was found.
    periods : mapping of str to slice, optional
        Time steps that each need an observation, by name: ``{"training": slice(0, 300)}``.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels import check_values, summarise
    >>> problems = Problems()
    >>> check_values(summarise([("ssh", np.full(3, 2.0)), ("sst", np.full(3, np.nan))]), problems)
    >>> [what for what, fix in problems.found]
    ["'ssh' has the same value everywhere: 2", "'sst' has no value, all is missing"]
    """
    for summary in summaries:
        name = repr(summary.name)
        if summary.infinite:
            problems.add(
                f"{name} has {summary.infinite} infinite values",
                "mark them as missing, obs.where(np.isfinite(obs))",
            )
        if summary.count == 0:
            problems.add(
                f"{name} has no value, all is missing", "check the variable and the selection"
            )
            continue
        if summary.std <= _ROUNDING * abs(summary.mean):
            problems.add(
                f"{name} has the same value everywhere: {summary.mean:g}",
                "leave the variable out, there is nothing to reconstruct",
            )
        for period, steps in (periods or {}).items():
            if summary.observed and not any(summary.observed[steps]):
                start, stop, _ = steps.indices(len(summary.observed))
                problems.add(
                    f"{name} has no value in the {period} period, time steps {start} to {stop - 1}",
                    "choose another period",
                )


def _parts(array: Array, time_axis: int | None) -> Any:
    """Moments of each chunk, in an array of objects with one entry a chunk; lazy for dask."""
    if isinstance(array, np.ndarray):
        return _boxed(array, time_axis)
    one = (1,) * array.ndim
    return array.map_blocks(
        _boxed, time_axis, dtype=object, meta=np.empty((0,) * array.ndim, object), chunks=one
    )


def _boxed(array: npt.NDArray[Any], time_axis: int | None) -> npt.NDArray[np.object_]:
    box = np.empty((1,) * array.ndim, dtype=object)
    box.flat[0] = _moments(array, time_axis)
    return box


def _moments(array: npt.NDArray[Any], time_axis: int | None) -> _Moments:
    if array.size > _PIECE:
        axis = int(np.argmax(array.shape))
        one, two = (_moments(half, time_axis) for half in np.array_split(array, 2, axis=axis))
        along = axis == time_axis
        observed = np.r_[one.observed, two.observed] if along else one.observed + two.observed
        return _merge(one, two, observed)
    finite = np.isfinite(array)
    values = array[finite].astype(np.float64)
    mean = float(values.mean()) if values.size else 0.0
    other = tuple(axis for axis in range(array.ndim) if axis != time_axis)
    observed = finite.sum(axis=other) if time_axis is not None else np.zeros(0, dtype=np.int64)
    squares = float(np.square(values - mean).sum())
    return _Moments(values.size, mean, squares, int(np.isinf(array).sum()), observed)


def _merge(one: _Moments, two: _Moments, observed: Counts) -> _Moments:
    count = one.count + two.count
    if count == 0:
        return _Moments(0, 0.0, 0.0, one.infinite + two.infinite, observed)
    step = two.mean - one.mean
    mean = one.mean + step * two.count / count
    squares = one.squares + two.squares + step**2 * one.count * two.count / count
    return _Moments(count, mean, squares, one.infinite + two.infinite, observed)


def _summary(name: str, total: _Moments) -> Summary:
    if total.count == 0:
        mean = std = math.nan
    else:
        mean, std = total.mean, math.sqrt(total.squares / total.count)
    observed = tuple(int(n) for n in total.observed)
    return Summary(name, total.count, mean, std, total.infinite, observed)
