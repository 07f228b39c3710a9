"""The verb fit: which times it learns from, lazy as in memory, the same for the same seed."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import cftime
import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.contract.engine import Engine
from xr4dvar.contract.training_data import BlockBox, TrainingData
from xr4dvar.labels import Grid
from xr4dvar.methods import FitOptions, Parameters, Window
from xr4dvar.testing import raise_if_dask_computes
from xr4dvar.types import Role
from xr4dvar.verbs import _training_data as fitting


@dataclass(frozen=True)
class Recorder:
    """Learns nothing, keeps what it was given to learn from."""

    training: None = None  # it sees patches in time, as what is trained does
    seen: list[TrainingData] = field(default_factory=list, compare=False)
    background: ClassVar[None] = None
    engine_type: ClassVar[None] = None  # and solves nothing

    def check(self, grid: Grid, names: Sequence[str]) -> None:
        pass

    def known(self, grid: Grid, names: Sequence[str]) -> None:
        return None

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        return {role: Window(min(3, grid[role].size), 1) for role in grid.roles}

    def fit(self, data: TrainingData, options: FitOptions, background: Engine | None) -> Parameters:
        self.seen.append(data)
        return Parameters()


def periods(obs: xr.DataArray, **options: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    method = Recorder()
    xv.fit(obs, method, **options)
    return method.seen[0].train, method.seen[0].validation


@pytest.mark.parametrize(
    ("validation", "train", "held_out"),
    [
        (0.25, (0, 18), (18, 24)),
        (0.01, (0, 21), (21, 24)),  # at least one patch
        (slice("2014-01-20", None), (0, 19), (19, 24)),
        (slice("2014-01-20", "2014-01-22"), (0, 19), (19, 22)),
        (slice(None, "2014-01-05"), (5, 24), (0, 5)),
        (slice("2014-01-05", "2014-01-08"), (8, 24), (4, 8)),  # the longer side
        (slice(np.datetime64("2014-01-20"), None), (0, 19), (19, 24)),
    ],
)
@pytest.mark.parametrize("descending", [False, True])
def test_periods(
    validation: slice | float,
    train: tuple[int, int],
    held_out: tuple[int, int],
    descending: bool,
    obs: xr.DataArray,
) -> None:
    turned = obs.isel(time=slice(None, None, -1)) if descending else obs
    assert periods(turned, validation=validation) == (train, held_out)


def test_periods_of_other_times(obs: xr.DataArray) -> None:
    noleap = obs.assign_coords(time=[cftime.DatetimeNoLeap(2014, 1, 1 + n) for n in range(24)])
    assert periods(noleap, validation=slice("2014-01-20", None)) == ((0, 19), (19, 24))
    numbers = obs.assign_coords(time=np.arange(24.0))
    assert periods(numbers, validation=slice(19.5, 22)) == ((0, 20), (20, 23))
    beside = obs.rename(time="t").assign_coords(date=("t", obs.time.values)).drop_vars("t")
    dims = {"time": "date"}
    assert periods(beside, validation=slice("2014-01-20", None), dims=dims) == ((0, 19), (19, 24))


def test_too_few_times_for_a_share(obs: xr.DataArray, caplog: pytest.LogCaptureFixture) -> None:
    assert periods(obs.isel(time=slice(0, 9))) == ((0, 6), (6, 9))
    assert not caplog.records
    assert periods(obs.isel(time=slice(0, 8))) == ((0, 8), (0, 8))
    assert "8 times are too few to set some of them apart" in caplog.text


def test_of_short_windows_some_are_set_apart(
    obs: xr.DataArray, caplog: pytest.LogCaptureFixture
) -> None:
    short = obs.isel(time=slice(0, 8))
    windows = xr.concat([short] * 10, "window")
    method = Recorder()
    caplog.set_level("INFO", "xr4dvar")
    xv.fit(windows, method, validation=0.25)
    data = method.seen[0]
    assert (data.train, data.validation) == ((0, 8), (0, 8))
    assert (data.train_entries, data.validation_entries) == ((0, 8), (8, 10))
    assert "validated on the last 2 entries of 'window'" in caplog.text
    drawn = {data.train_box({}, np.random.default_rng(n)).entry[0] for n in range(100)}
    assert drawn == set(range(8))


def test_the_validation_period_is_never_trained_on(
    obs: xr.DataArray, waves: xr.DataArray, tiny_net: xv.FourDVarNet
) -> None:
    """What is there changes the validation, not the weights."""
    one_epoch = replace(tiny_net, training=replace(tiny_net.training, steps=6))
    last = slice("2014-01-18", None)
    # the same values in another order: the statistics, which are of all times, stay
    order = [*range(17), *range(23, 16, -1)]
    shuffled = obs.copy(data=obs.values[order]), waves.copy(data=waves.values[order])
    first = xv.fit(obs, one_epoch, waves, validation=last)
    second = xv.fit(shuffled[0], one_epoch, shuffled[1], validation=last)
    for name, array in first.arrays.items():
        np.testing.assert_allclose(second.arrays[name], array, rtol=0, atol=1e-6)
    assert first.history is not None
    assert second.history is not None
    assert first.history.attrs["background_loss"] != second.history.attrs["background_loss"]
    # while the order of the times that it learns from does matter
    third = xv.fit(obs.copy(data=obs.values[::-1]), one_epoch, waves, validation=last)
    assert any(abs(third.arrays[name] - a).max() > 1e-3 for name, a in first.arrays.items())


METHODS = {
    "oi": xv.OptimalInterpolation(length={"time": "4D", "lat": 0.6}, mean="map"),
    "tuned oi": xv.OptimalInterpolation(scales=1),
    "net": None,
}


def method_of(name: str, tiny_net: xv.FourDVarNet) -> Any:
    return METHODS[name] or tiny_net


@pytest.mark.parametrize("supervised", [True, False])
@pytest.mark.parametrize("name", METHODS)
def test_chunks_change_no_bit(
    name: str, supervised: bool, obs: xr.DataArray, waves: xr.DataArray, tiny_net: xv.FourDVarNet
) -> None:
    """Fitted on dask, it is the same model; obs and target are read once, in one compute."""
    method = method_of(name, tiny_net)
    model = xv.fit(obs, method, waves if supervised else None)
    chunked = obs.chunk(time=5, lat=4), waves.chunk(time=7)
    with raise_if_dask_computes(max_computes=1):
        lazy = xv.fit(chunked[0], method, chunked[1] if supervised else None)
    assert lazy.digest == model.digest


def test_what_is_too_large_for_memory_is_read_block_by_block(
    obs: xr.DataArray,
    waves: xr.DataArray,
    tiny_net: xv.FourDVarNet,
    models: dict[str, xv.Model],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "IN_MEMORY", 0)
    model = xv.fit(obs.chunk(time=5, lat=4), tiny_net, waves.chunk(time=5))
    for name, array in models["net"].arrays.items():
        np.testing.assert_array_equal(model.arrays[name], array)


@pytest.mark.parametrize("name", METHODS)
def test_order_and_direction_say_nothing(
    name: str, obs: xr.DataArray, waves: xr.DataArray, tiny_net: xv.FourDVarNet
) -> None:
    method = method_of(name, tiny_net)
    model = xv.fit(obs, method, waves)
    turned = obs.isel(lat=slice(None, None, -1)).transpose("lon", "time", "lat")
    other = xv.fit(turned, method, waves.isel(lat=slice(None, None, -1)))
    assert other.digest == model.digest


@pytest.mark.parametrize("name", METHODS)
def test_the_seed_decides_and_nothing_else(
    name: str, obs: xr.DataArray, tiny_net: xv.FourDVarNet
) -> None:
    """And the random numbers of the user's own program stay what they would have been."""
    method = method_of(name, tiny_net)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    model = xv.fit(obs, method, seed=3)
    assert random.getstate() == before[0]
    np.testing.assert_equal(np.random.get_state(), before[1])
    assert torch.equal(torch.get_rng_state(), before[2])
    np.random.seed(2)
    torch.manual_seed(2)
    assert xv.fit(obs, method, seed=3).digest == model.digest
    assert xv.fit(obs, method, seed=4).digest != model.digest


