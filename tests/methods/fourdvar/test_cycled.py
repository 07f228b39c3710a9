"""Cycled 4DVar: what a window hands on is all that its observations said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.methods.fourdvar import cycled_engine as cycled_solve
from xr4dvar.verbs import _patch_work as patch_work

ROTATION = torch.tensor([[0.0, 0.4], [-0.4, 0.0]], dtype=torch.float64)
DIMS = ("window", "time", "component")


def rotate(x):
    return x @ ROTATION.to(x.dtype).T


def linear(**settings) -> xv.FourDVar:
    usual = {"starts": 1, "spin_up": 0, "climate": 50, "steps": 5}
    return xv.FourDVar(xv.ODE(rotate, dt=0.5), 0.5, **{**usual, **settings})


@pytest.fixture(scope="module")
def series() -> tuple[xr.DataArray, xr.DataArray]:
    """States that are known beforehand, and 23 times of which every third is seen in part."""
    generator = np.random.default_rng(2)
    coords = {"time": np.arange(23.0), "component": ("component", ["u", "v"], {"axis": "X"})}
    states = xr.DataArray(generator.normal(size=(40, 23, 2)), dims=DIMS, coords=coords)
    seen = (states.time % 3 == 1) & (states.component == "u")
    return states, states.isel(window=slice(3)).where(seen)


def fitted(method, series):
    """With the climate of the states."""
    states, _ = series
    return states.fourdvar.fit(method, target=states, validation=0.1)


@pytest.mark.parametrize("q", [None, 0.1])
@pytest.mark.parametrize("shift", [1, 3, 4])
def test_the_last_state_knows_every_observation_once(series, q, shift):
    """Of a linear model: that of one window over all times, whose errors are the same too."""
    _, obs = series
    whole = obs.fourdvar.reconstruct(fitted(linear(model_error_variance=q), series), error=True)
    for estimate in ("smoothed", "filtered"):
        method = xv.CycledFourDVar(
            linear(model_error_variance=q), window=7, shift=shift, estimate=estimate
        )
        cycled = obs.fourdvar.reconstruct(fitted(method, series), error=True)
        xr.testing.assert_allclose(cycled.isel(time=-1), whole.isel(time=-1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("q", [None, 0.1])
def test_a_smoothed_state_knows_a_window_ahead_and_a_filtered_one_its_own(series, q):
    _, obs = series
    settings = {"window": 9, "shift": 3}
    weak = linear(model_error_variance=q)
    smoothed, filtered = (
        obs.fourdvar.reconstruct(fitted(xv.CycledFourDVar(weak, **settings, estimate=kind), series))
        for kind in ("smoothed", "filtered")
    )
    model = fitted(weak, series)
    for time in (3, 4, 5):  # the window that begins at 3 is the last to hold them
        known = obs.isel(time=slice(12)).fourdvar.reconstruct(model)
        xr.testing.assert_allclose(smoothed[:, time], known[:, time], rtol=1e-4, atol=1e-4)
    for time in (12, 13, 14):  # the window that ends with 14 is the first to hold them
        known = obs.isel(time=slice(15)).fourdvar.reconstruct(model)
        xr.testing.assert_allclose(filtered[:, time], known[:, time], rtol=1e-4, atol=1e-4)


def test_a_window_as_long_as_the_series_is_the_method_itself(series):
    _, obs = series
    cycled = obs.fourdvar.reconstruct(
        fitted(xv.CycledFourDVar(linear(), window=23, shift=3), series)
    )
    xr.testing.assert_allclose(cycled, obs.fourdvar.reconstruct(fitted(linear(), series)))


def test_chunks_change_nothing(series):
    _, obs = series
    model = fitted(xv.CycledFourDVar(linear(), window=7, shift=3), series)
    lazy = obs.chunk(window=2, time=10).fourdvar.reconstruct(model)
    xr.testing.assert_allclose(lazy.compute(), obs.fourdvar.reconstruct(model), atol=1e-6)


def test_a_chaotic_series_is_followed():
    """All components of Lorenz-63 seen every 25 steps: far nearer than the observations are."""
    seen = {"observed": ("x", "y", "z"), "every": 25, "first": 25, "last": 200}
    ds = xv.datasets.lorenz63(2, steps=201, seed=5, **seen)
    method = xv.FourDVar(xv.Lorenz63(), 2.0, starts=1, climate=500)
    maps = ds.obs.fourdvar.reconstruct(xv.CycledFourDVar(method, window=76, shift=25))
    error = ((maps - ds.truth) ** 2).mean("component") ** 0.5
    assert float(error.isel(time=slice(50, None)).mean()) < 0.45


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            xv.CycledFourDVar(linear(), window=5, shift=6),
            "shift is 6, the window 5; fix: let windows",
        ),
        (
            xv.CycledFourDVar(linear(), window=5, shift=5),
            "shift is 5, the window 5; fix: let windows",
        ),
        (xv.CycledFourDVar(linear(), window=0, shift=1), "window is 0"),
        (xv.CycledFourDVar(linear(), window=24, shift=1), "window is 24, the data have 23 times"),
        (xv.CycledFourDVar(linear(), 5, 2, estimate="forecast"), "estimate is 'forecast'"),
        (xv.CycledFourDVar(linear(), 5, 2, inflation=0.0), "inflation is 0.0"),
        (xv.CycledFourDVar(xv.LinearInterpolation(), 5, 2), "method is LinearInterpolation"),
        (xv.CycledFourDVar(linear(starts=0), 5, 2), "starts is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(series, method, message):
    with pytest.raises(xv.InputError, match=message):
        series[1].fourdvar.reconstruct(method)


def test_an_analysis_too_far_off_is_looked_for_again(monkeypatch):
    """Of one component seen: this series falls into a wrong minimum, and would stay there."""
    seen = {"observed": ("x",), "every": 8, "first": 8, "last": 599}
    ds = xv.datasets.lorenz63(8, steps=600, seed=1, **seen).isel(window=[0])
    method = xv.FourDVar(xv.Lorenz63(dt=0.01), 2.0, starts=2, climate=200)
    cycled = xv.CycledFourDVar(method, window=96, shift=48, inflation=1.1)

    def error():
        return float(((ds.obs.fourdvar.reconstruct(cycled) - ds.truth) ** 2).mean())

    assert error() < 1
    monkeypatch.setattr(patch_work, "_ENGINES", {})
    monkeypatch.setattr(cycled_solve, "DOUBTFUL", 0.0)
    assert error() > 10


def test_inflation_makes_the_background_less_sure(series):
    states, obs = (array.rename("v") for array in series)
    errors = [
        obs.fourdvar.reconstruct(
            states.fourdvar.fit(xv.CycledFourDVar(linear(), 7, 3, inflation=inflation), states),
            error=True,
        ).v_error
        for inflation in (1.0, 4.0)
    ]
    assert bool((errors[1][:, -1] > 1.1 * errors[0][:, -1]).all())


def test_series_that_the_model_does_not_get_through_are_named():
    ds = xv.datasets.lorenz63(3, steps=80, observed=("x", "y", "z"), every=8, first=4, last=79)
    obs = ds.obs.copy()
    obs[1, 40:] = 1e200 * obs[1, 40:]
    model = xv.ODE(lambda x: 1e-9 * x**3 - x, 0.01)
    known = {"background_state": [0.0, 0.0, 0.0], "background_error_variance": 100.0}
    method = xv.CycledFourDVar(xv.FourDVar(model, 1.0, starts=1, **known), window=20, shift=10)
    with pytest.raises(xv.InputError, match=r"out of bounds in 1 of 3 windows \(.isel\(window=1\)"):
        obs.fourdvar.reconstruct(method)


def test_members_have_noise_of_the_variance_that_was_found():
    """The first guess of R is a hundredth of what it is."""
    ds = xv.datasets.lorenz63(4, steps=100, observed=("x", "y", "z"), every=4, first=2, last=99)
    method = xv.FourDVar(xv.Lorenz63(), 0.02, starts=1, climate=100, estimate_variances=True)
    model = ds.obs.fourdvar.fit(xv.CycledFourDVar(method, window=40, shift=20))
    spread = ds.obs.fourdvar.reconstruct(model, ensemble=8).std("member")
    known = xv.CycledFourDVar(
        xv.FourDVar(xv.Lorenz63(), 2.0, starts=1, climate=100), window=40, shift=20
    )
    expected = ds.obs.fourdvar.reconstruct(known, ensemble=8).std("member")
    assert float(spread.mean()) == pytest.approx(float(expected.mean()), rel=0.4)
