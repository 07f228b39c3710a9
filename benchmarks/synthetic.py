"""Made-up gappy observations of any length, and small models for them: content does not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import xr4dvar as xv

#: Windows of 12 days with a stride of 8.
OI = xv.OptimalInterpolation(length={"time": "1D", "lat": 0.5, "lon": 0.5})


def observations(first: int, days: int, size: int, seen: float = 0.1) -> xr.DataArray:
    """Waves on a 1/10 degree grid of size x size, seen in some of the cells, from a day on."""
    day = np.arange(first, first + days)
    lat, lon = 30 + 0.1 * np.arange(size), 300 + 0.1 * np.arange(size)
    rng = np.random.default_rng(first)
    waves = np.sin(2 * lat[:, None] + day[:, None, None] / 5) * np.cos(3 * lon)
    values = np.where(rng.random(waves.shape) < seen, waves, np.nan).astype("float32")
    return xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={
            "time": pd.Timestamp("2012-10-01") + pd.to_timedelta(day, "D"),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
        name="ssh",
        attrs={"units": "m"},
    )


def write(path: Path, days: int, size: int, chunk: int) -> None:
    """Write observations to zarr, chunk by chunk along time."""
    for first in range(0, days, chunk):
        part = observations(first, min(chunk, days - first), size).to_dataset()
        if first:
            part.to_zarr(path, append_dim="time", consolidated=False)
        else:
            encoding = {
                "ssh": {"chunks": (chunk, size, size)},
                "time": {"units": "days since 2012-10-01", "chunks": (days,)},
            }
            part.to_zarr(path, encoding=encoding, consolidated=False)


def two_stages(size: int) -> xv.Model:
    """Train a small 4DVarNet on top of `OI`, just long enough that it has weights."""
    method = xv.FourDVarNet(
        background=OI,
        patch={"time": 15, "lat": min(100, size), "lon": min(100, size)},
        widths=(8, 16, 16),
        steps=1,
        training=xv.Training(steps=2, steps_per_epoch=1, batch_size=1),
    )
    return xv.fit(observations(0, 120, min(120, size)), method, progress=False)
