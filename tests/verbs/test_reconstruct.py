"""The verb reconstruct: labels kept, lazy as eager, each patch once, land and gaps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xr4dvar as xv
from xr4dvar.contract.engine import Engine
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.labels import Grid
from xr4dvar.methods import FitOptions, Parameters, Patches, Window
from xr4dvar.testing import raise_if_dask_computes
from xr4dvar.types import FloatArray, Role

METHODS = ["linear", "oi", "net"]


class CountingEngine:
    def __init__(self, method: Counting, parameters: Parameters, device: str):
        self.method = method

    def maps(self, patches: Patches) -> FloatArray:
        if self.method.interrupted and len(self.method.solved) > 2:
            raise KeyboardInterrupt
        self.method.solved.append(len(patches.y))
        return np.nan_to_num(patches.y)


@dataclass(frozen=True)
class Counting:
    """Gives 0 for a gap; counts the patches that it is asked for."""

    interrupted: bool = False
    background: ClassVar[None] = None
    engine_type: ClassVar[type] = CountingEngine
    solved: ClassVar[list[int]] = []

    def check(self, grid: Grid, names: Sequence[str]) -> None:
        pass

    def known(self, grid: Grid, names: Sequence[str]) -> Parameters:
        return Parameters()

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        return {role: Window(5, 3) for role in grid.roles}

    def fit(self, data: TrainingData, options: FitOptions, background: Engine | None) -> Parameters:
        return Parameters()


@pytest.fixture
def counting() -> Iterator[type[Counting]]:
    Counting.solved.clear()
    yield Counting
    Counting.solved.clear()


def assert_same_labels(result: xr.DataArray, obs: xr.DataArray) -> None:
    assert result.dims == obs.dims
    assert result.name == obs.name
    assert result.dtype == obs.dtype
    assert result.chunks == obs.chunks
    xr.testing.assert_identical(
        result.coords.to_dataset().compute(), obs.coords.to_dataset().compute()
    )
    kept = {name: value for name, value in obs.attrs.items() if name != "history"}
    assert kept.items() <= result.attrs.items()


def assert_close(result: xr.DataArray, expected: xr.DataArray) -> None:
    np.testing.assert_allclose(result.values, expected.values, rtol=0, atol=1e-6)


def test_models_do_something(models: dict[str, xv.Model], obs: xr.DataArray) -> None:
    """Else all that follows would compare zeros."""
    maps = {name: xv.reconstruct(obs, models[name]) for name in METHODS}
    assert all(np.isfinite(one).all() and one.std() > 0.03 for one in maps.values())
    assert abs(maps["net"] - maps["oi"]).max() > 0.003
    assert abs(maps["linear"] - maps["oi"]).max() > 0.01


CHANGES: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "as it is": lambda a: a,
    "other order": lambda a: a.transpose("lon", "time", "lat"),
    "north first": lambda a: a.isel(lat=slice(None, None, -1)),
    "last day first": lambda a: a.isel(time=slice(None, None, -1)),
    "float64": lambda a: a.astype("float64"),
    "0 to 360": lambda a: a.assign_coords(lon=a.lon.copy(data=a.lon + 360)),
    "other names": lambda a: a.rename(lat="latitude", lon="longitude", time="t"),
    "2-D coordinate carried along": lambda a: a.assign_coords(depth=a.isel(time=0, drop=True) * 9),
    "scalar coordinate": lambda a: a.assign_coords(height=2.0),
    "without a name": lambda a: a.rename(None),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunked", [False, True], ids=["numpy", "dask"])
def test_labels_are_kept_and_say_nothing_to_the_map(
    method: str, change: str, chunked: bool, models: dict[str, xv.Model], obs: xr.DataArray
) -> None:
    changed = CHANGES[change](obs)
    changed = changed.chunk(dict(zip(changed.dims, (5, 7, 9), strict=True))) if chunked else changed
    result = xv.reconstruct(changed, models[method])
    assert_same_labels(result, changed)
    expected = CHANGES[change](xv.reconstruct(obs, models[method]))
    assert_close(result, expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "chunks",
    [{}, {"time": 1}, {"time": 7, "lat": 5}, {"lat": 1, "lon": 14}, {"time": (2, 21, 1), "lon": 3}],
    ids=str,
)
def test_lazy_until_asked_and_equal(
    method: str, chunks: dict[str, Any], models: dict[str, xv.Model], obs: xr.DataArray
) -> None:
    lazy = obs.chunk(chunks)
    with raise_if_dask_computes():
        result = lazy.fourdvar.reconstruct(models[method])
        repr(result)
    assert_same_labels(result, lazy)
    assert_close(result, xv.reconstruct(obs, models[method]))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_chunks_order_and_direction(
    data: st.DataObject, models: dict[str, xv.Model], obs: xr.DataArray
) -> None:
    method = data.draw(st.sampled_from(["oi", "net"]))
    order = data.draw(st.permutations(obs.dims))
    turned = {dim: slice(None, None, data.draw(st.sampled_from([1, -1]))) for dim in obs.dims}
    chunks = {dim: data.draw(st.integers(2, size)) for dim, size in obs.sizes.items()}
    changed = obs.transpose(*order).isel(turned).chunk(chunks)
    with raise_if_dask_computes():
        result = xv.reconstruct(changed, models[method])
    expected = xv.reconstruct(obs, models[method]).transpose(*order).isel(turned)
    assert_close(result, expected)


@pytest.mark.parametrize("chunked", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("method", METHODS)
def test_members_are_independent(
    method: str, chunked: bool, models: dict[str, xv.Model], obs: xr.DataArray
) -> None:
    two = xr.concat([obs, -2 * obs], "member", join="exact").transpose(
        "time", "lat", "member", "lon"
    )
    two = two.assign_attrs(obs.attrs)
    result = xv.reconstruct(two.chunk(time=8) if chunked else two, models[method])
    assert result.dims == two.dims
    for member, alone in enumerate([obs, (-2 * obs).assign_attrs(obs.attrs)]):
        assert_close(result.isel(member=member), xv.reconstruct(alone, models[method]))


@pytest.mark.parametrize("chunked", [False, True], ids=["numpy", "dask"])
def test_two_variables(
    chunked: bool, obs: xr.DataArray, oi: xv.OptimalInterpolation, waves: xr.DataArray
) -> None:
    """OI maps each by itself; coordinates and attributes of the Dataset stay."""
    both = xr.Dataset({"ssh": obs, "u": (1 - 3 * obs).assign_attrs(units="m s-1")})
    both.attrs["title"] = "two"
    result = xv.reconstruct(both.chunk(time=8) if chunked else both, oi)
    assert list(result) == ["ssh", "u"]
    assert result.attrs["title"] == "two"
    assert result.u.attrs["units"] == "m s-1"
    assert_close(result.ssh, xv.reconstruct(both.ssh, oi))
    assert_close(result.u, xv.reconstruct(both.u, oi))


def test_two_variables_through_a_network(
    obs: xr.DataArray, waves: xr.DataArray, tiny_net: xv.FourDVarNet
) -> None:
    both = xr.Dataset({"ssh": obs, "u": 1 - 3 * obs})
    model = both.fourdvar.fit(tiny_net, xr.Dataset({"u": 1 - 3 * waves, "ssh": waves}))
    result = both.fourdvar.reconstruct(model)
    with raise_if_dask_computes():
        lazy = both.chunk(time=5, lat=6).fourdvar.reconstruct(model)
    for name, truth in {"ssh": waves, "u": 1 - 3 * waves}.items():
        assert_close(lazy[name], result[name])
        # each in its own units: a swap of the two would miss by far
        assert abs(result[name] - truth).mean() < truth.std()


@pytest.mark.parametrize("method", ["linear", "oi"])
def test_a_day_without_data_says_nothing(
    method: str, models: dict[str, xv.Model], obs: xr.DataArray
) -> None:
    """Its map is complete, and the others are as without it: time need not be regular."""
    with_day = xv.reconstruct(obs, models[method])
    assert obs[10].isnull().all()
    assert with_day[10].notnull().all()
    days = [n for n in range(24) if n != 10]
    without_day = xv.reconstruct(obs[days], models[method])
    np.testing.assert_allclose(without_day, with_day[days], rtol=0, atol=2e-5)


@pytest.mark.parametrize("method", METHODS)
def test_dates_of_another_calendar(
    method: str, models: dict[str, xv.Model], obs: xr.DataArray
) -> None:
    dates = [cftime.DatetimeNoLeap(2014, 1, 1 + n) for n in range(24)]
    result = xv.reconstruct(obs.assign_coords(time=dates), models[method])
    assert result.indexes["time"].calendar == "noleap"
    assert_close(result, xv.reconstruct(obs, models[method]))


def test_fields_without_time(obs: xr.DataArray) -> None:
    oi = xv.OptimalInterpolation(length={"lat": 0.6, "lon": 0.6}, variance=0.01)
    field = obs.isel(time=0, drop=True)
    with_time = xv.OptimalInterpolation(length={"time": "4D", "lat": 0.6}, variance=0.01)
    expected = xv.reconstruct(obs.isel(time=[0]), with_time).isel(time=0)
    assert_close(xv.reconstruct(field, oi), expected)
    assert_close(xv.reconstruct(field.chunk(lat=5), oi), expected)
    linear = xv.reconstruct(field, xv.LinearInterpolation())
    assert linear.notnull().all()
    assert_close(linear.where(field.notnull()), field)


def test_network_for_fields_without_time(obs: xr.DataArray, tiny_net: xv.FourDVarNet) -> None:
    fields = obs.isel(time=slice(0, 8)).rename(time="member").drop_vars(["member", "quality"])
    net = xv.FourDVarNet(
        background=xv.OptimalInterpolation(length={"lat": 0.6}, variance=0.01),
        patch={"lat": 8, "lon": 8}, widths=(4,), coarsen=1, training=tiny_net.training,
    )  # fmt: skip
    model = xv.fit(fields, net)
    result = xv.reconstruct(fields, model)
    assert result.notnull().all()
    assert_close(xv.reconstruct(fields.chunk(member=3, lat=5), model), result)


def test_round_the_globe(oi: xv.OptimalInterpolation) -> None:
    """From 0 to 360 or from -180 to 180 is the same field where longitude closes on itself."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 7, 36)).astype("float32")
    coords = {"time": [0, 1, 2], "lat": np.linspace(-30, 30, 7), "lon": np.arange(0.0, 360, 10)}
    ring = xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords)
    ring = ring.where(rng.random(ring.shape) < 0.4)
    method = xv.OptimalInterpolation(length={"time": 1.0, "lat": 15.0, "lon": 15.0}, variance=1.0)
    closed = xv.reconstruct(ring, method, periodic=("lon",))
    west = ring.roll(lon=18, roll_coords=False).assign_coords(lon=np.arange(-180.0, 180, 10))
    turned = xv.reconstruct(west, method, periodic=("lon",))
    np.testing.assert_allclose(turned.roll(lon=-18).values, closed.values, rtol=0, atol=1e-4)
    with raise_if_dask_computes():
        lazy = xv.reconstruct(ring.chunk(lon=9), method, periodic=("lon",))
    assert_close(lazy, closed)
    # and what closes is not what ends: the seam is where they differ
    seam = abs(xv.reconstruct(ring, method) - closed).max(("time", "lat"))
    assert seam.idxmax() in (0, 10, 340, 350)


