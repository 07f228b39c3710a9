"""Downscaling on a grid with 2-D coordinates and a coast: a day of the western Mediterranean."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import xarray as xr

import xr4dvar as xv

#: RMSE of bicubic interpolation with the block means kept, cm.
ANCHOR = 0.060
FACTOR = 6


def rows(name: str, options: argparse.Namespace) -> Iterator[dict]:
    """Interpolation of means over blocks, which are told by their cells."""
    fine = xr.open_dataset(options.enatl60).sossheig.isel(y=slice(0, 600), x=slice(0, 342))
    fine = fine.astype(np.float64).squeeze(drop=True)
    sea, cells = fine.notnull(), {"y": FACTOR, "x": FACTOR}
    used = sea.coarsen(cells).mean() >= 0.5
    means = fine.coarsen(cells).mean().where(used)
    oi = xv.OptimalInterpolation(
        length="25 km",
        family="matern52",
        variance=5e-3,
        error_variance=1e-12,
        mean=float(means.mean()),
        operator=xv.operators.BlockMean(cells, weights="equal"),
    )
    begin = time.perf_counter()
    maps = means.fourdvar.reconstruct(oi, grid=fine, mask=sea, progress=False)
    seconds = time.perf_counter() - begin
    scored = sea & np.repeat(np.repeat(used.values, FACTOR, 0), FACTOR, 1)
    rmse = 100 * float(((maps - fine).where(scored) ** 2).mean() ** 0.5)
    back = float(abs(maps.coarsen(cells).mean() - means).max())
    method = f"OI, means to {back:.0e} m"
    about = {"problem": name, "method": method, "rmse": rmse, "ratio": rmse / ANCHOR}
    yield about | {"fit_s": 0.0, "maps_s": seconds}
