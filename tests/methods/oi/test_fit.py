"""What `fit` finds for an optimal interpolation."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

import xr4dvar as xv


def image(size, width, seed=0):
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=size), width)
    coords = {"lat": 30 + 0.25 * np.arange(size[0]), "lon": 0.25 * np.arange(size[1])}
    return xr.DataArray(values / values.std(), dims=("lat", "lon"), coords=coords, name="t")


def rms(array):
    return float(np.sqrt((array**2).mean()))


def test_easy_cells_do_not_make_the_error_far_away_small():
    """Smooth and noise-free, the last 10 degrees without data: the error there is the prior's."""
    truth = image((60, 140), 4)
    obs = truth.where(truth.lon < 25)
    model = xv.fit(obs, xv.OptimalInterpolation())
    both = xv.reconstruct(obs, model, error=True, progress=False)
    far = obs.isnull()
    found, claimed = rms((both.t - truth).where(far)), rms(both.t_error.where(far))
    assert 0.7 < claimed / found < 1.4


def test_a_static_pattern_of_one_cell_is_no_noise():
    """Two scales of a pattern and of what evolves; a block is missing for four months."""
    generator = np.random.default_rng(0)
    static = 2 * generator.normal(size=(40, 40))
    evolving = ndimage.gaussian_filter(generator.normal(size=(36, 40, 40)), (1, 3, 3))
    time = xr.date_range("2000-01-01", periods=36, freq="MS")
    truth = xr.DataArray(
        static + evolving,
        dims=("time", "lat", "lon"),
        coords={"time": time, "lat": 2.5 * np.arange(40) - 48, "lon": 2.5 * np.arange(40)},
        name="s",
    )
    obs = truth.copy()
    obs[16:20, 15:22, 15:22] = np.nan
    model = xv.fit(obs, xv.OptimalInterpolation(mean="map"))
    error = rms((xv.reconstruct(obs, model, progress=False) - truth).where(obs.isnull()))
    assert error < 0.9 * evolving.std()
    for term in model.parameters.settings["variables"][0]["terms"]:
        assert min(term["y"], term["x"]) >= 0.7 * 2.5 - 1e-9
        assert term["time"] >= 0.7 * 28


@pytest.mark.filterwarnings("error")
def test_data_in_a_corner_are_found():
    truth = image((200, 200), 5)
    obs = truth.where((truth.lat < 38) & (truth.lon < 8))
    model = xv.fit(obs, xv.OptimalInterpolation(scales=1))
    [term] = model.parameters.settings["variables"][0]["terms"]
    for length in (term["y"], term["x"]):  # a filter of width s gives a Gaussian of length 2 s
        assert length == pytest.approx(2 * 5 * 0.25, rel=0.35)


def test_too_few_to_hide_some_is_told(caplog):
    obs = image((12, 12), 2).where(lambda a: (a.lat == 30) & (a.lon < 0.6))
    with caplog.at_level(logging.WARNING, "xr4dvar"):
        xv.fit(obs, xv.OptimalInterpolation(scales=1))
    assert "too few observations to hide some" in caplog.text or not caplog.records
