"""The windows of one axis: where they start, how each is weighted, what the weights add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from xr4dvar.errors import InputError

#: Weight of the margin of a window: nothing beside that of another window, but not zero.
NEGLIGIBLE = 1e-9

Float64Array: TypeAlias = npt.NDArray[np.float64]


def window_problems(size: int, patch: int, stride: int) -> list[tuple[str, str]]:
    """Return what keeps an axis from being cut into windows, each with its fix."""
    problems = []
    if size < 1:
        problems.append(("the axis is empty", "select at least one cell"))
    elif patch > size:
        problems.append(
            (f"the patch ({patch}) is longer than the axis ({size})", f"use a patch <= {size}")
        )
    if patch < 1:
        problems.append((f"the patch is {patch} cells long", "use a patch >= 1"))
    elif stride > patch:
        problems.append(
            (
                f"the stride ({stride}) is longer than the patch ({patch}), "
                "so no window covers the cells between",
                f"use a stride <= {patch}",
            )
        )
    if stride < 1:
        problems.append((f"the stride is {stride}", "use a stride >= 1"))
    return problems


@dataclass(frozen=True)
class Windows:
    """Equal windows that cover one axis.

    Parameters
    ----------
    size : int
        Number of cells of the axis.
    patch : int
        Number of cells of a window, at most `size`.
    stride : int
        Cells from one window to the next, at most `patch`.
    periodic : bool, default: False
        The axis closes on itself (longitude round the globe): windows go on past the last cell
        with the first one. Otherwise the last window is moved back so that it ends at the edge.
    margin : int, default: 0
        Cells at both ends of a window that count for nothing where another window covers them.

    Raises
    ------
    InputError
        If the windows cannot cover the axis.

    Examples
    --------
    >>> from xr4dvar.tiling import Windows
    >>> windows = Windows(size=10, patch=4, stride=3)
    >>> windows.starts
    (0, 3, 6)
    >>> windows.weight
    array([0.5, 1. , 1. , 0.5])
    >>> windows.weight_sum
    array([0.5, 1. , 1. , 1. , 1. , 1. , 1. , 1. , 1. , 0.5])
    """

    size: int
    patch: int
    stride: int
    periodic: bool = False
    margin: int = 0

    def __post_init__(self) -> None:
        problems = window_problems(self.size, self.patch, self.stride)
        if not 0 <= 2 * self.margin <= max(0, self.patch - self.stride):
            what = f"the margin ({self.margin}) is negative or over half of the overlap"
            problems.append((what, f"use at most {(self.patch - self.stride) // 2}"))
        if problems:
            raise InputError(problems)

    @property
    def n_windows(self) -> int:
        """Number of windows."""
        if self.periodic:
            return -(-self.size // self.stride)
        return 1 - (self.patch - self.size) // self.stride

    @property
    def starts(self) -> tuple[int, ...]:
        """First cell of every window, ascending."""
        if self.periodic:
            return tuple(range(0, self.size, self.stride))
        edge = self.size - self.patch
        return (*range(0, edge, self.stride), edge)

    @property
    def weight(self) -> Float64Array:
        """Weight of each cell of a window, shape (patch,), all > 0.

        Flat in the core, with a Hann ramp over the overlap on either side, less the margins. On
        a regular stride with at most half of the patch overlapping, neighbours add up to one, and
        the blend has no kink that a gradient (a geostrophic velocity) would show.
        """
        # Border windows need no taper on their outer side. Without a margin they keep the common
        # shape all the same: the division by `weight_sum` undoes it there exactly (a lone window
        # has share w / w = 1), and one vector an axis serves every patch.
        ramp = min(self.patch - self.stride - 2 * self.margin, self.patch // 2 - self.margin)
        weight = np.ones(self.patch)
        if self.n_windows > 1:
            # k / (ramp + 1) with k = 1 ... ramp leaves out the zero: every cell counts
            rise = np.sin(0.5 * np.pi * np.arange(1, ramp + 1) / (ramp + 1)) ** 2
            inner = weight[self.margin : self.patch - self.margin]
            inner[:ramp] = rise
            inner[len(inner) - ramp :] = rise[::-1]
            weight[: self.margin] = weight[self.patch - self.margin :] = NEGLIGIBLE
        return weight

    def edges_at(self, start: int) -> tuple[bool, bool]:
        """Whether the window that starts there has a margin at the first, and at the last cell."""
        within = self.margin > 0 and not self.periodic
        return within and start == 0, within and start == self.size - self.patch

    def weight_at(self, edges: tuple[bool, bool]) -> Float64Array:
        """Weight of each cell of a window at these edges of the axis, shape (patch,).

        There is nothing beyond an edge that a margin could lack: the window counts up to it.
        """
        weight, half = self.weight, self.patch // 2
        if edges[0]:
            weight[:half] = 1.0
        if edges[1]:
            weight[self.patch - half :] = 1.0
        return weight

    @property
    def weight_sum(self) -> Float64Array:
        """Sum of the weights of all windows at each cell of the axis, shape (size,), all > 0.

        Windows are the product of the axes' windows and so are their weights: the sum over all
        patches at a cell is the product of the axes' sums there. It is known before anything runs.
        """
        total = np.zeros(self.size)
        for start in self.starts:
            weight = self.weight_at(self.edges_at(start))
            head = min(self.patch, self.size - start)
            total[start : start + head] += weight[:head]
            total[: self.patch - head] += weight[head:]  # the part past the end of the axis
        return total
