from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import xarray as xr

from xr4dvar.datasets import GULFSTREAM_PERIODS, GULFSTREAM_SCORED, gulfstream_twin


@pytest.fixture(scope="module")
def sample() -> xr.Dataset:
    return gulfstream_twin()


def test_the_package_stays_small():
    shipped = files("xr4dvar") / "data" / "gulfstream_twin.nc"
    assert len(shipped.read_bytes()) <= 10_000_000


def test_variables_and_grid(sample):
    assert set(sample.data_vars) == {"ssh", "ssh_nadir4", "ssh_nadir4_swot", "sst_cloudy"}
    assert dict(sample.sizes) == {"time": 509, "lat": 100, "lon": 100}
    for variable in sample.data_vars.values():
        assert variable.dims == ("time", "lat", "lon")
        assert variable.dtype == np.float32
    np.testing.assert_allclose(sample.lat.diff("lat"), 0.1)
    np.testing.assert_allclose(sample.lon.diff("lon"), 0.1)


def test_attributes_follow_cf(sample):
    assert sample.attrs["license"] == "CC0-1.0"
    assert sample.attrs["Conventions"].startswith("CF-")
    assert [sample[name].attrs["axis"] for name in ("time", "lat", "lon")] == ["T", "Y", "X"]
    assert sample.lat.attrs["units"] == "degrees_north"
    assert sample.lon.attrs["units"] == "degrees_east"
    for name in ("ssh", "ssh_nadir4", "ssh_nadir4_swot"):
        assert sample[name].attrs["units"] == "m"
        assert sample[name].attrs["standard_name"] == "sea_surface_height_above_geoid"
    assert sample.sst_cloudy.attrs["units"] == "degree_Celsius"


@pytest.mark.parametrize(("period", "days"), [("train", 365), ("validation", 63), ("test", 81)])
def test_periods_hold_every_day_and_cover_the_sample(sample, period, days):
    time = sample.sel(time=GULFSTREAM_PERIODS[period]).time
    assert time.size == days
    assert (np.diff(time.values) == np.timedelta64(1, "D")).all()
    assert sum(sample.sel(time=p).sizes["time"] for p in GULFSTREAM_PERIODS.values()) == 509


@pytest.mark.parametrize("period", GULFSTREAM_SCORED)
def test_scored_days_lie_inside_their_period(sample, period):
    scored = sample.sel(time=GULFSTREAM_SCORED[period]).time
    whole = sample.sel(time=GULFSTREAM_PERIODS[period]).time
    assert 0 < scored.size < whole.size
    assert np.isin(scored, whole).all()


def test_the_truth_has_no_gaps_and_moves(sample):
    assert sample.ssh.notnull().all()
    assert 0.2 < float(sample.ssh.std()) < 0.5


@pytest.mark.parametrize(
    ("name", "share"), [("ssh_nadir4", 0.038), ("ssh_nadir4_swot", 0.136), ("sst_cloudy", 0.36)]
)
def test_share_of_observed_cells(sample, name, share):
    assert float(sample[name].notnull().mean()) == pytest.approx(share, rel=0.05)


def test_swot_sees_what_the_nadirs_see(sample):
    assert sample.ssh_nadir4_swot.notnull().where(sample.ssh_nadir4.notnull(), True).all()


def test_noise_of_the_nadirs_is_that_of_their_samples(sample):
    # 3 cm a sample and one or two samples a cell, plus what the map of the day does not hold
    error = (sample.ssh_nadir4 - sample.ssh).std()
    assert 0.02 < float(error) < 0.04
    assert abs(float((sample.ssh_nadir4 - sample.ssh).mean())) < 1e-3


@pytest.mark.needs_data
def test_packing_error_is_half_a_step(sample, shared_data):
    twin = shared_data("twin_gulfstream")
    steps = {"ssh": 1e-3, "ssh_nadir4": 1e-3, "ssh_nadir4_swot": 1e-3, "sst_cloudy": 0.05}
    with xr.open_dataset(twin / "truth.nc") as truth, xr.open_dataset(twin / "obs.nc") as seen:
        for name, step in steps.items():
            full = (truth if name in truth else seen)[name].sel(time=sample.time)
            np.testing.assert_array_equal(full.isnull(), sample[name].isnull())
            assert float(abs(full - sample[name]).max()) <= 0.5 * step + 1e-5
