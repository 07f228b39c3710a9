"""Fusion on the twin: sea surface height along four altimeters, with temperature to look at.

Protocol A. The temperature of the same days is complete (``fusion-full``) or under clouds
(``fusion-cloudy``); ``fusion-control`` has the complete one of another year, which must be of no
use. Networks are the same in all, on top of the tuned interpolation of heights alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import xarray as xr
from inverse_twin import GIVEN, TRAIN, fitted, inner, on_plane, read, scores
from ssh_mapping import tuned_oi

import xr4dvar as xv

#: RMSE of the tuned interpolation of heights alone, cm.
ANCHOR = 4.86
PROBLEMS = ("fusion-none", "fusion-cloudy", "fusion-full", "fusion-control")


def rows(name: str, options: argparse.Namespace) -> Iterator[dict]:
    """The interpolation of heights alone, or a network that sees the temperature of a case."""
    truth, obs = read(options.data), read(options.data, "obs")
    train, given = obs.ssh_nadir4.sel(time=TRAIN), obs.ssh_nadir4.sel(time=GIVEN["A"])
    kind = name.removeprefix("fusion-")
    known = temperature(kind, truth, obs)
    method: xv.OptimalInterpolation | xv.FourDVarNet = tuned_oi("nadir4")
    if kind == "none":
        yield scored(name, "OI", train, given, truth, method, None, options)
    if options.steps:
        training = xv.Training(steps=options.steps, patience=1000)
        method = xv.FourDVarNet(background=tuned_oi("nadir4"), mirror=True, training=training)
        yield scored(name, "4DVarNet", train, given, truth, method, known, options)


def temperature(kind: str, truth: xr.Dataset, obs: xr.Dataset) -> xr.DataArray | None:
    """What a network is shown beside the heights."""
    complete = truth.sst.astype("float32")
    other = complete.roll(time=365, roll_coords=False)
    cloudy = obs.sst_cloudy.astype("float32")
    return {"none": None, "full": complete, "cloudy": cloudy, "control": other}[kind]


def scored(
    name: str,
    label: str,
    train: xr.DataArray,
    given: xr.DataArray,
    truth: xr.Dataset,
    method: object,
    known: xr.DataArray | None,
    options: argparse.Namespace,
) -> dict:
    model, fit_s = fitted(
        f"{label}-{name}",
        train,
        method,
        options,
        target=truth.ssh.sel(time=TRAIN),
        covariates=known,
    )
    begin = time.perf_counter()
    maps = given.fourdvar.reconstruct(model, covariates=known, progress=False)
    seconds = time.perf_counter() - begin
    fields = [on_plane(field.sel(time=GIVEN["A"])) for field in (maps, truth.ssh)]
    found = scores(*fields)
    daily = (inner(fields[0] - fields[1], 10) ** 2).mean(("y", "x")) ** 0.5
    about = {"problem": name, "method": label, "ratio": found["rmse"] / ANCHOR}
    by_day = [100 * float(value) for value in daily]
    return about | found | {"fit_s": fit_s, "maps_s": seconds, "by_day": by_day}
