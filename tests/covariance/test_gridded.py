"""The gridded solve against closed forms, other packages and limits (methods.md A.1)."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xr4dvar.covariance import FAMILIES, Separable, Sum, analyse
from xr4dvar.errors import InputError


def problem(seed=0, shape=(5, 6, 7), share=0.4):
    """Irregular axes, noisy innovations with gaps, one error variance per observation."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*size):
        return torch.rand(*size, generator=generator, dtype=torch.float64)

    axes = tuple((0.2 + draw(n)).cumsum(0) for n in shape)
    observed = draw(*shape) < share
    innovation = torch.where(observed, 2.0 * draw(*shape) - 1.0, torch.nan)
    return axes, innovation, observed, 0.05 + 0.2 * draw(*shape)


def closed_form(covariance, axes, innovation, observed, error):
    """B H' (H B H' + R)^-1 d and the matrices it is made of."""
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    prior = covariance.between(points, points)
    seen = observed.flatten()
    system = prior[seen][:, seen] + torch.diag(error.flatten()[seen])
    gain = torch.linalg.solve(system, prior[seen]).T
    return (gain @ innovation.flatten()[seen]).reshape(innovation.shape), prior, gain


TWO_SCALES = Sum((Separable((3.0, 2.0, 2.0)), Separable((1.0, 0.7, 0.7), "matern32", 0.4)))
MODELS = {**{name: Separable((2.0, 1.0, 1.5), name, 1.7) for name in FAMILIES}, "sum": TWO_SCALES}


@pytest.mark.parametrize("name", MODELS)
def test_equals_the_closed_form(name):
    axes, innovation, observed, error = problem()
    expected, *_ = closed_form(MODELS[name], axes, innovation, observed, error)
    root = MODELS[name].root(axes, tolerance=1e-13, dtype=torch.float64)
    exact = analyse(innovation, observed, root, error, tolerance=1e-11)
    assert (exact.increment - expected).abs().max() < 1e-8
    fast = analyse(innovation, observed, MODELS[name].root(axes), error)
    assert fast.increment.dtype == torch.float32
    assert (fast.increment - expected).abs().max() < 1e-4 * expected.abs().max()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    share=st.floats(0.0, 1.0),
)
def test_equals_the_closed_form_on_any_grid(seed, shape, share):
    axes, innovation, observed, error = problem(seed, shape, share)
    expected, *_ = closed_form(TWO_SCALES, axes, innovation, observed, error)
    root = TWO_SCALES.root(axes, tolerance=1e-13, dtype=torch.float64)
    result = analyse(innovation, observed, root, error, tolerance=1e-11)
    assert (result.increment - expected).abs().max() < 1e-8


def test_minimises_the_variational_cost():
    axes, innovation, observed, error = problem(2)
    root = TWO_SCALES.root(axes, tolerance=1e-13, dtype=torch.float64)
    increment = analyse(innovation, observed, root, error, tolerance=1e-11).increment
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    prior = TWO_SCALES.between(points, points)
    x = increment.clone().requires_grad_()
    misfit = ((x - innovation)[observed] ** 2 / error[observed]).sum()
    # the prior matrix is badly conditioned: ask for B grad = 0, the gradient in the norm of B
    (gradient,) = torch.autograd.grad(misfit / 2, x)
    assert (prior @ gradient.flatten() + increment.flatten()).abs().max() < 1e-8


def test_equals_gaussian_process_regression_of_sklearn():
    process = pytest.importorskip("sklearn.gaussian_process")
    axes, innovation, observed, error = problem(3)
    kernel = process.kernels.RBF(np.array([2.0, 1.0, 1.5]) / np.sqrt(2.0))  # no half in ours
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    regressor = process.GaussianProcessRegressor(
        kernel, alpha=error[observed].numpy(), optimizer=None
    )
    regressor.fit(points[observed].numpy(), innovation[observed].numpy())
    expected = regressor.predict(points.reshape(-1, 3).numpy()).reshape(innovation.shape)
    root = Separable((2.0, 1.0, 1.5)).root(axes, tolerance=1e-13, dtype=torch.float64)
    result = analyse(innovation, observed, root, error, tolerance=1e-11)
    assert (result.increment - torch.from_numpy(expected)).abs().max() < 1e-8


def test_precise_observations_are_reproduced():
    axes, innovation, observed, _ = problem(4)
    root = Separable((0.5, 0.3, 0.3), "matern32").root(axes, tolerance=0, dtype=torch.float64)
    result = analyse(innovation, observed, root, 1e-9, tolerance=1e-11)
    assert (result.increment - innovation)[observed].abs().max() < 1e-7


