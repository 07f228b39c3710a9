"""Forecasts of the twin, against damped persistence.

- ``forecast-complete``: 35 issue days, leads of 1 to 7 days, from complete maps up to that day;
- ``forecast-observed``: the same from ``ssh_nadir4`` of 2012-10-01 up to the issue day.

Damped persistence: anomalies of the issue day times one factor a lead, from the training period.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import xarray as xr
from inverse_twin import TRAIN, fitted, read
from ssh_mapping import tuned_oi

import xr4dvar as xv

PROBLEMS = ("forecast-complete", "forecast-observed")
LEADS = (1, 3, 5, 7)
ISSUED = slice("2012-10-22", "2012-11-25")
LEARNED = slice("2013-02-01", "2014-07-31")


def rows(name: str, options: argparse.Namespace) -> Iterator[dict]:
    """Damped persistence, and a network that learned to forecast."""
    truth = read(options.data).ssh.astype("float32")
    obs = truth if name.endswith("complete") else read(options.data, "obs").ssh_nadir4
    begin = time.perf_counter()
    found = damped(name, truth, obs)
    yield row(name, "damped persistence", truth, found, 0.0, time.perf_counter() - begin)
    if not options.steps:
        return
    model, fit_s = fitted(
        f"4DVarNet-{name}", obs.sel(time=TRAIN), network(name, options), options,
        target=truth.sel(time=TRAIN), leads=7,
    )  # fmt: skip
    begin = time.perf_counter()
    ahead = [
        obs.sel(time=slice("2012-10-01", day)).fourdvar.forecast(model, 7, progress=False)
        for day in truth.time.sel(time=ISSUED).values
    ]
    yield row(name, "4DVarNet", truth, ahead, fit_s, time.perf_counter() - begin)


def network(name: str, options: argparse.Namespace) -> xv.FourDVarNet:
    """On top of persistence where all is seen, direct; where little is, of the interpolation."""
    training = xv.Training(steps=options.steps, patience=1000)
    usual = xv.FourDVarNet(mirror=True, coarsen=options.coarsen or 2, training=training)
    if name.endswith("complete"):  # no gap to fill: the state ahead is all there is to find
        persistence = xv.LinearInterpolation()
        return replace(usual, background=persistence, patch={"time": 11}, prior=None, steps=1)
    return replace(usual, background=tuned_oi("nadir4"), patch={"time": 18})


def damped(name: str, truth: xr.DataArray, obs: xr.DataArray) -> list[xr.DataArray]:
    """Forecasts of 7 days from each issue day."""
    mean = truth.sel(time=LEARNED).mean("time")
    past = (truth.sel(time=LEARNED) - mean).values
    factors = [float((past[:-n] * past[n:]).sum() / (past[:-n] ** 2).sum()) for n in range(1, 8)]
    model = None
    if name.endswith("observed"):
        model = obs.sel(time=TRAIN).fourdvar.fit(tuned_oi("nadir4"), truth.sel(time=TRAIN))
    found = []
    for day in truth.time.sel(time=ISSUED).values:
        now = truth.sel(time=day)
        if model is not None:
            seen = obs.sel(time=slice("2012-10-01", day))
            now = seen.fourdvar.reconstruct(model, progress=False).isel(time=-1)
        later = [day + n * np.timedelta64(1, "D") for n in range(1, 8)]
        fields = [mean + factor * (now - mean) for factor in factors]
        ahead = xr.concat([field.drop_vars("time") for field in fields], "time")
        found.append(ahead.assign_coords(time=later))
    return found


def row(
    name: str, method: str, truth: xr.DataArray, ahead: list[xr.DataArray], *seconds: float
) -> dict:
    """RMSE of each lead, cm, on the inner cells."""
    cells = {"lat": slice(10, -10), "lon": slice(10, -10)}
    squares = []
    for forecast in ahead:
        error = (forecast - truth.sel(time=forecast.time)).isel(cells)
        squares.append((error**2).mean(("lat", "lon")).values)
    by_lead = 100 * np.sqrt(np.mean(squares, axis=0))
    return {
        "problem": name,
        "method": method,
        "by_lead": {lead: float(by_lead[lead - 1]) for lead in LEADS},
        "fit_s": seconds[0],
        "maps_s": seconds[1],
    }
