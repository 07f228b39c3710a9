"""Estimating R and Q: by a Kalman filter's likelihood, and where the truth is known."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv

A = np.array([[0.9, 0.3], [-0.3, 0.9]])
R, Q = 0.5, 0.2


def rotating(x):
    """The rate of change whose Euler step of length one is the product with A."""
    return x @ torch.from_numpy(A - np.eye(2)).to(x).T


@pytest.fixture(scope="module")
def linear() -> xr.Dataset:
    """Forty windows of a linear model with noise; a third of the numbers is seen."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(40, 2))
    states = [x]
    for _ in range(59):
        x = x @ A.T + Q**0.5 * generator.normal(size=x.shape)
        states.append(x)
    truth = np.stack(states, 1)
    obs = truth + R**0.5 * generator.normal(size=truth.shape)
    seen = generator.random(truth.shape) < 1 / 3
    coords = {"time": np.arange(60.0), "component": ("component", ["u", "v"], {"axis": "X"})}
    dims = ("window", "time", "component")
    return xr.Dataset(
        {"truth": (dims, truth), "obs": (dims, np.where(seen, obs, np.nan))}, coords=coords
    )


def method(r, q, **settings) -> xv.FourDVar:
    settings = {"starts": 1, "spin_up": 0, "climate": 2000, "estimate_variances": True, **settings}
    return xv.FourDVar(xv.ODE(rotating, dt=1.0, scheme="euler"), r, q, **settings)


def kalman(y: np.ndarray, mean: np.ndarray, b: np.ndarray, r: float, q: float) -> float:
    """Log likelihood of one window (T, 2), by the textbook's filter."""
    x, p, total = mean, b, 0.0
    for t, now in enumerate(y):
        if t:
            x, p = A @ x, A @ p @ A.T + q * np.eye(2)
        h = np.eye(2)[np.isfinite(now)]
        d, s = now[np.isfinite(now)] - h @ x, h @ p @ h.T + r * np.eye(len(h))
        total -= 0.5 * (d @ np.linalg.solve(s, d) + np.linalg.slogdet(2 * np.pi * s)[1])
        k = p @ h.T @ np.linalg.inv(s)
        x, p = x + k @ d, p - k @ h @ p
    return total


def test_of_a_linear_model_the_likelihood_is_exact_and_rises(linear):
    model = linear.obs.fourdvar.fit(method(2.0, 0.02), linear.truth)
    history = model.history
    climate = model.parameters.arrays["climate"]
    trained = linear.obs.values[:, : 60 - round(0.15 * 60)]
    expected = [
        sum(kalman(y, climate.mean(0), np.cov(climate.T), 2.0 * r, 0.02 * q) for y in trained)
        for r, q in zip(
            history.error_variance.values, history.model_error_variance.values, strict=True
        )
    ]
    np.testing.assert_allclose(history.log_likelihood, expected, rtol=1e-8)
    assert (np.diff(expected) >= 0).all()
    assert history.sizes["iteration"] > 3


def test_of_a_linear_model_r_and_q_are_found(linear):
    """About 1400 observations: R to some 5 %, Q to some 10 %; from either side the same."""
    found = []
    for r, q in ((2.0, 0.02), (0.1, 1.0)):
        history = linear.obs.fourdvar.fit(method(r, q), linear.truth).history.isel(iteration=-1)
        found.append((r * float(history.error_variance), q * float(history.model_error_variance)))
    np.testing.assert_allclose(found, [(R, Q)] * 2, rtol=0.25)
    np.testing.assert_allclose(found[0], found[1], rtol=0.05)


def test_variances_may_be_matrices(linear):
    """Of a matrix the shape is kept: two components that are alike give what one number gives."""
    plain = linear.obs.fourdvar.fit(method(1.0, 0.1), linear.truth)
    full = linear.obs.fourdvar.fit(method(np.eye(2), 0.1 * np.eye(2)), linear.truth)
    xr.testing.assert_allclose(plain.history, full.history, rtol=1e-6)
    spread = [linear.obs[:2].fourdvar.reconstruct(m, error=True) for m in (plain, full)]
    xr.testing.assert_allclose(*(s.drop_attrs() for s in spread), rtol=1e-6)


def test_what_is_found_is_used_and_told(linear, caplog):
    with caplog.at_level(logging.INFO, "xr4dvar"):
        model = linear.obs.fourdvar.fit(method(1.0, None), linear.truth)
    assert "error_variance times" in caplog.text
    factor = float(model.history.error_variance[-1])
    given = linear.obs.fourdvar.fit(method(factor, None, estimate_variances=False), linear.truth)
    maps = [linear.obs[:2].fourdvar.reconstruct(m, error=True) for m in (model, given)]
    xr.testing.assert_allclose(*(m.drop_attrs() for m in maps), rtol=1e-6)


def test_it_has_to_be_fitted_and_seen(linear):
    with pytest.raises(xv.InputError, match="has to be fitted"):
        linear.obs.fourdvar.reconstruct(method(1.0, 1.0))
    with pytest.raises(xv.InputError, match="estimate_variances is 'yes'"):
        linear.obs.fourdvar.fit(method(1.0, 1.0, estimate_variances="yes"))


@pytest.fixture(scope="module")
def lorenz() -> xr.Dataset:
    seen = {"observed": ("x", "y", "z"), "every": 8, "first": 4, "last": 99}
    return xv.datasets.lorenz63(16, steps=100, noise_variance=2.0, seed=3, **seen)


def test_of_lorenz63_r_is_found_and_saved(lorenz, tmp_path):
    """About 500 observations of training, less what their analysis takes: to some 7 %."""
    settings = {"starts": 2, "climate": 400, "estimate_variances": True}
    model = lorenz.obs.fourdvar.fit(xv.FourDVar(xv.Lorenz63(dt=0.01), 0.5, **settings))
    found = 0.5 * float(model.history.error_variance[-1])
    errors = (lorenz.obs - lorenz.truth)[:, :85]
    assert found == pytest.approx(float((errors**2).mean()), rel=0.1)
    assert found == pytest.approx(2.0, rel=0.2)
    assert (model.history.log_likelihood.diff("iteration") >= 0).all()
    model.save(tmp_path / "model.safetensors")
    again = xv.load(tmp_path / "model.safetensors")
    assert again.digest == model.digest
    maps = [lorenz.obs[:2].fourdvar.reconstruct(m, error=True) for m in (model, again)]
    xr.testing.assert_identical(*(m.drop_attrs() for m in maps))


@pytest.mark.slow
def test_of_a_wrong_model_the_estimated_q_is_better_than_the_guess(lorenz):
    wrong = xv.Lorenz63(dt=0.01, rho=26.0)
    settings = {"starts": 2, "climate": 400}
    guess = xv.FourDVar(wrong, 2.0, 1e-4, **settings)
    model = lorenz.obs.fourdvar.fit(
        xv.FourDVar(wrong, 2.0, 1e-4, **settings, estimate_variances=True)
    )
    errors = [
        float(((lorenz.obs.fourdvar.reconstruct(m) - lorenz.truth) ** 2).mean())
        for m in (guess, model)
    ]
    assert errors[1] < errors[0]
    assert float(model.history.model_error_variance[-1]) > 5
