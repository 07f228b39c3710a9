"""The data assimilation network: of a linear system Kalman filter and smoother at best."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from tests.training.builders import grid_of
from xr4dvar.methods.dan.fit import States
from xr4dvar.methods.dan.network import (
    Architecture,
    FilterNetwork,
    minus_log_density,
    standard_deviation,
)

#: A damped rotation, of which the first component is seen at every other time.
A = 0.95 * np.array([[np.cos(0.5), np.sin(0.5)], [-np.sin(0.5), np.cos(0.5)]])
Q, R = np.diag([0.1, 0.2]), 0.3
TIMES = 16
SHORT = xv.Training(steps=5, batch_size=4, steps_per_epoch=5)
SHIFT, SCALE = np.array([3.0, -200.0]), np.array([1.0, 50.0])


def stationary():
    covariance = np.eye(2)
    for _ in range(500):
        covariance = A @ covariance @ A.T + Q
    return covariance


@cache
def linear(windows, seed):
    """Trajectories in equilibrium, in other units than their own."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((windows, 2)) @ np.linalg.cholesky(stationary()).T
    states = [x]
    for _ in range(TIMES - 1):
        x = x @ A.T + generator.standard_normal((windows, 2)) * np.sqrt(np.diag(Q))
        states.append(x)
    truth = np.stack(states, 1)
    y = np.full_like(truth, np.nan)
    noise = np.sqrt(R) * generator.standard_normal((windows, TIMES // 2))
    y[:, 1::2, 0] = truth[:, 1::2, 0] + noise
    dims = ("window", "time", "component")
    names = ("component", ["position", "speed"], {"axis": "X"})
    coords = {"time": np.arange(TIMES), "component": names}
    fields = {"truth": (dims, SHIFT + SCALE * truth), "obs": (dims, SHIFT + SCALE * y)}
    return xr.Dataset(fields, coords)


def kalman(y):
    """Means (3, B, T, n) and covariances (3, T, n, n) before, after and smoothed, in its units."""
    y = (y - SHIFT) / SCALE
    mean, covariance = np.zeros((len(y), 2)), stationary()
    found = []
    for t in range(TIMES):
        if t:
            mean, covariance = mean @ A.T, A @ covariance @ A.T + Q
        before = mean, covariance
        if np.isfinite(y[0, t, 0]):
            gain = covariance[:, 0] / (covariance[0, 0] + R)
            mean = mean + (y[:, t, :1] - mean[:, :1]) * gain
            covariance = covariance - np.outer(gain, covariance[0])
        found.append([before, (mean, covariance)])
    smoothed = found[-1][1]
    for t in range(TIMES - 1, -1, -1):  # Rauch, Tung and Striebel
        mean, covariance = found[t][1]
        if t < TIMES - 1:
            ahead_mean, ahead = found[t + 1][0]
            gain = covariance @ A.T @ np.linalg.inv(ahead)
            mean = mean + (smoothed[0] - ahead_mean) @ gain.T
            covariance = covariance + gain @ (smoothed[1] - ahead) @ gain.T
        smoothed = mean, covariance
        found[t].append(smoothed)
    means = np.stack([np.stack([one[k][0] for one in found], 1) for k in range(3)])
    covariances = np.stack([np.stack([one[k][1] for one in found]) for k in range(3)])
    return SHIFT + SCALE * means, covariances * np.outer(SCALE, SCALE)


def losses(truth, means, covariances):
    """Minus the log-likelihood of each window, all kinds together, mean over the times."""
    density = torch.distributions.MultivariateNormal(
        torch.from_numpy(means), torch.from_numpy(covariances)
    )
    return -density.log_prob(torch.from_numpy(truth)).sum(0).mean(-1).numpy()


def network_moments(model, y):
    settings = model.parameters.settings
    network = FilterNetwork(Architecture(**settings["architecture"]))
    network.load_state_dict({k: torch.as_tensor(v) for k, v in model.parameters.arrays.items()})
    states = States(**settings["states"])
    scaled = torch.from_numpy((y - states.mean) / states.spread).float()
    seen = torch.isfinite(scaled)
    with torch.no_grad():
        mean, root = network(torch.where(seen, scaled, 0.0), seen.float())
    covariance = torch.linalg.inv(root.double() @ root.double().mT).numpy()
    spread = states.spread.astype(float)
    return states.mean + spread * mean.double().numpy(), covariance * np.outer(spread, spread)


@pytest.mark.slow
@pytest.mark.parametrize("estimate", ["filtered", "smoothed"])
def test_of_a_linear_system_it_learns_the_kalman_filter(estimate):
    train, test = linear(4000, 0), linear(1000, 1)
    training = xv.Training(
        steps=1200, batch_size=64, learning_rate=5e-3, steps_per_epoch=250, averaging=0.99
    )
    model = train.obs.fourdvar.fit(
        xv.DataAssimilationNetwork(estimate, width=32, training=training), train.truth
    )
    kinds = 3 if estimate == "smoothed" else 2
    truth = test.truth.values
    best = [moments[:kinds] for moments in kalman(test.obs.values)]
    found = network_moments(model, test.obs.values)
    optimum = losses(truth, best[0], best[1][:, None])
    excess = losses(truth, *found) - optimum
    error = excess.std() / len(excess) ** 0.5
    assert excess.mean() > -2 * error, "nothing beats the Kalman filter"
    assert excess.mean() < 0.025 * kinds
    assert np.sqrt((((found[0] - best[0]) / SCALE) ** 2).mean()) < 0.1
    deviations, expected = (
        np.sqrt(np.diagonal(c, axis1=-2, axis2=-1)) for c in (found[1], best[1])
    )
    np.testing.assert_allclose(deviations.mean(1), expected, rtol=0.12)
    both = test.obs.fourdvar.reconstruct(model, error=True)
    np.testing.assert_allclose(both.obs, found[0][-1], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(both.obs_error, deviations[-1], rtol=1e-3)


def some_network(components=3):
    torch.manual_seed(0)
    network = FilterNetwork(Architecture(components, width=6, depth=2, smooths=True))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.double()


def some_observations(components=3):
    generator = torch.Generator().manual_seed(1)
    y = torch.randn(4, 9, components, dtype=torch.float64, generator=generator)
    seen = (torch.rand(y.shape, generator=generator) < 0.5).double()
    return y * seen, seen


@pytest.mark.parametrize("components", [1, 2, 3])
def test_its_densities_are_gaussian(components):
    mean, root = some_network(components)(*some_observations(components))
    mean, root = mean.double(), root.double()
    x = torch.randn(mean.shape, dtype=torch.float64)
    gaussian = torch.distributions.MultivariateNormal(mean, precision_matrix=root @ root.mT)
    torch.testing.assert_close(minus_log_density(x, mean, root), -gaussian.log_prob(x))
    torch.testing.assert_close(standard_deviation(root), gaussian.stddev)


def test_what_comes_later_does_not_count():
    """To a filter; and what comes now counts after it, not before. To a smoother all counts."""
    network, (y, seen) = some_network(), some_observations()
    later = y.clone()
    later[:, 5] += 1.0
    for first, second in zip(network(y, seen), network(later, torch.ones_like(seen)), strict=True):
        assert not torch.equal(first, second)
    for first, second in zip(network(y, seen), network(later, seen), strict=True):
        assert torch.equal(first[:2, :, :5], second[:2, :, :5])
        assert bool((first[2] != second[2]).flatten(2).any(2).all())
        assert torch.equal(first[0, :, 5], second[0, :, 5])
        assert not torch.equal(first[1, :, 5], second[1, :, 5])


def test_each_window_by_itself():
    network, (y, seen) = some_network(), some_observations()
    alone = network(y[:1], seen[:1])
    together = network(y, seen)
    for first, second in zip(alone, together, strict=True):
        torch.testing.assert_close(first[:, 0], second[:, 0])


@pytest.fixture(scope="module")
def model():
    ds = linear(40, 0)
    method = xv.DataAssimilationNetwork(width=4, times=8, training=SHORT)
    return ds.obs.fourdvar.fit(method, ds.truth)


def test_the_file_holds_it(model, tmp_path):
    model.save(tmp_path / "m.safetensors")
    again = xv.load(tmp_path / "m.safetensors")
    obs = linear(40, 0).obs[:3]
    maps = [obs.fourdvar.reconstruct(m, error=True).drop_attrs() for m in (model, again)]
    xr.testing.assert_identical(*maps)


def test_of_chunks_the_same(model):
    obs = linear(40, 0).obs[:6]
    whole = obs.fourdvar.reconstruct(model)
    lazy = obs.transpose("component", "time", "window").chunk(window=2).fourdvar.reconstruct(model)
    xr.testing.assert_allclose(lazy.compute().transpose(*whole.dims), whole, atol=1e-5)


def test_the_error_is_in_the_units_of_the_data(model):
    """Hardly trained, it is of the order of the data's spread, whatever their mean."""
    ds = linear(40, 0)
    found = ds.obs.fourdvar.reconstruct(model, error=True).obs_error
    ratio = found.mean(("window", "time")) / ds.truth.std(("window", "time"))
    assert bool(((ratio > 0.3) & (ratio < 3)).all())


def test_the_seed_decides(model):
    ds = linear(40, 0)
    again = ds.obs.fourdvar.fit(model.method, ds.truth)
    other = ds.obs.fourdvar.fit(model.method, ds.truth, seed=1)
    same = [np.array_equal(again.arrays[name], model.arrays[name]) for name in model.arrays]
    assert all(same)
    assert any(not np.array_equal(other.arrays[n], model.arrays[n]) for n in model.arrays)


def test_states_that_are_not_all_known_are_left_out():
    ds = linear(40, 0)
    holes = ds.truth.where((ds.time % 4 != 0) | (ds.component == "speed"))
    method = xv.DataAssimilationNetwork(width=4, training=SHORT)
    history = ds.obs.fourdvar.fit(method, holes).history
    assert np.isfinite(history.train_loss).all()
    parts = history.before + history.after + history.smoothed
    np.testing.assert_allclose(history.train_loss, parts, rtol=1e-5)


def test_it_needs_a_target():
    ds = linear(40, 0)
    with pytest.raises(xv.InputError, match="there is no target; fix: give target="):
        ds.obs.fourdvar.fit(xv.DataAssimilationNetwork(training=SHORT))
    with pytest.raises(xv.InputError, match="at no time are all components of the target known"):
        ds.obs.fourdvar.fit(
            xv.DataAssimilationNetwork(training=SHORT),
            ds.truth.where(ds.component == "speed"),
        )


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"width": 0}, "width is 0"),
        ({"estimate": "analysis"}, "estimate is 'analysis'"),
        ({"depth": 1.5}, "depth is 1.5"),
        ({"times": 0}, "times is 0"),
        ({"training": None}, "training is None"),
        ({"training": replace(SHORT, steps=0)}, "steps is 0"),
        ({}, "a state has 480 numbers"),
    ],
)
def test_settings_that_cannot_be_used(settings, what):
    shape = (30, 20, 24) if not settings else (30, 2, 3)
    with pytest.raises(xv.InputError) as caught:
        xv.DataAssimilationNetwork(**settings).check(grid_of(shape), ["ssh"])
    ((found, fix),) = caught.value.problems
    assert what in found
    assert fix


def test_a_grid_without_time():
    with pytest.raises(xv.InputError, match="the data have no time axis"):
        xv.DataAssimilationNetwork().check(grid_of((4, 3), ("y", "x")), ["ssh"])
