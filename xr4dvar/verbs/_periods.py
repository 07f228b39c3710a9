"""Which times a method is fitted on, and which it is validated on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.types import BoolArray, Labelled

__all__ = ["Period", "find_periods", "hold_entries"]

#: First and one past the last time index, of the ascending axis.
Period: TypeAlias = tuple[int, int]

log = logging.getLogger("xr4dvar")


def find_periods(
    obs: Labelled, grid: Grid, validation: slice | float, least: int, problems: Problems
) -> tuple[Period, Period]:
    """Time indices of the training and the validation period.

    The training period is the longer of what lies before and after the validation period. Where
    a share is asked for and the time axis holds less than three patches, both are the whole of
    it, which is logged.

    Parameters
    ----------
    obs : DataArray or Dataset
        Its time labels are what a slice speaks of.
    grid : Grid
    validation : slice or float
        Labels, or a share at the end.
    least : int
        Time steps that the method sees at once; each period needs as many.
    problems : Problems
        Gets what makes `validation` useless.
    """
    size = grid["time"].size if "time" in grid.roles else 1
    whole = (0, size)
    if not isinstance(validation, slice):
        return _by_share(validation, size, least, problems)
    if "time" not in grid.roles:
        problems.add(f"validation={validation}, but obs has no time axis", "leave validation out")
        return whole, whole
    chosen = _chosen(obs, grid, validation, problems)
    if chosen is None:
        return whole, whole
    first, last = int(np.argmax(chosen)), int(size - np.argmax(chosen[::-1]))
    train = _longer((0, first), (last, size))
    name = grid["time"].name
    for what, (start, stop) in {
        "holds {} steps of {!r}": (first, last),
        "leaves {} steps of {!r} to train on": train,
    }.items():
        if stop - start < least:
            problems.add(
                f"validation={_text(validation)} {what.format(stop - start, name)}, "
                f"at least {least} are needed",
                "choose other times, or a smaller patch=",
            )
    return train, (first, last)


def hold_entries(shape: Sequence[int], grid: Grid, share: object) -> tuple[Period, Period] | None:
    """Entries of the first batch dimension to train and to validate on.

    For windows, members or the like of which each is too short to be cut: a share of them, at
    the end, is set apart instead. None where there are not two.
    """
    batch = len(shape) - len(grid.shape)
    if not isinstance(share, float) or batch == 0 or shape[0] < 2:
        return None
    first = shape[0] - min(shape[0] - 1, max(1, round(share * shape[0])))
    return (0, first), (first, shape[0])


def _by_share(share: object, size: int, least: int, problems: Problems) -> tuple[Period, Period]:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        problems.add(
            f"validation is {share!r}",
            'give a share between 0 and 1, or a slice of labels, slice("2014-08-01", "2014-10-02")',
        )
        return (0, size), (0, size)
    first = size - max(least, round(share * size))
    if first >= 2 * least:
        return (0, first), (first, size)
    return (0, size), (0, size)


def _chosen(obs: Labelled, grid: Grid, validation: slice, problems: Problems) -> BoolArray | None:
    """Which time steps, ascending, the labels select."""
    name = grid["time"].name
    if name not in obs.coords:
        problems.add(
            f"validation={_text(validation)}, but {name!r} has no coordinate",
            "give a share, validation=0.15, or obs.assign_coords",
        )
        return None
    index = obs.coords[name].to_index()
    index = index[::-1] if grid["time"].descending else index
    inside = f"choose times between {index[0]} and {index[-1]}"
    chosen = np.zeros(index.size, bool)
    try:
        chosen[index.slice_indexer(validation.start, validation.stop)] = True
    except (TypeError, ValueError, KeyError):
        problems.add(f"validation={_text(validation)} are no labels of {name!r}", inside)
        return None
    if validation.step is not None:
        problems.add(f"validation={_text(validation)} has a step", "leave the step out")
    if not chosen.any():
        problems.add(f"validation={_text(validation)} selects no time of obs", inside)
        return None
    return chosen


def _longer(before: Period, after: Period) -> Period:
    return before if before[1] - before[0] >= after[1] - after[0] else after


def _text(validation: slice) -> str:
    step = "" if validation.step is None else f", {validation.step!r}"
    return f"slice({validation.start!r}, {validation.stop!r}{step})"
