"""Bad input: one clear error each, before any work, and nothing left behind.

Each row says what is wrong, the call, and words that the message must hold: the dimension,
variable or value that is wrong, and the fix.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import load_file, save_file

import xr4dvar as xv
from xr4dvar import persistence
from xr4dvar.testing import raise_if_dask_computes
from xr4dvar.verbs import _patch_work as patch_work
from xr4dvar.verbs import fit as fitting


@dataclass
class Given:
    """What the calls of the table start from."""

    obs: xr.DataArray
    truth: xr.DataArray
    oi: xv.OptimalInterpolation
    net: xv.FourDVarNet
    model: xv.Model

    def fit(self, *method: Any, obs: Any = None, **options: Any) -> object:
        return xv.fit(self.obs if obs is None else obs, *(method or (self.net,)), **options)

    def net_with(self, **settings: Any) -> object:
        return self.fit(replace(self.net, **settings))

    def train(self, **settings: Any) -> object:
        return self.net_with(training=replace(self.net.training, **settings))

    def oi_with(self, **settings: Any) -> object:
        usual = {"length": {"time": "4D", "lat": 0.6}}
        return self.fit(xv.OptimalInterpolation(**{**usual, **settings}))

    def reconstruct(self, change: Any = None, **options: Any) -> object:
        obs = self.obs if change is None else change(self.obs)
        return xv.reconstruct(obs, options.pop("model", self.model), **options)

    def both(self, **others: Any) -> xr.Dataset:
        return xr.Dataset({"ssh": self.obs, **others})


@pytest.fixture
def given(
    obs: xr.DataArray,
    waves: xr.DataArray,
    oi: xv.OptimalInterpolation,
    tiny_net: xv.FourDVarNet,
    models: dict[str, xv.Model],
) -> Given:
    return Given(obs, waves, oi, tiny_net, models["net"])


def spaced(values: Any, units: str) -> tuple[str, Any, dict[str, str]]:
    return "lat", values, {"units": units}


Row = tuple[Callable[[Given], object], str]

#: Told by the labels and the arguments alone: refused before a value is read, lazy or not.
LABELS: dict[str, Row] = {
    # axes
    "unknown axes": (
        lambda g: g.reconstruct(lambda a: xr.DataArray(a.data, dims=("a", "b", "c"))),
        "which axis 'a', 'b', 'c' | name the axes, for example dims=",
    ),
    "ambiguous axes": (
        lambda g: g.reconstruct(lambda a: a.rename(lat="t").drop_vars("t")),
        "the time axis is ambiguous: 'time', 't' | dims={\"time\": \"t\"}",
    ),
    "axes by an unknown name": (
        lambda g: g.reconstruct(dims={"latitude": "row"}),
        "no dimension 'row' | the dimensions are time, lat, lon",
    ),
    "axes by an unknown key": (
        lambda g: g.reconstruct(dims={"height": "lat"}), "'height' is not an axis | use the keys"
    ),
    "axes as a list": (
        lambda g: g.reconstruct(dims=["time", "lat"]), "dims is ['time', 'lat'] | dims={"
    ),
    "periodic along an unknown dimension": (
        lambda g: g.fit(periodic=("depth",)), "periodic: 'depth' | use 'time', 'lat', 'lon'"
    ),
    "periodic along latitude": (
        lambda g: g.fit(periodic=("lat",)), "'lat' is a latitude | leave it out of periodic"
    ),
    "periodic that does not close": (
        lambda g: g.fit(periodic=("lon",)), "'lon' does not close: 14 points | leave it out"
    ),
    "periodic as a switch": (lambda g: g.fit(periodic=True), 'periodic is True | ("lon",)'),
    # coordinates
    "duplicated coordinate": (
        lambda g: g.reconstruct(lambda a: a.isel(lat=[0, 1, 1, 2])),
        "'lat' has the same value twice: entries 1 and 2 | obs.drop_duplicates('lat')",
    ),
    "unsorted coordinate": (
        lambda g: g.fit(obs=g.obs.isel(time=[0, 3, 2, 5])),
        "'time' neither ascends nor descends: it turns at entry 2 | obs.sortby('time')",
    ),
    "coordinate with a gap": (
        lambda g: g.fit(obs=g.obs.assign_coords(lon=[np.nan, *range(13)])),
        "'lon' is missing or infinite at 1 of 14 points, first at 0 | drop them",
    ),
    "dates with a gap": (
        lambda g: g.fit(obs=g.obs.assign_coords(time=g.obs.time.where(g.obs.time.dt.day != 3))),
        "'time' is missing or infinite at 1 of 24 points, first at 2 | drop them",
    ),
    "dates as texts": (
        lambda g: g.fit(obs=g.obs.assign_coords(time=g.obs.time.dt.strftime("%F").values)),
        "'time' holds str values | pd.to_datetime",
    ),
    "latitudes beyond the poles": (
        lambda g: g.fit(obs=g.obs.assign_coords(lat=spaced(80 + np.arange(12.0), "degrees_north"))),
        "'lat' has latitude 91, outside -90 to 90 | mend it",
    ),
    "nothing selected": (
        lambda g: g.reconstruct(lambda a: a.isel(time=[])), "'time' has no entries | select"
    ),
    # kinds and types
    "numpy array": (
        lambda g: xv.fit(np.ones((3, 4, 5)), g.net),
        "obs is a ndarray | xr.DataArray(obs, dims=..., coords=...)",
    ),
    "numpy array for a target": (
        lambda g: g.fit(target=np.ones((24, 12, 14))), "target is a ndarray | obs.copy(data=target)"
    ),
    "numpy array for a mask": (
        lambda g: g.fit(mask=np.ones((12, 14), bool)), "mask: is a ndarray | for example"
    ),
    "integers": (
        lambda g: g.fit(obs=g.obs.fillna(0).astype(int)),
        "'ssh' is int64, which has no value for missing cells | mask_and_scale=True",
    ),
    "objects": (lambda g: g.reconstruct(lambda a: a.astype(object)), "'ssh' is object | astype"),
    "complex numbers": (lambda g: g.fit(obs=g.obs.astype(complex)), "'ssh' is complex128 | astype"),
    "target of integers": (
        lambda g: g.fit(target=g.truth.astype(int)), "target: 'ssh' is int64 | astype"
    ),
    "a variable that is no number": (
        lambda g: xv.fit(g.both(flag=g.obs.astype(str)), g.net), "'flag' is <U32 | .astype"
    ),
    "a variable on other dimensions": (
        lambda g: xv.fit(g.both(depth=g.truth.isel(time=0, drop=True)), g.oi),
        "'depth' is on (lat, lon), not on (time, lat, lon) | obs.drop_vars('depth')",
    ),
    "an empty Dataset": (lambda g: xv.fit(xr.Dataset(), g.net), "obs has no dimensions | give"),
    # what goes with the observations
    "target between the grid points": (
        lambda g: g.fit(target=g.truth.assign_coords(lat=g.truth.lat + 0.1)),
        "target: 'lat' differs from obs, first at entry 0: 33.1, obs has 33.0"
        " | target.interp_like(obs)",
    ),
    "target that is larger": (
        lambda g: g.fit(obs=g.obs.isel(lat=slice(8)), target=g.truth),
        "target: 'lat' has 12 entries, obs has 8 | target.sel(lat=obs['lat'])",
    ),
    "target off by rounding": (
        lambda g: g.fit(target=g.truth.assign_coords(lon=g.truth.lon + 1e-6)),
        "target: 'lon' differs from obs by rounding | target.assign_coords(lon=obs['lon'])",
    ),
    "target in other units": (
        lambda g: g.fit(target=g.truth.assign_attrs(units="cm")),
        "target: 'ssh' is in 'cm', obs is in 'm' | convert it",
    ),
    "target as a Dataset": (
        lambda g: g.fit(target=g.truth.to_dataset()), "target: is a Dataset | target['ssh']"
    ),
    "target as a DataArray of a Dataset": (
        lambda g: xv.fit(g.both(), g.net, g.truth), "target: is a DataArray | give a Dataset"
    ),
    "target that lacks a variable": (
        lambda g: xv.fit(g.both(u=g.obs), g.net, g.both()), "target: lacks the variables 'u' | "
    ),
    "mask of other cells": (
        lambda g: g.reconstruct(mask=(g.truth[0] > -9).assign_coords(lat=g.truth.lat + 1)),
        "mask: 'lat' differs from obs | mask.interp_like(obs)",
    ),
    "mask on another dimension": (
        lambda g: g.reconstruct(mask=xr.DataArray(np.ones(3, bool), dims="depth")),
        "mask: has a dimension 'depth' | mask.isel(depth=0, drop=True)",
    ),
    "mask of nothing": (
        lambda g: g.reconstruct(mask=g.truth[0].compute() > 9), "mask: no cell is wanted | invert"
    ),
    "mask that is none": (
        lambda g: g.reconstruct(mask=g.truth[0].compute() * 0 + 3), "mask: holds 3.0 | compare it"
    ),
    "error variance as a text": (
        lambda g: g.reconstruct(error_variance="0.1"),
        "error_variance is a str | obs_error**2, or one number for all",
    ),
    "error variance that is not positive": (
        lambda g: g.reconstruct(model=g.oi, error_variance=0.0), "error_variance is 0.0 | above 0"
    ),
    "error variance on another grid": (
        lambda g: g.reconstruct(error_variance=g.truth.isel(lat=slice(5))),
        "error_variance: 'lat' has 5 entries, obs has 12 | error_variance.interp_like(obs)",
    ),
    "error variance for a method that knows none": (
        lambda g: g.reconstruct(model=xv.LinearInterpolation(), error_variance=g.truth),
        "error_variance is of no use | leave it out",
    ),
    # methods
    "method by name": (lambda g: g.fit("oi"), "method is 'oi' | such as xr4dvar.FourDVarNet()"),
    "a class for a method": (
        lambda g: g.fit(xv.FourDVarNet), "is the class FourDVarNet | FourDVarNet(...)"
    ),
    "a class to reconstruct with": (
        lambda g: g.reconstruct(model=xv.OptimalInterpolation),
        "the class OptimalInterpolation | OptimalInterpolation(...)",
    ),
    "a model for a method": (lambda g: g.fit(g.model), "method is Model | model.method"),
    "a file for a model": (
        lambda g: g.reconstruct(model="m.safetensors"), "m.safetensors | xr4dvar.load('m.safeten"
    ),
    "a file to plan with": (lambda g: xv.plan(g.obs, "m.st"), "'m.st' | xr4dvar.load('m.st')"),
    "a method that was not fitted": (
        lambda g: g.reconstruct(model=g.net), "FourDVarNet has to be fitted | obs.fourdvar.fit("
    ),
    "background by name": (lambda g: g.net_with(background="oi"), "background is 'oi' | such as"),
    "background that is a network": (
        lambda g: g.net_with(background=g.net), "maps patches of one size | OptimalInterpolation()"
    ),
    "background that cannot be used": (
        lambda g: g.net_with(background=xv.OptimalInterpolation(length={"time": 7, "lat": 1})),
        "length along 'time' has no unit: 7 | '7D'",
    ),
    # lengths and variances
    "length without a unit along time": (
        lambda g: g.oi_with(length={"time": 7, "lat": 1.0}),
        "length along 'time' has no unit: 7 | '7D'",
    ),
    "length without a unit along metres": (
        lambda g: g.fit(
            xv.OptimalInterpolation(length={"time": "7D", "lat": 1e5, "lon": "100 km"}),
            obs=g.obs.assign_coords(
                lat=spaced(1e4 * np.arange(12), "m"),
                lon=("lon", 1e4 * np.arange(14), {"units": "m"}),
            ),
        ),
        "length along 'lat' has no unit: 100000.0 | say the unit",
    ),
    "length along time only": (
        lambda g: g.oi_with(length={"time": "7D"}), "length along 'lat' is missing | add \"lat\":"
    ),
    "length as one number": (
        lambda g: g.oi_with(length=1.0), "length along 'time' is missing | add \"time\": '7D'"
    ),
    "length that is none": (
        lambda g: g.oi_with(length={"time": "7D", "lat": [1]}), "'lat' is no length: [1] | 1.0"
    ),
    "length of an unknown unit": (
        lambda g: g.oi_with(length={"time": "7D", "lat": "2 parsec"}), "no length: '2 parsec' | "
    ),
    "negative length": (
        lambda g: g.oi_with(length={"time": "-7D", "lat": 1}), "'time' is '-7D' | positive"
    ),
    "length along an axis that is not there": (
        lambda g: xv.reconstruct(g.obs.isel(time=0, drop=True), g.oi),
        "length: 'time' is not an axis | use 'lat', 'lon'",
    ),
    "negative error variance": (
        lambda g: g.oi_with(error_variance=-1.0), "error_variance is -1.0 | positive"
    ),
    "no error variance": (
        lambda g: g.reconstruct(model=replace(g.oi, error_variance=0)),
        "error_variance is 0 | positive",
    ),
    "unknown family": (lambda g: g.oi_with(family="gauss"), "family 'gauss' | gaussian"),
    "unknown mean": (lambda g: g.oi_with(mean="maps"), "mean is 'maps' | 'map', 'constant'"),
    "no scale to look for": (lambda g: g.oi_with(scales=0), "scales is 0 | at least 1"),
    # patches
    "patch larger than the domain": (
        lambda g: g.net_with(patch={"time": 50}),
        "patch is 50 along 'time', the data have 24 | to 24",
    ),
    "patch of no cell": (lambda g: g.net_with(patch={"time": 0}), "patch is 0 along 'time' | 1 to"),
    "patch of half a cell": (lambda g: g.net_with(patch={"lat": 5.5}), "5.5 along 'lat' | whole"),
    "patch as a number": (lambda g: g.net_with(patch=6), "patch is 6 | {'time': 15}"),
    "patch along an unknown axis": (
        lambda g: g.net_with(patch={"depth": 5}), "patch: 'depth' | use 'time', 'lat', 'lon'"
    ),
    "patch along time without time": (
        lambda g: g.fit(obs=g.obs.isel(time=0, drop=True)), "patch: 'time' | use 'lat', 'lon'"
    ),
    "overlap as large as the patch": (
        lambda g: g.net_with(overlap={"time": 6}), "overlap is 6 along 'time', the patch is 6 | le"
    ),
    "less than the patch of the model": (
        lambda g: g.reconstruct(lambda a: a.isel(time=slice(4))),
        "the model sees 6 steps of 'time' at once, the data have 4 | at least 6",
    ),
    # other settings of the network
    "unknown prior": (lambda g: g.net_with(prior="gibbs"), "prior is 'gibbs' | 'two_scale'"),
    "unknown solver": (lambda g: g.net_with(solver="adam"), "solver is 'adam' | 'lstm'"),
    "no iteration": (lambda g: g.net_with(steps=0), "steps is 0 | at least 1"),
    "no width": (lambda g: g.net_with(widths=()), "widths is () | (48, 64)"),
    "one number for widths": (lambda g: g.net_with(widths=8), "widths is 8 | (48, 64)"),
    "unknown loss": (lambda g: g.net_with(loss={"mse": 1}), "['mse'] | supervised, gradient"),
    "negative loss": (lambda g: g.net_with(loss={"gradient": -1}), "'gradient' is -1 | 0"),
    "no loss": (
        lambda g: g.net_with(loss={"supervised": 0, "regularisation": 0}), "are 0 | positive"
    ),
    "training as a dict": (lambda g: g.net_with(training={"steps": 5}), "{'steps': 5} | Training("),
    "no training step": (lambda g: g.train(steps=0), "steps is 0 | at least 1"),
    "no patch in a step": (lambda g: g.train(batch_size=0), "batch_size is 0 | at least 1"),
    "negative learning rate": (lambda g: g.train(learning_rate=-1), "learning_rate is -1 | above"),
    # options of fit
    "validation before the data": (
        lambda g: g.fit(validation=slice("2012", "2013")),
        "validation=slice('2012', '2013') selects no time | between 2014-01-01",
    ),
    "validation longer than the data": (
        lambda g: g.fit(validation=slice("2013", "2015")), "leaves 0 steps of 'time' | other times"
    ),
    "validation that leaves too little": (
        lambda g: g.fit(validation=slice("2014-01-05", None)),
        "leaves 4 steps of 'time' to train on, at least 6 | smaller patch=",
    ),
    "validation shorter than a patch": (
        lambda g: g.fit(validation=slice("2014-01-20", "2014-01-22")),
        "holds 3 steps of 'time', at least 6 | smaller patch=",
    ),
    "validation by number": (
        lambda g: g.fit(validation=slice(3, 9)), "slice(3, 9) are no labels of 'time' | between"
    ),
    "validation as a text": (lambda g: g.fit(validation="2014"), "validation is '2014' | slice("),
    "validation of more than all": (lambda g: g.fit(validation=1.5), "validation is 1.5 | 0 and 1"),
    "validation of nothing": (lambda g: g.fit(validation=0), "validation is 0 | between 0 and 1"),
    "validation with a step": (
        lambda g: g.fit(validation=slice("2014-01-10", None, 2)), "has a step | leave the step out"
    ),
    "validation where time has no labels": (
        lambda g: g.fit(obs=g.obs.drop_vars("time"), validation=slice("2014", None)),
        "'time' has no coordinate | validation=0.15",
    ),
    "validation where there is no time": (
        lambda g: g.fit(
            xv.LinearInterpolation(), obs=g.obs.isel(time=0, drop=True), validation=slice("2014")
        ),
        "obs has no time axis | leave validation out",
    ),
    "nothing hidden": (lambda g: g.fit(hidden=0), "hidden is 0 | between 0 and 1"),
    "everything hidden": (lambda g: g.fit(hidden=1.0), "hidden is 1.0 | between 0 and 1"),
    "unknown shape to hide": (
        lambda g: g.fit(hidden_shape="clouds"), "hidden_shape is 'clouds' | 'mixed'"
    ),
    "negative seed": (lambda g: g.fit(seed=-1), "seed is -1 | at least 0"),
    "seed as a text": (lambda g: g.fit(seed="x"), "seed is 'x' | whole number"),
    "device that is not there": (
        lambda g: g.fit(device="cuda:77"), "device 'cuda:77' is not there | use 'cpu'"
    ),
    "device that nobody knows": (
        lambda g: g.reconstruct(device="gpu0"), "device 'gpu0' is unknown | 'cuda'"
    ),
    "device by number": (lambda g: g.reconstruct(device=0), "device 0 is unknown | 'cuda:1'"),
    "no device": (lambda g: g.fit(devices=0), "devices is 0 | at least 1"),
    "two of one device": (
        lambda g: g.fit(devices=2, device="cpu:0"), "devices is 2, and 'cpu:0' is one | 'cpu', or"
    ),
    "unknown precision": (
        lambda g: g.fit(precision="float8", device="cpu"), "precision='float8' | '32-true'"
    ),
    "checkpoint in no folder": (
        lambda g: g.fit(checkpoint="absent/x.ckpt"), "no folder 'absent' | make it first"
    ),
    # options of reconstruct
    "negative batch size": (lambda g: g.reconstruct(batch_size=-1), "batch_size is -1 | least 1"),
    "batch size as a text": (lambda g: g.reconstruct(batch_size="auto"), "'auto' | whole number"),
    # model of other data
    "model of another variable": (
        lambda g: g.reconstruct(lambda a: a.rename("sst")),
        "the data hold 'sst', the model was fitted on 'ssh' | rename",
    ),
    "model of more variables": (
        lambda g: xv.reconstruct(g.both(u=g.obs), g.model), "hold 'ssh', 'u' | select or rename"
    ),
    "model of other units": (
        lambda g: g.reconstruct(lambda a: a.assign_attrs(units="cm")),
        "'ssh' is in 'cm', the model knows 'm' | convert it",
    ),
    "model of another spacing": (
        lambda g: g.reconstruct(lambda a: a.isel(lon=slice(None, None, 2))),
        "spacing of 'lon' is 0.5 degree, the model knows 0.25 | obs.interp(lon=...)",
    ),
    "model of axes that are not there": (
        lambda g: g.reconstruct(lambda a: a.isel(time=0, drop=True)),
        "the model needs a time axis | name it with dims=",
    ),
    "model of axes in other units": (
        lambda g: g.reconstruct(
            lambda a: a.assign_coords(
                lat=spaced(np.arange(12.0), "km"), lon=("lon", np.arange(14.0), {"units": "km"})
            )
        ),
        "'lat' is in km, the model knows degree | convert it",
    ),
    "plan for a model of another variable": (
        lambda g: xv.plan(g.obs.rename("sst"), g.model), "the data hold 'sst' | rename"
    ),
}  # fmt: skip

#: Told by the values: refused by `fit` after one look at all of them, and by `reconstruct` at
#: once for arrays in memory.
VALUES: dict[str, Row] = {
    "all missing": (
        lambda g: g.fit(obs=g.obs * np.nan), "'ssh' has no value, all is missing | check"
    ),
    "a period that is all missing": (
        lambda g: g.fit(obs=g.obs.where(g.obs.time > g.obs.time[18]), target=g.truth),
        "'ssh' has no value in the training period, time steps 0 to 17 | another period",
    ),
    "a validation period that is all missing": (
        lambda g: g.fit(obs=g.obs.where(g.obs.time < g.obs.time[12])),
        "'ssh' has no value in the validation period, time steps 18 to 23 | another period",
    ),
    "observations on land only": (
        lambda g: g.fit(obs=g.obs.where(g.obs.lat > 34), mask=g.obs.lat < 34),
        "'ssh' has no value, all is missing | check",
    ),
    "infinite values": (
        lambda g: g.fit(obs=g.obs.where(g.obs < 0.1, np.inf)),
        "infinite values | obs.where(np.isfinite(obs))",
    ),
    "the same value everywhere": (
        lambda g: g.fit(obs=g.obs * 0 + 1), "'ssh' has the same value everywhere: 1 | leave"
    ),
    "a target without values": (
        lambda g: g.fit(target=g.truth * np.nan), "'target ssh' has no value | check"
    ),
    "a target without values in training": (
        lambda g: g.fit(target=g.truth.where(g.truth.time > g.truth.time[18])),
        "'target ssh' has no value in the training period | another period",
    ),
    "an infinite target": (
        lambda g: g.fit(target=g.truth.where(g.truth < 0.1, np.inf)), "'target ssh' has | isfinite"
    ),
    "all missing to reconstruct": (
        lambda g: g.reconstruct(lambda a: a.compute() * np.nan), "'ssh' has no value | check"
    ),
    "infinite values to reconstruct": (
        lambda g: g.reconstruct(lambda a: a.compute().where(a.notnull().compute(), -np.inf)),
        "'ssh' has 2483 infinite values | isfinite",
    ),
}  # fmt: skip


def no_work(*args: object, **options: object) -> None:
    raise AssertionError("work was begun")


def assert_says(error: xv.InputError, words: str) -> None:
    for part in words.split(" | "):
        assert part in str(error)
    assert all(what and fix for what, fix in error.problems)
    assert "; fix: " in str(error)


@pytest.fixture
def nothing_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """No patch may be solved and nothing fitted; gives the check that no file was left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fitting, "_fit", no_work)
    monkeypatch.setattr(patch_work, "engine_of", no_work)

    def check() -> None:
        assert not list(tmp_path.iterdir())

    return check


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("what", LABELS)
def test_labels_and_arguments(
    what: str, lazy: bool, given: Given, nothing_done: Callable[[], None]
) -> None:
    call, words = LABELS[what]
    if lazy:
        given = replace(given, obs=given.obs.chunk(time=8), truth=given.truth.chunk(time=8))
    allowed = 1 if what.startswith("mask") else 0  # of the test's own 2-D mask
    with (
        raise_if_dask_computes(max_computes=allowed),
        pytest.raises(xv.InputError) as caught,
    ):
        call(given)
    assert_says(caught.value, words)
    nothing_done()


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("what", VALUES)
def test_values(what: str, lazy: bool, given: Given, nothing_done: Callable[[], None]) -> None:
    call, words = VALUES[what]
    if lazy:
        given = replace(given, obs=given.obs.chunk(time=8), truth=given.truth.chunk(time=8))
    with pytest.raises(xv.InputError) as caught:
        call(given)
    assert_says(caught.value, words)
    nothing_done()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"obs": a.where(a.notnull(), np.inf)}, "'ssh' has infinite values | isfinite"),
        (
            lambda a: {"obs": a, "error_variance": xr.full_like(a, -1.0), "model": "oi"},
            "error_variance of 'ssh' is -1 | positive",
        ),
        (lambda a: {"obs": a, "device": "cuda:77"}, "device 'cuda:77' is not there | 'cpu'"),
    ],
)
def test_values_in_chunks_are_refused_where_they_are_read(
    change: Callable[[xr.DataArray], dict[str, Any]], words: str, given: Given
) -> None:
    """Lazy means that nobody has looked: the first patch that meets them says the same."""
    options = change(given.obs.chunk(time=8))
    model = given.oi if options.pop("model", "net") == "oi" else given.model
    with raise_if_dask_computes():
        lazy = xv.reconstruct(options.pop("obs"), model, **options)
    with pytest.raises(xv.InputError) as caught:
        lazy.compute()
    assert_says(caught.value, words)


