"""Windows of the target that have no gap: what a prior of whole windows is learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

import numpy as np

from xr4dvar.contract.training_data import BlockBox, TrainingData
from xr4dvar.errors import InputError
from xr4dvar.types import FloatArray, Role

__all__ = ["whole_windows"]

#: Numbers that are learned from, at most: some hundreds of megabytes; and validated on.
NUMBERS, VALIDATED = 30_000_000, 3_000_000


def whole_windows(
    data: TrainingData, patch: Mapping[Role, int], seed: int
) -> tuple[FloatArray, FloatArray]:
    """Read the target's windows without gaps; where there are too many, some at random.

    Parameters
    ----------
    data : TrainingData
        With a target.
    patch : mapping of role to int
        Sizes of a window; y and x are whole.
    seed : int

    Returns
    -------
    training, validation : numpy.ndarray, shape (n, V, T, Y, X)

    Raises
    ------
    InputError
        There is no target, or no window without gaps.
    """
    if not data.supervised:
        what = "this prior is learned from complete fields, and there is no target"
        fix = "give target=, such as a simulation on the same grid, or use a method that learns "
        raise InputError([(what, fix + "from gappy data: FourDVarNet or OptimalInterpolation")])
    generator = np.random.default_rng(seed)
    cells = len(data.names) * math.prod(patch.values())
    found = []
    for what, period, entries, most in (
        ("training", data.train, data.train_entries, NUMBERS),
        ("validation", data.validation, data.validation_entries, VALIDATED),
    ):
        boxes = _boxes(data, period, entries, patch)
        windows: list[FloatArray] = []
        for n in generator.permutation(len(boxes)):
            window = data.block(boxes[n], generator).target
            if np.isfinite(window).all():
                windows.append(window)
            if len(windows) >= max(1, most // cells):
                break
        if not windows:
            times = f" of {patch['time']} times" if "time" in patch else ""
            problem = f"the target has no window{times} without gaps in the {what} period"
            raise InputError([(problem, "fill or cut them out, or take a smaller patch=")])
        found.append(np.stack(windows))
    return found[0], found[1]


def _boxes(
    data: TrainingData,
    period: tuple[int, int],
    entries: tuple[int, int] | None,
    patch: Mapping[Role, int],
) -> list[BlockBox]:
    """Every place of a window in a period."""
    whole = data.sizes(period)
    batch = [range(size) for size in data.shape[: len(data.shape) - len(whole)]]
    if entries is not None:
        batch[0] = range(*entries)
    rest = tuple(slice(0, size) for role, size in whole.items() if role != "time")
    times: list[tuple[slice, ...]] = [()]
    if "time" in whole:
        length = patch["time"]
        times = [(slice(t, t + length),) for t in range(period[0], period[1] - length + 1)]
    return [BlockBox(entry, (*time, *rest)) for entry in product(*batch) for time in times]
