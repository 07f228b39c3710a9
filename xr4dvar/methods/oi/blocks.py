"""Blocks of data to tune an optimal interpolation on, and what is hidden there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from xr4dvar.types import ROLES, BoolArray, FloatArray, Role

__all__ = ["box_with_data", "gaps_elsewhere"]

#: Boxes that are looked at, of which the one with most observations is taken.
TRIES = 12

#: Share of the observations that is hidden, and how often gaps are moved to get there.
HIDDEN, MOVES = 0.2, 12


def box_with_data(
    observed: BoolArray,
    coordinates: Mapping[Role, FloatArray],
    widths: Sequence[float],
    cells: int,
    generator: np.random.Generator,
) -> tuple[slice, slice, slice]:
    """A box around observations, of some widths along time, y and x, and of so many cells at most.

    Parameters
    ----------
    observed : numpy.ndarray of bool, shape (T, Y, X)
        At least one of them.
    coordinates : mapping of role to numpy.ndarray
        Positions along the axes that are there.
    widths : sequence of float
        Along time, y and x, in the units of the axes; a box that is too large is made less wide.
    cells : int
    generator : numpy.random.Generator

    Examples
    --------
    >>> from xr4dvar.methods.oi.blocks import box_with_data
    >>> observed = np.zeros((1, 1, 100), dtype=bool)
    >>> observed[..., 80:] = True
    >>> box = box_with_data(
    ...     observed, {"x": np.arange(100.0)}, (1.0, 1.0, 30.0), 1000, np.random.default_rng(0)
    ... )
    >>> bool(observed[box].any())
    True
    """
    axes = [coordinates.get(role, np.zeros(1)) for role in ROLES]
    places = np.flatnonzero(observed)
    best, most = (slice(0, 1),) * 3, -1
    for place in generator.choice(places, size=min(TRIES, len(places)), replace=False):
        centre = np.unravel_index(place, observed.shape)
        width = 1.0
        box = _around(axes, centre, widths, width)
        while math.prod(part.stop - part.start for part in box) > cells:
            width *= 0.9
            box = _around(axes, centre, widths, width)
        if (count := int(observed[box].sum())) > most:
            best, most = box, count
    return best


def _around(
    axes: Sequence[FloatArray], centre: Sequence[np.intp], widths: Sequence[float], share: float
) -> tuple[slice, slice, slice]:
    """Slices of a share of the widths around a cell, moved inside where they reach over an edge."""
    parts = []
    for axis, i, width in zip(axes, centre, widths, strict=True):
        half = 0.5 * share * width
        middle = np.clip(axis[i], axis[0] + half, max(axis[0] + half, axis[-1] - half))
        first = int(np.searchsorted(axis, middle - half))
        last = int(np.searchsorted(axis, middle + half, side="right"))
        parts.append(slice(min(first, int(i)), max(last, int(i) + 1)))
    return parts[0], parts[1], parts[2]


def gaps_elsewhere(observed: BoolArray, generator: np.random.Generator) -> BoolArray:
    """Hide observations where the data's own gaps would be at another time and place.

    The gaps as they are, with their extent in space and their duration, are moved at random, until
    a fifth of the observations is hidden; where a move hides more than that, only at some times.
    What is never observed is no gap. Where there are too few gaps, whole times and boxes are
    hidden instead.

    Parameters
    ----------
    observed : numpy.ndarray of bool, shape (T, Y, X)
    generator : numpy.random.Generator

    Returns
    -------
    numpy.ndarray of bool, shape (T, Y, X)
        True only where observed.
    """
    gaps = ~observed & observed.any(0)
    wanted = HIDDEN * observed.sum()
    hidden = np.zeros_like(observed)
    for _ in range(MOVES if gaps.any() else 0):
        shifts = [int(generator.integers(size)) for size in observed.shape]
        moved = observed & ~hidden & np.roll(gaps, shifts, (0, 1, 2))
        # a time of which little is left is hidden whole: nothing of the same pass stays beside
        counts = (observed & ~hidden).sum((1, 2))
        moved |= observed & ~hidden & (moved.sum((1, 2)) > 0.5 * counts)[:, np.newaxis, np.newaxis]
        hidden |= _some_times(moved, wanted - hidden.sum(), generator)
        if hidden.sum() >= 0.9 * wanted:
            return hidden
    if hidden.sum() < 0.1 * wanted:
        hidden |= _times_and_boxes(observed, wanted, generator)
    return hidden


def _some_times(moved: BoolArray, wanted: float, generator: np.random.Generator) -> BoolArray:
    """As many whole times as add up to what is wanted; of one time, boxes."""
    chosen = np.zeros_like(moved)
    counts = moved.sum((1, 2))
    for time in generator.permutation(np.flatnonzero(counts)):
        if counts[time] > 1.5 * wanted and len(counts) < 5:
            part = moved[time] & _boxes(moved[time].shape, wanted / counts[time], generator)
            chosen[time] = part
            return chosen
        chosen[time] = moved[time]
        wanted -= counts[time]
        if wanted <= 0:
            break
    return chosen


def _times_and_boxes(
    observed: BoolArray, wanted: float, generator: np.random.Generator
) -> BoolArray:
    """Half of what is wanted as whole times, the rest as boxes that last."""
    counts = observed.sum((1, 2))
    several = np.count_nonzero(counts) >= 5 or observed[0].size == 1
    hidden = np.zeros_like(observed)
    if several:
        hidden |= _some_times(observed, 0.5 * wanted, generator)
    if observed[0].size == 1:
        return hidden
    share = (0.5 if several else 1.0) * HIDDEN
    return hidden | (observed & _boxes(observed.shape[1:], share, generator))


def _boxes(shape: tuple[int, ...], share: float, generator: np.random.Generator) -> BoolArray:
    """About a share of a plane, in patches where a smooth random field is high."""
    widths = [max(1.0, size / 12) if size > 1 else 0.0 for size in shape]
    field = ndimage.gaussian_filter(generator.normal(size=shape), widths, mode="wrap")
    high: BoolArray = field >= np.quantile(field, 1.0 - min(share, 0.5))
    return high