def test_error_variance_in_memory(given: Given) -> None:
    for value in (0.0, -1.0):
        with pytest.raises(xv.InputError) as caught:
            given.reconstruct(model=given.oi, error_variance=xr.full_like(given.obs, value))
        assert_says(caught.value, f"error_variance of 'ssh' is {value:g} at | positive")


def test_all_problems_of_fit_at_once(given: Given, nothing_done: Callable[[], None]) -> None:
    method = replace(
        given.net, patch={"time": 99}, widths=(), background=xv.OptimalInterpolation(length=1.0)
    )
    with pytest.raises(xv.InputError) as caught:
        xv.fit(
            given.obs, method, given.truth.assign_attrs(units="cm"),
            hidden=3, seed=-1, validation=2.0, device="gpu0", checkpoint="absent/x",
        )  # fmt: skip
    told = str(caught.value)
    assert told.startswith("9 problems with the input:\n  1. ")
    assert len(caught.value.problems) == len(set(caught.value.problems)) == 9
    for words in (
        "hidden is 3", "seed is -1", "no folder 'absent'", "device 'gpu0'", "'cm'",
        "patch is 99 along 'time'", "widths is ()", "length along 'time'", "validation is 2.0",
    ):  # fmt: skip
        assert words in told
    nothing_done()


