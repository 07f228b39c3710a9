"""Currents on the twin: in balance with mapped heights, and seen by drifters beside altimeters.

Protocol A, with four altimeters (``currents-nadir4``) or SWOT and these (``currents-swot``). Each
day 50 cells drawn anew hold the true current with an error of 5 cm/s: independent places, no
trajectories. The twin is a plane, with the Coriolis parameter of 38 N everywhere. Scored is the
vector: the root of the mean of both squares, in cm/s.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import xarray as xr
from inverse_twin import EAST, GIVEN, NORTH, TRAIN, fitted, inner, on_plane, read, scores
from ssh_mapping import OBSERVATIONS, TUNED

import xr4dvar as xv

GEOSTROPHIC = xv.operators.Geostrophic(latitude=38.0)
BALANCE = 9.81 / (2 * 7.2921e-5 * np.sin(np.deg2rad(38.0)))
#: Drifters of a day, their error in m/s, and the seeds of the days that are given and learned from.
COUNT, ERROR, SEEDS = 50, 0.05, (5, 6)
#: What no covariance of heights holds counts as error of the drifters: factor on their variance.
INFLATION = 4.0
#: Observations, by the names of their tuned Gaussians.
PROBLEMS = {"currents-nadir4": "nadir4", "currents-swot": "swot"}
#: Anchors in cm/s: interpolation of heights, and with drifters.
ANCHORS = {"nadir4": (19.2, 14.7), "swot": (16.8, 13.9)}


def rows(name: str, options: argparse.Namespace) -> Iterator[dict]:
    """Interpolation and, with ``--steps``, networks: of heights alone, and with drifters."""
    truth, given = read(options.data).ssh, PROBLEMS[name]
    heights = on_plane(read(options.data, "obs")[OBSERVATIONS[given]])
    ssh = on_plane(truth)
    seen = [drifters(ssh.sel(time=times), seed) for times, seed in periods()]
    both = xr.merge([heights.rename("ssh"), xr.concat(seen, "time").sortby("time")], join="inner")
    alone, joint = ANCHORS[given]
    cases = {"heights": (both.ssh, alone), "heights and drifters": (both, joint)}
    for label, (obs, anchor) in cases.items():
        oi = interpolation(both.ssh.sel(time=TRAIN), ssh.sel(time=TRAIN), given, obs)
        yield scored(name, f"OI, {label}", obs, ssh, oi, anchor, options)
        if options.steps:
            training = xv.Training(steps=options.steps, patience=1000)
            method = xv.FourDVarNet(
                background=oi, mirror=True, training=training, operator=oi.operator,
                **({} if options.coarsen is None else {"coarsen": options.coarsen}),
            )  # fmt: skip
            yield scored(name, f"4DVarNet, {label}", obs, ssh, method, anchor, options)


def periods() -> list[tuple[slice, int]]:
    return [(GIVEN["A"], SEEDS[0]), (slice("2013-02-01", "2014-12-31"), SEEDS[1])]


def drifters(ssh: xr.DataArray, seed: int) -> xr.Dataset:
    """The current at some cells of each day, with an error; NaN elsewhere."""
    generator = np.random.default_rng(seed)
    days, *cells = ssh.shape
    seen = np.zeros((days, int(np.prod(cells))), dtype=bool)
    for day in seen:
        day[generator.choice(day.size, COUNT, replace=False)] = True
    noise = [generator.normal(0, ERROR, ssh.shape) for _ in range(2)]
    fields = {
        name: current.where(seen.reshape(ssh.shape)) + error
        for (name, current), error in zip(currents(ssh).items(), noise, strict=True)
    }
    return xr.Dataset({name: one.assign_attrs(units="m/s") for name, one in fields.items()})


def currents(ssh: xr.DataArray) -> dict[str, xr.DataArray]:
    """Eastward and northward currents in m/s, by centred differences."""
    u = -BALANCE * ssh.differentiate("y") / 1000
    return {"u": u, "v": BALANCE * ssh.differentiate("x") / 1000}


def interpolation(
    train: xr.DataArray, truth: xr.DataArray, given: str, obs: xr.Dataset | xr.DataArray
) -> xv.OptimalInterpolation:
    """Two tuned Gaussians about the mean map, of the variance of the heights to learn from."""
    *terms, noise = TUNED[given]
    spread = float(((train - truth.mean("time")) ** 2).mean()) / (terms[0][2] + terms[1][2] + noise)
    lengths = [
        {"time": f"{days}D", "y": f"{10 * NORTH * size} km", "x": f"{10 * EAST * size} km"}
        for size, days, _ in terms
    ]
    errors = {"ssh": noise * spread}
    operator: xv.operators.Operator = xv.operators.Mask()
    if isinstance(obs, xr.Dataset):
        errors |= dict.fromkeys("uv", INFLATION * ERROR**2)
        operator = xv.operators.Stacked({"ssh": operator, "drifters": GEOSTROPHIC})
    return xv.OptimalInterpolation(
        length=lengths, variance=[weight * spread for *_, weight in terms],
        error_variance=errors, mean="map", operator=operator,
    )  # fmt: skip


def scored(
    name: str,
    label: str,
    obs: xr.Dataset | xr.DataArray,
    ssh: xr.DataArray,
    method: object,
    anchor: float,
    options: argparse.Namespace,
) -> dict:
    train = obs.sel(time=TRAIN)
    model, fit_s = fitted(f"{label}-{name}", train, method, options, target=ssh.sel(time=TRAIN))
    begin = time.perf_counter()
    maps = obs.sel(time=GIVEN["A"]).fourdvar.reconstruct(model, progress=False)
    seconds = time.perf_counter() - begin
    field = maps.ssh if isinstance(maps, xr.Dataset) else maps
    target = ssh.sel(time=GIVEN["A"])
    pairs = zip(currents(field).values(), currents(target).values(), strict=True)
    vector = 100 * float(sum((inner(a - b, 10) ** 2).mean() for a, b in pairs) ** 0.5)
    found = scores(field, target)
    about = {"problem": name, "method": label, "height": found["rmse"]}
    found |= {"rmse": vector, "ratio": vector / anchor}
    return about | found | {"fit_s": fit_s, "maps_s": seconds}