def test_network_round_the_globe(waves: xr.DataArray, tiny_net: xv.FourDVarNet) -> None:
    ring = waves.assign_coords(lon=np.arange(14) * 360 / 14, lat=np.linspace(-60, 60, 12))
    seen = ring.where(np.random.default_rng(0).random(ring.shape) < 0.4)
    method = xv.FourDVarNet(
        background=None, patch=tiny_net.patch, widths=(4,), prior_width=3, coarsen=1,
        training=tiny_net.training,
    )  # fmt: skip
    model = xv.fit(seen, method, ring, periodic=("lon",))
    result = xv.reconstruct(seen, model, periodic=("lon",))
    assert result.notnull().all()
    lazy = xv.reconstruct(seen.chunk(lon=4, time=9), model, periodic=("lon",))
    assert_close(lazy, result)
    assert abs(xv.reconstruct(seen, model) - result).max() > 1e-4


def test_each_patch_is_solved_once(counting: type[Counting], obs: xr.DataArray) -> None:
    calls = xv.plan(obs, counting()).model_calls
    assert calls == 8 * 4 * 4  # windows of 5 cells every 3, the last one at the edge
    xv.reconstruct(obs, counting(), batch_size=3)
    assert sum(counting.solved) == calls
    assert max(counting.solved) == 3
    counting.solved.clear()
    lazy = xv.reconstruct(obs.chunk(time=5, lon=6), counting())
    assert not counting.solved
    lazy.compute()
    assert sum(counting.solved) == calls