def test_all_problems_of_labels_at_once(given: Given, nothing_done: Callable[[], None]) -> None:
    """What the labels alone tell comes with the options that were looked at before."""
    with pytest.raises(xv.InputError) as caught:
        xv.fit(
            given.obs.isel(lat=[0, 2, 1, 3]).assign_coords(lon=[*range(13), np.inf]),
            given.net, given.truth.to_dataset(), mask=given.truth[0] * 5, hidden=0,
        )  # fmt: skip
    told = str(caught.value)
    for words in ("'lat' neither", "'lon' is missing or infinite", "target: is a Dataset", "mask:"):
        assert words in told
    assert "hidden is 0" in told
    nothing_done()


def test_all_problems_of_a_model_at_once(given: Given) -> None:
    other = given.obs.rename("sst").isel(lat=slice(None, None, 2), lon=slice(None, None, 3))
    with pytest.raises(xv.InputError) as caught:
        xv.reconstruct(other, given.model, batch_size=0, device="gpu0")
    assert len(caught.value.problems) == 5


# files: each call is given a model and a name, in an empty folder


def full_disk(model: xv.Model, path: Path) -> None:
    class Full:
        def __init__(self, *args: object):
            with open(path.with_name(f".{path.name}.{os.getpid()}.partial"), "wb") as file:
                file.write(b"half")

        def __enter__(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def __exit__(self, *args: object) -> None:
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", Full)
        model.save(path, overwrite=True)


def spoiled(spoil: Callable[[Path], object]) -> Callable[[xv.Model, Path], None]:
    def call(model: xv.Model, path: Path) -> None:
        model.save(path, overwrite=True)
        spoil(path)
        xv.load(path)

    return call


def newer(path: Path) -> None:
    weights = load_file(path)
    header = {"format": "xr4dvar-model", "format_version": "7", "xr4dvar_version": "3.0"}
    save_file(weights, path, header | {"model": json.dumps({})})


def by_fit(model: xv.Model, path: Path) -> None:
    path.write_bytes(b"no checkpoint")
    obs = xr.DataArray(np.random.default_rng(0).random((12, 8, 8)), dims=("time", "lat", "lon"))
    net = replace(
        model.method,
        background=None,
        patch={"time": 6, "lat": 8, "lon": 8},  # type: ignore[type-var]
    )
    xv.fit(obs, net, checkpoint=str(path))


FILES: dict[str, tuple[Callable[[xv.Model, Path], object], str]] = {
    "output exists": (lambda m, p: m.save(p), "m.safetensors' exists | overwrite=True"),
    "disk full": (full_disk, "No space left on device | space left"),
    "no folder": (lambda m, p: m.save(p / "absent" / "m.st"), "there is no folder | make it"),
    "a folder": (lambda m, p: m.save(p.parent, overwrite=True), "is no file | the name of a file"),
    "truncated": (spoiled(lambda p: p.write_bytes(p.read_bytes()[:-9])), "is damaged | save"),
    "empty": (spoiled(lambda p: p.write_bytes(b"")), "is damaged | save the model again"),
    "newer": (spoiled(newer), "written by xr4dvar 3.0 in format 7 | update xr4dvar"),
    "not ours": (
        spoiled(lambda p: save_file({"w": np.ones(3)}, p)), "but no xr4dvar model | model.save"
    ),
    "pickled": (
        spoiled(lambda p: p.write_bytes(pickle.dumps({}))), "is damaged | pickled files are never"
    ),
    "absent": (lambda m, p: xv.load(p.with_name("none")), "none' does not exist | check the path"),
    "a checkpoint that is none": (by_fit, "checkpoint | cannot be read | delete it to start again"),
}  # fmt: skip


@pytest.mark.parametrize("what", FILES)
def test_files(what: str, given: Given, models: dict[str, xv.Model], tmp_path: Path) -> None:
    """One error; a file that was there is as it was unless the test itself spoiled it."""
    call, words = FILES[what]
    path = tmp_path / "m.safetensors"
    models["oi"].save(path)
    with pytest.raises(xv.InputError) as caught:
        call(given.model, path)
    for part in words.split(" | "):
        assert part in str(caught.value)
    if what in ("truncated", "empty", "newer", "not ours", "pickled", "absent"):
        assert isinstance(caught.value, xv.ModelFileError)
    elif what != "a checkpoint that is none":
        assert xv.load(path).digest == models["oi"].digest
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_interruption_while_writing(
    given: Given, models: dict[str, xv.Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.safetensors"
    models["oi"].save(path)

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(persistence.os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            given.model.save(path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert xv.load(path).digest == models["oi"].digest


# not wrong enough to refuse: it works, and the user is told


def test_target_with_gaps_is_told_in_the_log(
    given: Given, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="xr4dvar"):
        model = given.fit(target=given.truth.where(given.truth.lat > 34.3))
    assert isinstance(model, xv.Model)
    assert "target ssh is missing at 50 % of the cells: used where it is" in caplog.text


def test_chunks_that_split_nothing_sensibly_are_told_in_the_plan(given: Given) -> None:
    """Merged within the tasks: the same map, and `plan` says what would be better."""
    small = given.obs.chunk(time=1, lat=1)
    advice = " ".join(xv.plan(small, given.model).advice)
    for better in ("time=", "lat="):
        assert better in advice
    maps = xv.reconstruct(small, given.model)
    assert maps.chunks == small.chunks
    np.testing.assert_allclose(maps, xv.reconstruct(given.obs, given.model), rtol=0, atol=1e-6)


def test_uneven_spacing_is_told_in_the_log(given: Given, caplog: pytest.LogCaptureFixture) -> None:
    uneven = given.obs.isel(lat=[0, 1, 2, 4, 5, 6, 9, 11])
    assert xv.reconstruct(uneven, given.oi).notnull().all()
    assert "'lat' is not evenly spaced" in caplog.text


def test_a_keyword_that_is_misspelt(given: Given) -> None:
    with pytest.raises(TypeError, match="validaton"):
        given.obs.fourdvar.fit(given.net, validaton=0.1)