def test_far_from_observations_nothing_changes():
    axis = torch.arange(20, dtype=torch.float64)
    innovation = torch.full((1, 1, 20), torch.nan)
    innovation[0, 0, 0] = 1.0
    root = Separable((1.0, 1.0, 1.0)).root((axis[:1], axis[:1], axis))
    increment = analyse(innovation, innovation.isfinite(), root, 0.1).increment
    assert float(increment[0, 0, 0]) == pytest.approx(1 / 1.1, abs=1e-5)
    assert increment[0, 0, 6:].abs().max() < 1e-5


def test_degrees_of_freedom_for_signal():
    axes, innovation, observed, _ = problem(5, (3, 4, 4))
    error = torch.full(innovation.shape, 0.1, dtype=torch.float64)
    *_, prior, gain = closed_form(TWO_SCALES, axes, innovation, observed, error)
    seen = observed.flatten()
    values = torch.linalg.eigvalsh(prior[seen][:, seen])
    root = TWO_SCALES.root(axes, tolerance=1e-13, dtype=torch.float64)
    impulses = torch.eye(seen.numel(), dtype=torch.float64)[seen].reshape(-1, *observed.shape)
    responses = analyse(impulses, observed, root, 0.1, tolerance=1e-11).increment
    influence = (responses * impulses).sum()
    assert float(influence) == pytest.approx(float((values / (values + 0.1)).sum()), abs=1e-7)
    assert float(influence) == pytest.approx(float(gain[seen].trace()), abs=1e-7)


def test_the_batch_never_changes_a_sample():
    samples = [problem(seed)[1:] for seed in range(4)]
    axes = problem(0)[0]
    innovation, observed, error = (torch.stack(parts) for parts in zip(*samples, strict=True))
    innovation[1] *= 1e6  # a sample of another size
    observed[2] = False  # and one with nothing in it
    root = TWO_SCALES.root(axes)
    together = analyse(innovation, observed, root, error)
    assert together.iterations.shape == (4,)
    assert int(together.iterations[2]) == 0
    assert not together.increment[2].any()
    for index in range(4):
        alone = analyse(innovation[index], observed[index], root, error[index])
        scale = max(float(alone.increment.abs().max()), 1.0)
        assert (together.increment[index] - alone.increment).abs().max() < 1e-4 * scale
        assert abs(int(together.iterations[index]) - int(alone.iterations)) <= 1
    nested = analyse(innovation.reshape(2, 2, 5, 6, 7), observed.reshape(2, 2, 5, 6, 7), root, 0.1)
    assert nested.increment.shape == (2, 2, 5, 6, 7)


def test_an_unconverged_solve_is_told(caplog):
    axes, innovation, observed, error = problem()
    root = TWO_SCALES.root(axes)
    with caplog.at_level(logging.WARNING, "xr4dvar"):
        analyse(innovation, observed, root, error)
        assert not caplog.records
        result = analyse(innovation, observed, root, error, max_iterations=2)
    assert "after 2 iterations" in caplog.text
    assert float(result.residual) > 1e-5


def test_the_reported_residual_is_the_true_one():
    axes, innovation, observed, error = problem()
    root = TWO_SCALES.root(axes, dtype=torch.float64)
    residuals = [
        float(analyse(innovation, observed, root, error, tolerance=t).residual)
        for t in (1e-2, 1e-5, 1e-8)
    ]
    assert residuals[0] > residuals[1] > residuals[2]
    assert residuals[2] <= 1e-8


def test_bad_input_is_refused_with_every_problem():
    axes, innovation, observed, error = problem()
    root = TWO_SCALES.root(axes)
    error = torch.where(observed, -1.0, error)
    with pytest.raises(InputError, match="3 problems"):
        analyse(innovation[:, :, 1:], torch.ones(5, 6, 6, dtype=torch.bool), root, error[:, :, 1:])
    with pytest.raises(InputError, match="error variance"):
        analyse(innovation, observed, root, 0.0)


def test_what_is_near_enough_is_not_warned_of(caplog):
    axes, innovation, observed, error = problem()
    root = MODELS["gaussian"].root(axes, dtype=torch.float64)
    curve = [
        float(analyse(innovation, observed, root, error, tolerance=1e-9, max_iterations=n).residual)
        for n in range(1, 30)
    ]
    caplog.clear()
    analyse(innovation, observed, root, error, tolerance=curve[9] / 2, max_iterations=10)
    assert not caplog.records
    analyse(innovation, observed, root, error, tolerance=curve[9] / 4, max_iterations=10)
    assert "stopped after 10 iterations" in caplog.text
