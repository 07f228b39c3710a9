"""How much of an array an interpolation must see at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from xr4dvar.contract.method import Parameters, Window
from xr4dvar.labels import Grid
from xr4dvar.types import FloatArray, Role

__all__ = ["span", "windows_of"]

#: Windows are so many correlation lengths long, in y and x at least. Of their overlap, margins of
#: 1.75 lengths count for nothing, and the maps are blended over 1.5 lengths between them.
WINDOW_LENGTHS, MARGIN_LENGTHS, RAMP_LENGTHS = 12.0, 1.75, 1.5
#: Windows of few cells are longer, and have margins of 5 lengths or more: very precise observations
#: of a smooth field tell of places farther away.
SMALL_CELLS, SMALL_TIMES, WIDE_LENGTHS = 200_000, 800, 5.0
#: Cells of a window, as long as that leaves 12 lengths in y and x: a quarter of a gigabyte.
WINDOW_CELLS = 6_000_000
#: Cells of a window along y and x with lengths in km, whose root has a matrix for each wavenumber.
METRIC_SIDE = 200


def windows_of(grid: Grid, parameters: Parameters, reach: Mapping[Role, int]) -> dict[Role, Window]:
    """Windows of many correlation lengths, as large in y and x as memory allows.

    Parameters
    ----------
    grid : Grid
    parameters : Parameters
        With the lengths.
    reach : mapping of role to int
        Cells to either side that an observation depends on.
    """
    longest = {role: _longest(role, grid, parameters) for role in grid.roles}
    plane = [role for role in grid.roles if role != "time"]
    margins, ramps, least = (
        {role: span(grid[role].values, share * longest[role]) for role in grid.roles}
        for share in (MARGIN_LENGTHS, RAMP_LENGTHS, WINDOW_LENGTHS)
    )
    if "time" in grid.roles:  # as long as costs little: nothing beats the whole
        cells = SMALL_CELLS // math.prod(grid[role].size for role in plane)
        least["time"] = max(least["time"], min(SMALL_TIMES, cells))
        wide = span(grid["time"].values, WIDE_LENGTHS * longest["time"])
        if 6 * wide <= least["time"]:
            margins["time"] = least["time"] // 6
    for role, cells in reach.items():  # what reaches out is not used there
        margins[role] += cells
        least[role] += 2 * cells
    overlaps = {role: 2 * margins[role] + ramps[role] for role in grid.roles}
    patches = {
        role: min(grid[role].size, max(8, least[role], 2 * overlaps[role])) for role in grid.roles
    }
    metric = any(t["metric"] for v in parameters.settings["variables"] for t in v["terms"])
    whole = math.prod(grid[role].size for role in plane) * patches.get("time", 1)
    larger = max(1.0, math.sqrt(WINDOW_CELLS / math.prod(patches.values())))
    for role in plane:
        if whole <= WINDOW_CELLS and not metric:
            patches[role] = grid[role].size
        else:
            most = METRIC_SIDE if metric else grid[role].size
            size = max(patches[role], min(most, int(larger * patches[role])))
            patches[role] = min(grid[role].size, size)
    return {
        role: Window(patch, patch - overlaps[role], margins[role])
        if patch < grid[role].size
        else Window(patch, patch)
        for role, patch in patches.items()
    }


def span(values: FloatArray, width: float) -> int:
    """The most points of an axis that lie within a width of each other.

    Examples
    --------
    >>> from xr4dvar.methods.oi.windows import span
    >>> daily_then_hourly = np.r_[0:10, 10 + np.arange(48) / 24]
    >>> span(daily_then_hourly, 4.0)  # two days of 24 hours, and two before
    50
    """
    last = np.searchsorted(values, values + width * (1 + 1e-9), side="right")
    return int((last - np.arange(len(values))).max())


def _longest(role: Role, grid: Grid, parameters: Parameters) -> float:
    """The longest correlation length along an axis, in its unit."""
    terms = [term for v in parameters.settings["variables"] for term in v["terms"]]
    longest = 0.0
    for term in terms:
        length = term[role]
        if term["metric"] and role != "time":
            length /= 111.2  # km of a degree; longitudes are shorter, which errs on the safe side
            if role == "x":
                length /= max(0.1, float(np.cos(np.deg2rad(np.abs(grid["y"].values).max()))))
        longest = max(longest, length)
    return longest