@pytest.mark.parametrize("chunked", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("method", METHODS)
def test_land_is_left_missing_and_the_sea_is_complete(
    method: str, chunked: bool, models: dict[str, xv.Model], obs: xr.DataArray
) -> None:
    sea = (obs.lat - 33 + 0.7 * (obs.lon + 65) > 0.8).transpose("lon", "lat")
    given = obs.where(sea)
    expected = xv.reconstruct(given, models[method], mask=sea)
    assert (expected.notnull() == sea.broadcast_like(expected)).all()
    # what land was filled with is no observation
    filled = given.where(sea, -5.0).transpose(*obs.dims).assign_attrs(obs.attrs)
    filled = filled.chunk(time=7, lat=5) if chunked else filled
    with raise_if_dask_computes():
        result = xv.reconstruct(filled, models[method], mask=sea.chunk() if chunked else sea)
    assert_same_labels(result, filled)
    assert_close(result, expected)


def test_mask_that_moves(models: dict[str, xv.Model], obs: xr.DataArray) -> None:
    ice_free = (obs.lat > 34) | (obs.time > obs.time[12])
    result = xv.reconstruct(obs, models["net"], mask=ice_free)
    assert (result.notnull() == ice_free.broadcast_like(result)).all()


@pytest.mark.parametrize("chunked", [False, True], ids=["numpy", "dask"])
def test_provenance(
    chunked: bool, models: dict[str, xv.Model], obs: xr.DataArray, tmp_path: Path
) -> None:
    result = xv.reconstruct(obs.chunk(time=8) if chunked else obs, models["net"])
    first, second = result.attrs["history"].splitlines()
    assert first == obs.attrs["history"]
    line = (
        rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ xr4dvar {re.escape(xv.__version__)}: .*FourDVarNet.*"
    )
    assert re.fullmatch(line, second)
    assert result.attrs["xr4dvar_method"] == "FourDVarNet"
    assert result.attrs["xr4dvar_weights_sha"] == models["net"].digest
    assert result.attrs["xr4dvar_seed"] == 0
    assert '"name": "OptimalInterpolation"' in result.attrs["xr4dvar_config"]
    assert obs.attrs == {"units": "m", "history": "2020-01-01 made"}
    result.to_netcdf(tmp_path / "maps.nc")
    with xr.open_dataset(tmp_path / "maps.nc") as back:
        xr.testing.assert_identical(back.ssh.load(), result.compute())


def test_packing_of_the_input_is_forgotten(
    models: dict[str, xv.Model], obs: xr.DataArray, tmp_path: Path
) -> None:
    packed = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -32768}
    obs.to_netcdf(tmp_path / "obs.nc", encoding={"ssh": packed})
    with xr.open_dataset(tmp_path / "obs.nc") as opened:
        result = xv.reconstruct(opened.ssh.load(), models["oi"])
    result.to_netcdf(tmp_path / "maps.nc")
    with xr.open_dataset(tmp_path / "maps.nc") as back:
        np.testing.assert_array_equal(back.ssh, result)


