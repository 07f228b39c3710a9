"""The gridded solve against closed forms, other packages and limits (methods.md A.1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xr4dvar.covariance import FAMILIES, Prior, Separable, Spherical, Sum, analyse, gridded
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


@pytest.fixture(params=["factorised", "iterated"])
def how(request, monkeypatch):
    """Both ways to solve a small problem."""
    if request.param == "iterated":
        monkeypatch.setattr(gridded, "FEW", 0)
    return request.param


@pytest.mark.parametrize("name", MODELS)
def test_equals_the_closed_form(name, how):
    axes, innovation, observed, error = problem()
    expected, *_ = closed_form(MODELS[name], axes, innovation, observed, error)
    result = analyse(innovation, observed, Prior(MODELS[name], axes), error, tolerance=1e-7)
    assert result.increment.dtype == torch.float64
    # what a root leaves out is 1e-2 of the error variance at most, and 1e-6 of the prior's
    assert (result.increment - expected).abs().max() < (1e-9 if how == "factorised" else 1e-5)
    assert bool((result.iterations > 0) == (how == "iterated"))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    share=st.floats(0.0, 1.0),
)
def test_equals_the_closed_form_on_any_grid(seed, shape, share):
    axes, innovation, observed, error = problem(seed, shape, share)
    expected, *_ = closed_form(TWO_SCALES, axes, innovation, observed, error)
    result = analyse(innovation, observed, Prior(TWO_SCALES, axes), error)
    assert (result.increment - expected).abs().max() < 1e-9


SCATTER = {
    "plane": Separable((1.0, 1.0, 1.0)),
    "two scales": Sum((Separable((1.0, 2.0, 2.0)), Separable((1.0, 0.5, 0.7), variance=0.3))),
    "sphere": Spherical((1.0, 100.0)),
    "circle": Separable((1.0, 1.0, 1.0), periods=(None, None, 6.0)),
}


def rough(covariance, family):
    """The same covariance with another family."""
    terms = [replace(term, family=family) for term in covariance.terms]
    return terms[0] if len(terms) == 1 else Sum(terms)


@pytest.mark.parametrize("ratio", [1e-1, 1e-4, 1e-8])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", SCATTER)
def test_the_bound_holds_at_every_cell_however_precise(name, family, ratio, how):
    """The closed form in the units of its own error: the promise of the docs."""
    covariance = rough(SCATTER[name], family)
    day = torch.zeros(1, dtype=torch.float64)
    axis = 0.25 * torch.arange(24, dtype=torch.float64)[:: 2 if name == "sphere" else 1]
    axes = (day, 30.0 + axis, axis)
    generator = torch.Generator().manual_seed(3)
    observed = torch.rand(1, len(axis), len(axis), generator=generator) < 0.4
    places = torch.cartesian_prod(*axes)
    truth = torch.sin(3 * places[:, 1]) * torch.cos(2 * places[:, 2])
    error = torch.full(observed.shape, ratio * covariance.variance, dtype=torch.float64)
    innovation = truth.reshape(observed.shape)
    expected, prior, _ = closed_form(covariance, axes, innovation, observed, error)
    seen = observed.flatten()
    system = prior[seen][:, seen] + torch.diag(error.flatten()[seen])
    lost = (prior[:, seen] * torch.linalg.solve(system, prior[seen]).T).sum(1)
    deviation = (covariance.variance - lost).clamp(min=0).sqrt().reshape(observed.shape)
    result = analyse(innovation, observed, Prior(covariance, axes), error)
    assert float(result.bound) <= 0.01
    # the closed form itself is right to 1e-7 where its matrix has a condition number of 1e10
    assert bool(((result.increment - expected).abs() <= 0.01 * deviation + 1e-6).all())


def test_minimises_the_variational_cost():
    axes, innovation, observed, error = problem(2)
    increment = analyse(innovation, observed, Prior(TWO_SCALES, axes), error).increment
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
    result = analyse(innovation, observed, Prior(Separable((2.0, 1.0, 1.5)), axes), error)
    assert (result.increment - torch.from_numpy(expected)).abs().max() < 1e-8


def test_precise_observations_are_reproduced():
    axes, innovation, observed, _ = problem(4)
    prior = Prior(Separable((0.5, 0.3, 0.3), "matern32"), axes)
    result = analyse(innovation, observed, prior, 1e-9)
    assert (result.increment - innovation)[observed].abs().max() < 1e-7


def test_far_from_observations_nothing_changes():
    axis = torch.arange(20, dtype=torch.float64)
    innovation = torch.full((1, 1, 20), torch.nan)
    innovation[0, 0, 0] = 1.0
    prior = Prior(Separable((1.0, 1.0, 1.0)), (axis[:1], axis[:1], axis))
    increment = analyse(innovation, innovation.isfinite(), prior, 0.1).increment
    assert float(increment[0, 0, 0]) == pytest.approx(1 / 1.1, abs=1e-9)
    assert increment[0, 0, 7:].abs().max() < 1e-12


def test_degrees_of_freedom_for_signal():
    axes, _, observed, _ = problem(5, (3, 4, 4))
    error = torch.full(observed.shape, 0.1, dtype=torch.float64)
    *_, matrix, gain = closed_form(TWO_SCALES, axes, error, observed, error)
    seen = observed.flatten()
    values = torch.linalg.eigvalsh(matrix[seen][:, seen])
    prior = Prior(TWO_SCALES, axes)
    impulses = torch.eye(seen.numel(), dtype=torch.float64)[seen].reshape(-1, *observed.shape)
    responses = analyse(impulses, observed, prior, 0.1).increment
    influence = (responses * impulses).sum()
    assert float(influence) == pytest.approx(float((values / (values + 0.1)).sum()), abs=1e-7)
    assert float(influence) == pytest.approx(float(gain[seen].trace()), abs=1e-7)


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_units_of_any_size(factor, how):
    """A map in other units is the same map, beyond what float32 can hold too."""
    axes, innovation, observed, error = problem(6)
    plain = analyse(innovation, observed, Prior(TWO_SCALES, axes), error).increment
    prior = Prior(TWO_SCALES.scaled(factor**2), axes)
    other = analyse(factor * innovation, observed, prior, factor**2 * error).increment
    torch.testing.assert_close(other / factor, plain, rtol=0, atol=1e-6)


def test_the_batch_never_changes_a_sample(how):
    samples = [problem(seed)[1:] for seed in range(4)]
    axes = problem(0)[0]
    innovation, observed, error = (torch.stack(parts) for parts in zip(*samples, strict=True))
    innovation[1] *= 1e6  # a sample of another size
    observed[2] = False  # and one with nothing in it
    prior = Prior(TWO_SCALES, axes)
    together = analyse(innovation, observed, prior, error)
    assert together.iterations.shape == (4,)
    assert int(together.iterations[2]) == 0
    assert not together.increment[2].any()
    for index in range(4):
        alone = analyse(innovation[index], observed[index], prior, error[index])
        scale = max(float(alone.increment.abs().max()), 1.0)
        assert (together.increment[index] - alone.increment).abs().max() < 1e-4 * scale
    nested = analyse(innovation.reshape(2, 2, 5, 6, 7), observed.reshape(2, 2, 5, 6, 7), prior, 0.1)
    assert nested.increment.shape == (2, 2, 5, 6, 7)


def test_an_unconverged_solve_gives_its_bound(monkeypatch):
    monkeypatch.setattr(gridded, "FEW", 0)
    axes, innovation, observed, error = problem()
    prior = Prior(TWO_SCALES, axes)
    exact, *_ = closed_form(TWO_SCALES, axes, innovation, observed, error)
    bounds = []
    for most in (2, 5, 10):
        result = analyse(innovation, observed, prior, error, max_iterations=most)
        assert int(result.iterations) == most
        bounds.append(float(result.bound))
        assert float((result.increment - exact).abs().max()) <= bounds[-1] * 1.4**0.5
    assert bounds[0] > bounds[1] > bounds[2] > 0.01


def test_what_does_not_converge_is_factorised(monkeypatch):
    monkeypatch.setattr(gridded, "FEW", 0)
    monkeypatch.setattr(gridded, "PATIENCE", 2)
    axes, innovation, observed, error = problem()
    exact, *_ = closed_form(TWO_SCALES, axes, innovation, observed, error)
    result = analyse(innovation, observed, Prior(TWO_SCALES, axes), error)
    assert (float(result.bound), int(result.iterations)) == (0.0, 0)
    assert (result.increment - exact).abs().max() < 1e-9


def test_bad_input_is_refused_with_every_problem():
    axes, innovation, observed, error = problem()
    prior = Prior(TWO_SCALES, axes)
    error = torch.where(observed, -1.0, error)
    with pytest.raises(InputError, match="3 problems"):
        analyse(innovation[:, :, 1:], torch.ones(5, 6, 6, dtype=torch.bool), prior, error[:, :, 1:])
    with pytest.raises(InputError, match="error variance"):
        analyse(innovation, observed, prior, 0.0)
