"""The models of Lorenz: right trajectories, the protocols as published, seeds that matter."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import solve_ivp

import xr4dvar as xv
from xr4dvar.datasets import LORENZ_PROTOCOLS, lorenz63, lorenz96


def rate63(_, s):
    x, y, z = s
    return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]


def rate96(_, s):
    return (np.roll(s, -1) - np.roll(s, 2)) * np.roll(s, 1) - s + 8


@pytest.mark.parametrize(
    ("ds", "rate"),
    [(lorenz63(2), rate63), (lorenz96(2, dt=0.005, steps=50), rate96)],
    ids=["63", "96"],
)
def test_windows_are_trajectories_of_the_model(ds, rate):
    for states in ds.truth.values:
        time = ds.time.values
        exact = solve_ivp(rate, (0, time[-1]), states[0], "DOP853", time, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(states, exact.y.T, atol=1e-5)


def test_the_truth_of_the_notebooks_is_scipys():
    ds = lorenz63(2, truth="rk45")
    for window in range(2):
        states = ds.truth[window].values
        exact = solve_ivp(rate63, (0, ds.time.values[-1]), states[0], t_eval=ds.time.values)
        np.testing.assert_allclose(states, exact.y.T, rtol=1e-12)


def test_protocol_of_one_component():
    ds = lorenz63(50, **LORENZ_PROTOCOLS["l63-x"])
    assert dict(ds.sizes) == {"window": 50, "time": 200, "component": 3}
    seen = ds.obs.notnull()
    assert not seen.sel(component=["y", "z"]).any()
    steps = np.flatnonzero(seen.sel(component="x")[0])
    assert steps.tolist() == list(range(16, 185, 8))
    noise = (ds.obs - ds.truth).sel(component="x").values
    assert np.nanvar(noise) == pytest.approx(2.0, rel=0.15)
    # as published: the variance of the components' mean square is about 72 in raw units
    assert float(ds.truth.var(("window", "time")).mean()) == pytest.approx(72, rel=0.15)


def test_protocol_of_all_components():
    seen = lorenz63(2, **LORENZ_PROTOCOLS["l63-all"]).obs.notnull()
    assert int(seen.sum()) == 2 * 22 * 3
    assert bool((seen.sum("component") % 3 == 0).all())


def test_protocol_of_lorenz96():
    ds = lorenz96(6, **LORENZ_PROTOCOLS["l96-12"])
    count = ds.obs.notnull().sum("site")
    assert np.unique(count[:, ::4]).tolist() == [20]
    assert not count[:, 1::4].any()
    assert float((ds.obs - ds.truth).var()) == pytest.approx(2.0, rel=0.1)
    first, second = ds.obs.notnull()[:2].values
    assert (first != second).any()
    masks = lorenz96(6, same_sites=True).obs.notnull()
    assert bool((masks == masks[0]).all())


@pytest.mark.parametrize("make", [lorenz63, lorenz96])
def test_a_seed_says_all_and_another_one_says_other_things(make):
    state = np.random.get_state()[1].copy()
    xr.testing.assert_identical(make(2, seed=3), make(2, seed=3))
    assert float(abs(make(2, seed=3).truth - make(2, seed=4).truth).mean()) > 1
    assert (np.random.get_state()[1] == state).all()


def test_windows_start_far_from_each_other():
    start = lorenz63(40).truth.isel(time=0).values
    apart = np.linalg.norm(start[:, None] - start, axis=-1)
    assert (apart[~np.eye(40, dtype=bool)] > 1e-3).all()
    assert np.median(apart) > 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lorenz63(0), "windows is 0; fix: use a whole number, at least 1"),
        (lambda: lorenz63(observed=("u",)), r"observed has \['u'\]; fix: choose from"),
        (lambda: lorenz63(noise_variance=-1), "noise_variance is -1"),
        (lambda: lorenz63(seed=-1, first=1.5, last="end"), "(?s)first is 1.5.*last is 'end'"),
        (lambda: lorenz63(seed=-1), "seed is -1; fix: use a whole number, at least 0"),
        (lambda: lorenz63(observed=3), "observed is 3"),
        (lambda: lorenz96(seed=0.5, forcing=float("nan")), "(?s)seed is 0.5.*forcing is nan"),
        (lambda: lorenz96(same_sites="yes"), "same_sites is 'yes'"),
        (lambda: lorenz63(truth="euler"), "truth is 'euler'; fix: use 'accurate' or 'rk45'"),
        (lambda: lorenz96(observed=41), "observed is 41, there are 40 sites"),
        (lambda: lorenz63(first=100, last=50), "none is seen: first 100, last 50"),
        (lambda: lorenz63(observed=()), "none is seen"),
        (lambda: lorenz63(dt=0.5), "with dt 0.5 the model runs out of bounds"),
        (lambda: lorenz96(dt=1.0), "with dt 1 the model runs out of bounds"),
        (lambda: lorenz96(dt=0.0, every=0), "2 problems"),
    ],
)
def test_what_cannot_be_simulated(call, message):
    with pytest.raises(xv.InputError, match=message):
        call()


@pytest.mark.parametrize("name", xv.datasets.LORENZ_PROTOCOLS)
def test_problems_by_name(name):
    protocol = xv.datasets.LORENZ_PROTOCOLS[name]
    ds = (lorenz96 if name.startswith("l96") else lorenz63)(2, **protocol)
    every, first = {"l63-all-cycled": (25, 25), "l63-x-cycled": (8, 8), "l96-12": (4, 0)}.get(
        name, (1, 0) if name == "l96-all-cycled" else (8, 16)
    )
    times = np.flatnonzero(ds.obs.notnull().any(("window", ds.truth.dims[-1])))
    assert times[0] == first
    assert set(np.diff(times)) == {every}
    assert len(times) >= (120 if name.endswith("cycled") else 22)
    seen = ds.obs.notnull()
    assert bool(seen.any(("time", ds.truth.dims[-1])).all())
    variance = {"l63-x-exact": 0.0, "l96-all-cycled": 1.0}.get(name, 2.0)
    found = float(((ds.obs - ds.truth) ** 2).mean())
    assert found == pytest.approx(variance, rel=0.35, abs=1e-20)
