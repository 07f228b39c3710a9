"""Patches of arrays on any number of axes, in memory or in chunks: integers and 1-D weights."""

from __future__ import annotations

from xr4dvar.tiling.eager import extract, run_eager, stitch
from xr4dvar.tiling.estimate import Advice, Tiling, tiles
from xr4dvar.tiling.graph import run_dask
from xr4dvar.tiling.plan import Plan, make_plan
from xr4dvar.tiling.sweep import Solve
from xr4dvar.tiling.tiles import tile_lengths
from xr4dvar.tiling.windows import Windows

__all__ = [
    "Advice",
    "Plan",
    "Solve",
    "Tiling",
    "Windows",
    "extract",
    "make_plan",
    "run_dask",
    "run_eager",
    "stitch",
    "tile_lengths",
    "tiles",
]