def test_interruption_leaves_nothing_behind(counting: type[Counting], obs: xr.DataArray) -> None:
    before = obs.copy(deep=True)
    with pytest.raises(KeyboardInterrupt):
        xv.reconstruct(obs, counting(interrupted=True), batch_size=4)
    xr.testing.assert_identical(obs, before)
    counting.solved.clear()
    again = xv.reconstruct(obs, counting())
    np.testing.assert_allclose(again, obs.fillna(0), rtol=0, atol=1e-6)


def test_dask_names_follow_data_and_model(models: dict[str, xv.Model], obs: xr.DataArray) -> None:
    def name(lazy: xr.DataArray, model: xv.Model) -> str:
        return str(xv.reconstruct(lazy, model).data.name)

    lazy = obs.chunk(time=8)
    assert name(lazy, models["net"]) == name(lazy, models["net"])
    assert name(lazy, models["net"]) != name(lazy, models["oi"])
    assert name(lazy, models["net"]) != name(lazy + 1, models["net"])


def test_error_variance_of_each_observation(obs: xr.DataArray, oi: xv.OptimalInterpolation) -> None:
    """An observation with a huge error counts as none."""
    variance = xr.full_like(obs, 1e-3)
    worthless = variance.where(obs.time != obs.time[3], 1e6)
    result = xv.reconstruct(obs, oi, error_variance=worthless)
    without = obs.where(obs.time != obs.time[3])
    expected = xv.reconstruct(without, oi, error_variance=variance)
    np.testing.assert_allclose(result - result.mean(), expected - expected.mean(), atol=5e-3)
    lazy = xv.reconstruct(obs.chunk(time=8), oi, error_variance=worthless)
    assert_close(lazy, result)