def test_target_with_gaps_is_used_where_it_is(
    obs: xr.DataArray,
    waves: xr.DataArray,
    tiny_net: xv.FourDVarNet,
    caplog: pytest.LogCaptureFixture,
) -> None:
    half = waves.where(waves.lat > 34.3)  # half of the 12 rows
    with caplog.at_level(logging.INFO, logger="xr4dvar"):
        model = xv.fit(obs, tiny_net, half)
    assert "target ssh is missing at 50 % of the cells: used where it is" in caplog.text
    assert all(np.isfinite(array).all() for array in model.arrays.values())
    # what the target does not say cannot matter
    masked = xv.fit(obs, tiny_net, waves.where(waves.lat > 34.3, np.nan))
    assert masked.digest == model.digest
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="xr4dvar"):
        xv.fit(obs, xv.LinearInterpolation(), waves)
    assert "missing" not in caplog.text


@pytest.mark.parametrize("name", METHODS)
def test_what_land_is_filled_with_says_nothing(
    name: str, obs: xr.DataArray, waves: xr.DataArray, tiny_net: xv.FourDVarNet
) -> None:
    method = method_of(name, tiny_net)
    sea = (obs.lat > 33.6).rename("sea")
    expected = xv.fit(obs.where(sea), method, waves.where(sea))
    filled = obs.where(sea, 9.0), waves.where(sea, -9.0)
    assert xv.fit(*filled[:1], method, filled[1], mask=sea).digest == expected.digest
    lazy = (one.chunk(time=6) for one in filled)
    assert xv.fit(next(lazy), method, next(lazy), mask=sea.chunk()).digest == expected.digest


