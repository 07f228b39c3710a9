"""How the grid is laid out for convolutions, and what a patch of it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xr4dvar.errors import InputError
from xr4dvar.labels import Grid
from xr4dvar.types import Role

if TYPE_CHECKING:
    from xr4dvar.networks.layout import LayoutGrid

__all__ = ["check_circle", "default_patch", "goes_round", "layout_grid"]

#: Cells of a patch where the user does not say otherwise.
PATCH: dict[Role, int] = {"time": 15, "y": 128, "x": 128}
#: Times of a patch of a series.
SERIES = 256


def layout_grid(grid: Grid) -> LayoutGrid:
    """Which axes convolutions run along: those of maps, or of series."""
    if "time" not in grid.roles or "y" in grid.roles:
        return "y-x"
    return "time-x" if "x" in grid.roles and not grid["x"].named else "time"


def default_patch(grid: Grid) -> dict[Role, int]:
    """Cells of a patch where the user does not say otherwise; components are not cut."""
    sizes = dict(PATCH)
    kind = layout_grid(grid)
    if kind != "y-x":
        sizes["time"] = SERIES
    if kind == "time":
        sizes |= {role: grid[role].size for role in grid.roles if role != "time"}
    return {role: min(sizes[role], grid[role].size) for role in grid.roles}


def check_circle(grid: Grid, size: int | None = None) -> None:
    """Raise where data are not the circle along x, of so many cells, that convolutions go round."""
    axis = grid["x"]
    if axis.period is not None and size in (None, axis.size):
        return
    what = f"the model was fitted on a circle along {axis.name!r}, and goes round it"
    cells = "" if size is None else f" of {size} cells"
    fix = f"give data of the whole circle{cells} and periodic=({grid.axes.dim('x')!r},)"
    raise InputError([(what, f"{fix}, or fit on data like these")])


def goes_round(grid: Grid, patch: Mapping[Role, int]) -> bool:
    """Whether a patch holds all of an axis x that closes on itself: convolutions wrap there."""
    if "x" not in grid.roles or layout_grid(grid) == "time":
        return False
    return grid["x"].period is not None and patch["x"] == grid["x"].size