def test_any_float_comes_back_as_a_float(obs: xr.DataArray, oi: xv.OptimalInterpolation) -> None:
    half = obs.astype("float16")
    assert xv.reconstruct(half, oi).dtype == "float32"
    big_endian = obs.astype(">f4")
    assert_close(xv.reconstruct(big_endian, oi), xv.reconstruct(obs, oi))


def test_device_and_progress_change_nothing(
    models: dict[str, xv.Model], obs: xr.DataArray, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = xv.reconstruct(obs, models["net"], progress=False)
    assert capfd.readouterr() == ("", "")
    shown = xv.reconstruct(obs, models["net"], progress=True, device="cpu")
    assert "FourDVarNet" in capfd.readouterr().err
    np.testing.assert_array_equal(shown, expected)


def test_settings_are_left_alone(models: Mapping[str, xv.Model], obs: xr.DataArray) -> None:
    digest = models["net"].digest
    weights = {name: array.copy() for name, array in models["net"].arrays.items()}
    xv.reconstruct(obs, models["net"])
    assert models["net"].digest == digest
    for name, array in models["net"].arrays.items():
        np.testing.assert_array_equal(array, weights[name])


@pytest.mark.parametrize("knows", [True, False])
def test_only_methods_that_say_so_do_without_observations(
    knows: bool, obs: xr.DataArray, caplog: pytest.LogCaptureFixture
) -> None:
    """A method of somebody else's may have the property, and it may be false."""

    class Known(xv.LinearInterpolation):
        knows_states = knows

    nothing = obs.where(False)
    with caplog.at_level("WARNING", logger="xr4dvar"):
        if knows:
            assert xv.reconstruct(nothing, Known()).isnull().all()
        else:
            with pytest.raises(xv.InputError, match="'ssh' has no value, all is missing"):
                xv.reconstruct(nothing, Known())
            xv.reconstruct(nothing.chunk(), Known()).compute()
    assert ("windows have no observation" in caplog.text) is knows
