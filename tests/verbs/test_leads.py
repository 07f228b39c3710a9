"""Learned forecasts: what is seen of a window, what comes out, skill, labels and errors."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from tests.training.builders import gappy, make_data
from xr4dvar.contract.training_data import BlockBox
from xr4dvar.errors import InputError
from xr4dvar.training.sampler import PatchSampler, validation_patches

SHORT = xv.Training(steps=2, batch_size=2)


def network(**settings):
    usual = {"background": xv.LinearInterpolation(), "patch": {"time": 7}, "widths": (8,)}
    return xv.FourDVarNet(**(usual | {"training": SHORT} | settings))


@pytest.fixture(scope="module")
def waves():
    """A plane wave that travels a cell a day, for 60 days: its next days are known exactly."""
    day, row, column = np.ogrid[:60, :8, :12]
    values = np.sin(2 * np.pi * (column - day) / 12) * (1 + 0.1 * row)
    coords = {
        "time": xr.date_range("2014-01-01", periods=60),
        "lat": ("lat", 33 + 0.25 * np.arange(8), {"units": "degrees_north"}),
        "lon": ("lon", -65 + 0.25 * np.arange(12), {"units": "degrees_east"}),
    }
    return xr.DataArray(values.astype("float32"), coords, ("time", "lat", "lon"), "ssh")


@pytest.fixture(scope="module")
def model(waves):
    return waves.fourdvar.fit(network(), waves, leads=3, progress=False)


def rmse(one, other):
    return float(((one - other) ** 2).mean() ** 0.5)


def test_a_forecast_beats_persistence(waves):
    training = xv.Training(steps=150, batch_size=4, learning_rate=3e-3)
    method = network(training=training, coarsen=1)
    past, future = waves[:57], waves[57:]
    model = past.fourdvar.fit(method, past, leads=3, progress=False)
    ahead = past.fourdvar.forecast(model, 3)
    assert rmse(ahead, future) < 0.4 * rmse(waves[56], future)


@pytest.mark.parametrize("supervised", [True, False])
def test_nothing_ahead_is_seen(supervised):
    """Neither by the network nor by its background, in training and in validation."""
    y = gappy(30, 4, 5, share=1.0 if supervised else 0.6)
    data = replace(make_data(y, target=[y] if supervised else None, share=0.0), leads=3)
    seen = []

    class Watched:
        def maps(self, patches):
            seen.append(patches.y)
            return np.where(np.isfinite(patches.y), patches.y, 0.0)

    patch = {"time": 8, "y": 4, "x": 5}
    sampler = PatchSampler(data, Watched(), patch, patch, 2, 0, kept=4, fresh=1.0)
    samples = [sampler.sample(step) for step in range(5)]
    samples += validation_patches(data, Watched(), patch, patch, 0, patch)
    for sample in samples:
        assert np.isnan(sample.patches.y[:, :, -3:]).all()
        assert np.isfinite(sample.patches.y[:, :, :-3]).any()
        assert np.isfinite(sample.target[:, :, -3:]).any()
    assert all(np.isnan(y[:, :, -3:]).all() for y in seen)
    begins = {
        int(s.patches.coordinates["time"][n, 0]) for s in samples for n in range(len(s.target))
    }
    assert len(begins) > 5


def test_what_is_hidden_without_a_target_is_what_is_ahead():
    y = gappy(10, 4, 5)
    data = replace(make_data(y, share=0.5), leads=2)
    box = BlockBox((), (slice(0, 8), slice(0, 4), slice(0, 5)))
    block = data.block(box, np.random.default_rng(0))
    np.testing.assert_array_equal(block.y[0, :6], y[:6])
    np.testing.assert_array_equal(block.target[0, 6:], y[6:8])
    assert np.isnan(block.target[0, :6]).all()


def test_labels_and_fewer_steps(waves, model):
    ahead = waves.fourdvar.forecast(model, 3)
    assert list(ahead.time.values) == list(xr.date_range("2014-03-02", periods=3).values)
    two = waves.fourdvar.forecast(model, 2)
    xr.testing.assert_identical(two.drop_attrs(), ahead[:2].drop_attrs())
    assert ahead.attrs["xr4dvar_method"] == "FourDVarNet"


def test_only_the_last_times_count(waves, model):
    xr.testing.assert_equal(
        waves[-4:].fourdvar.forecast(model, 3), waves.fourdvar.forecast(model, 3)
    )


def test_chunks(waves, model):
    lazy = waves.chunk(time=10, lat=4).fourdvar.forecast(model, 3)
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), waves.fourdvar.forecast(model, 3), atol=1e-6)


def test_files_keep_leads(waves, model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    back = xv.load(tmp_path / "model.safetensors")
    assert (back.leads, back.digest) == (3, model.digest)
    assert "forecast: 3 times ahead" in repr(back)


def test_with_covariates_and_members(waves):
    season = xv.covariates.day_of_year()
    model = waves.fourdvar.fit(network(), waves, leads=3, covariates=season, progress=False)
    members = waves.fourdvar.forecast(model, 3, ensemble=2, error_variance=0.01)
    assert dict(members.sizes) == {"member": 2, "time": 3, "lat": 8, "lon": 12}


def test_errors_of_the_increments_grow_with_the_lead(model):
    error = np.ravel(model.parameters.settings["units"]["error"])
    assert len(error) == 7
    assert (np.diff(error[3:]) > 0).all()
    assert (error[:4] == 0.1 * error.max()).all()


@pytest.mark.parametrize(
    ("do", "match"),
    [
        (lambda w, m: w.fourdvar.reconstruct(m), "was fitted to forecast 3 times from 4"),
        (lambda w, m: w.fourdvar.forecast(m, 4), "at most 3, or fit with leads=4"),
        (lambda w, m: w[:3].fourdvar.forecast(m, 2), "forecasts from 4 times, the data have 3"),
        (lambda w, m: w[:7].fourdvar.reconstruct(m), "the last 3 times are observed"),
        (lambda w, m: w.fourdvar.fit(network(), w, leads=7), "leads is 7, and a window holds 7"),
        (lambda w, m: w.fourdvar.fit(network(), w, leads=-1), "leads"),
        (lambda w, m: w.fourdvar.fit(network(), w, leads="3"), "leads"),
        (
            lambda w, m: w.fourdvar.fit(xv.OptimalInterpolation(length=1.0), leads=2),
            "OptimalInterpolation does not learn to forecast",
        ),
        (
            lambda w, m: w[0].fourdvar.fit(network(patch=None), w[0], leads=2),
            "there is no time axis",
        ),
    ],
)
def test_bad_input(waves, model, do, match):
    with pytest.raises(InputError, match=match):
        do(waves, model)
