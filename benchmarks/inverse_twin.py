"""What the inverse problems of the twin share: periods, the plane, scores, models that are kept."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import xarray as xr

import xr4dvar as xv

TRAIN, VALIDATION = slice("2013-02-01", "2014-10-02"), slice("2014-08-20", "2014-10-02")
SCORED = slice("2012-10-22", "2012-12-02")
GIVEN = {"A": slice("2012-10-01", "2012-12-02"), "B": slice("2012-10-01", "2012-12-20")}
NORTH, EAST = 11.12, 11.12 * float(np.cos(np.deg2rad(38.0)))


def read(data: str, name: str = "truth") -> xr.Dataset:
    return xr.open_dataset(f"{data}/{name}.nc").load()


def on_plane(field: xr.DataArray) -> xr.DataArray:
    """The twin on its own grid: a plane, in km."""
    axes = {"y": NORTH * np.arange(field.sizes["lat"]), "x": EAST * np.arange(field.sizes["lon"])}
    plane = field.rename(lat="y", lon="x")
    return plane.assign_coords({n: (n, values, {"units": "km"}) for n, values in axes.items()})


def in_degrees(field: xr.DataArray) -> xr.DataArray:
    """Back to the twin's degrees, in which wavelengths are told."""
    axes = {
        "lat": ("y", 0.1 * np.arange(field.sizes["y"])),
        "lon": ("x", 0.1 * np.arange(field.sizes["x"])),
    }
    return field.drop_vars(["y", "x"]).assign_coords(axes).swap_dims(y="lat", x="lon")


def fitted(
    name: str, obs: xr.DataArray, method: object, options: argparse.Namespace, **fit: object
) -> tuple[xv.Model, float]:
    """Fit, or take the model that an earlier run kept; and the seconds that it took."""
    path = Path(options.models or ".") / f"{name}.safetensors"
    if options.models and path.exists():
        return xv.load(path), float("nan")
    begin = time.perf_counter()
    model = obs.fourdvar.fit(
        method, validation=VALIDATION, seed=options.seed, progress=options.progress, **fit
    )
    if options.models:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
    return model, time.perf_counter() - begin


def inner(field: xr.DataArray, edge: int) -> xr.DataArray:
    """The scored days, without a margin of so many cells."""
    y, x = field.dims[-2:]
    return field.sel(time=SCORED).isel({y: slice(edge, -edge), x: slice(edge, -edge)})


def scores(maps: xr.DataArray, truth: xr.DataArray, scale: float = 100.0) -> dict[str, float]:
    """RMSE, that of the gradient per 100 km, and the shortest resolved wavelength in degrees.

    Both are on the plane (y, x) in km; scored are the 80 x 80 cells in the middle.
    """
    edge = (truth.sizes["y"] - 80) // 2
    error = maps - truth
    parts = [inner(error.differentiate(dim), edge) for dim in ("y", "x")]
    seen = [in_degrees(inner(field, edge)) for field in (maps, truth)]
    return {
        "rmse": scale * float((inner(error, edge) ** 2).mean() ** 0.5),
        "gradient": 100 * scale * float(sum((part**2).mean() for part in parts) ** 0.5),
        "lambda_x": float(xv.score(*seen, metrics=["lambda_x"]).lambda_x),
    }
