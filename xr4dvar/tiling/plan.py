"""The plan: how an array is cut into patches. Integers and 1-D weights, nothing else."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xr4dvar.errors import Problems
from xr4dvar.tiling.windows import Windows, window_problems


@dataclass(frozen=True)
class Plan:
    """The windows of every axis; a patch is one window on each.

    Parameters
    ----------
    windows : tuple of Windows
        One an axis, in the order of the array's axes. Axes that are not cut (members, depth
        levels) are ``Windows(size, 1, 1)``: each patch sees one index of them.

    See Also
    --------
    make_plan : builds a plan from shapes and reports every unfit axis at once.

    Examples
    --------
    >>> from xr4dvar.tiling import Plan, Windows
    >>> plan = Plan((Windows(10, 4, 3), Windows(6, 6, 6)))
    >>> plan.shape, plan.patch_shape, plan.n_patches
    ((10, 6), (4, 6), 3)
    >>> plan.origins().tolist()
    [[0, 0], [3, 0], [6, 0]]
    """

    windows: tuple[Windows, ...]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.windows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(w.size for w in self.windows)

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Shape of a patch."""
        return tuple(w.patch for w in self.windows)

    @property
    def n_patches(self) -> int:
        """Number of patches."""
        return math.prod(w.n_windows for w in self.windows)

    @property
    def coverage(self) -> float:
        """Share of the cells that lie in some patch: always 1.0 (see `Windows`)."""
        return 1.0

    def origins(self) -> npt.NDArray[np.intp]:
        """Return the first cell of every patch, shape (n_patches, ndim), last axis fastest."""
        grids = np.meshgrid(*(w.starts for w in self.windows), indexing="ij")
        return np.stack([grid.ravel() for grid in grids], axis=1).astype(np.intp, copy=False)


def make_plan(
    shape: Sequence[int],
    patch: Sequence[int],
    stride: Sequence[int],
    *,
    periodic: Collection[int] = (),
) -> Plan:
    """Plan the patches of an array.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.
    patch, stride : sequence of int
        Cells of a patch and cells from one to the next, for the last ``len(patch)`` axes.
        The axes before them are batch axes: each patch sees one index of them.
    periodic : collection of int, optional
        Indices into `shape` of the axes that close on themselves.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        With every axis (by its index) that cannot be covered.

    Examples
    --------
    >>> from xr4dvar.tiling import make_plan
    >>> make_plan((60, 500, 500), (15, 240, 240), (8, 120, 120)).n_patches
    112
    >>> make_plan((20, 100), (15, 240), (15, 120))
    Traceback (most recent call last):
        ...
    xr4dvar.errors.InputError: axis 1: the patch (240) is longer than the axis (100); fix: use a \
patch <= 100
    """
    problems = Problems()
    n_batch = len(shape) - len(patch)
    if n_batch < 0 or len(patch) != len(stride):
        problems.add(
            f"an array of {len(shape)} axes cannot take a patch of {len(patch)} "
            f"and a stride of {len(stride)} axes",
            "give patch and stride the same length, at most the number of axes",
        )
        problems.raise_if_any()
    ones = (1,) * n_batch
    axes = list(zip(shape, (*ones, *patch), (*ones, *stride), strict=True))
    for axis, sizes in enumerate(axes):
        for what, fix in window_problems(*sizes):
            problems.add(f"axis {axis}: {what}", fix)
    for axis in sorted(set(periodic) - set(range(len(shape)))):
        problems.add(f"periodic axis {axis} is not there", f"use 0 to {len(shape) - 1}")
    problems.raise_if_any()
    return Plan(tuple(Windows(*sizes, axis in periodic) for axis, sizes in enumerate(axes)))