def test_members_fit_one_model(
    obs: xr.DataArray, waves: xr.DataArray, tiny_net: xv.FourDVarNet
) -> None:
    two = xr.concat([obs, obs], "member", join="exact")
    model = xv.fit(two, tiny_net, xr.concat([waves, waves], "member", join="exact"))
    assert xv.reconstruct(two, model).dims == two.dims
    assert xv.reconstruct(obs, model).notnull().all()


def test_boxes_of_members_lie_in_their_period(obs: xr.DataArray) -> None:
    method = Recorder()
    two = xr.concat([obs, obs + 9], "member", join="exact")
    xv.fit(two, method)
    data = method.seen[0]
    (y,) = data.read((slice(1, 2), slice(2, 4), slice(0, 3), slice(None)))
    np.testing.assert_array_equal(y[0], obs[2:4, :3] + 9)
    box = data.box(data.validation, {"time": 3}, np.random.default_rng(0))
    assert isinstance(box, BlockBox)
    assert data.validation[0] <= box.slices[0].start < box.slices[0].stop <= data.validation[1]


def test_the_background_is_fitted_first(obs: xr.DataArray, tiny_net: xv.FourDVarNet) -> None:
    last = slice("2014-01-18", None)
    model = xv.fit(obs, tiny_net, validation=last)
    assert model.background is not None
    alone = xv.fit(obs, tiny_net.background, validation=last)  # type: ignore[arg-type]
    assert model.background.digest == alone.digest


def test_history_is_a_dataset(models: dict[str, xv.Model]) -> None:
    history = models["net"].history
    assert isinstance(history, xr.Dataset)
    assert history.sizes == {"epoch": 2}
    assert {"train_loss", "validation_loss", "learning_rate", "step", "seconds"} <= set(history)
    np.testing.assert_array_equal(history.step, [6, 12])
    assert models["oi"].history is None


def test_progress_is_shown_on_demand_only(
    obs: xr.DataArray, tiny_net: xv.FourDVarNet, capfd: pytest.CaptureFixture[str]
) -> None:
    xv.fit(obs, tiny_net, progress=False)
    assert capfd.readouterr() == ("", "")
    xv.fit(obs, tiny_net, progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "training" in shown.err
    assert "validation" in shown.err


def test_interruption(obs: xr.DataArray, tiny_net: xv.FourDVarNet, models: dict[str, xv.Model],
                      waves: xr.DataArray, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Ctrl-C in training passes through, and the same call then gives the same model."""
    from xr4dvar.training import loop as training

    usual, steps = training._step, []

    def interrupted(*args: Any) -> Any:
        steps.append(args)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return usual(*args)

    with monkeypatch.context() as patched:
        patched.setattr(training, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            xv.fit(obs, tiny_net, waves)
    assert xv.fit(obs, tiny_net, waves).digest == models["net"].digest
