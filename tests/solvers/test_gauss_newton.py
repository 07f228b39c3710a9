"""Gauss-Newton along time: the Kalman smoother if the model is linear, a minimum if not."""

from __future__ import annotations

import math

import pytest
import torch

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import InitialStateTerm, ModelErrorTerm, StateObservationTerm, to_states
from xr4dvar.cost.cost import Cost
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics import Flow, Lorenz63Tendency, trajectory
from xr4dvar.errors import InputError
from xr4dvar.solvers import minimise
from xr4dvar.solvers.gauss_newton import GaussNewton
from xr4dvar.solvers.shooting import Shooting, sensitivities

MODEL = torch.tensor([[0.9, 0.2, 0.0], [-0.2, 0.9, 0.1], [0.0, 0.0, 1.02]], dtype=torch.float64)
MEAN = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
B, Q, R = torch.eye(3, dtype=torch.float64), 0.1 * torch.eye(3, dtype=torch.float64), 0.5


def covariance(matrix):
    return CovarianceMatrix(matrix.numpy(), 3)


def linear_step(states):
    return states @ MODEL.T


def observe(truth, share, noise, seed=0):
    """Batch with a share of the components of all states (B, T, n) seen."""
    generator = torch.Generator().manual_seed(seed)
    noise = noise**0.5 * torch.randn(truth.shape, generator=generator, dtype=truth.dtype)
    seen = torch.rand(truth.shape, generator=generator) < share
    return Batch.from_gappy(torch.where(seen, truth + noise, torch.nan)[:, None, ..., None])


def kalman_smoother(batch):
    """Means and covariances by the textbook recursions of Kalman and of Rauch, Tung, Striebel."""
    y, weight = (to_states(v)[0] for v in (batch.y, batch.weight))
    mean, cov, filtered = MEAN, B, []
    for t in range(len(y)):
        if t:
            mean, cov = MODEL @ mean, MODEL @ cov @ MODEL.T + Q
        forecast = mean, cov
        for i in torch.nonzero(weight[t]).flatten():
            gain = cov[:, i] / (cov[i, i] + R)
            mean = mean + gain * (y[t, i] - mean[i])
            cov = cov - gain[:, None] * cov[i]
        filtered.append((mean, cov, forecast))
    smooth = [filtered[-1][:2]]
    for t in range(len(y) - 2, -1, -1):
        mean, cov, _ = filtered[t]
        ahead_mean, ahead_cov = filtered[t + 1][2]
        gain = cov @ MODEL.T @ torch.linalg.inv(ahead_cov)
        later_mean, later_cov = smooth[-1]
        smooth.append(
            (
                mean + gain @ (later_mean - ahead_mean),
                cov + gain @ (later_cov - ahead_cov) @ gain.T,
            )
        )
    means, covs = zip(*smooth[::-1], strict=True)
    return torch.stack(means), torch.stack(covs)


def test_one_step_is_the_kalman_smoother_of_a_linear_model():
    truth = trajectory(linear_step, torch.randn(1, 3, dtype=torch.float64), 12)
    batch = observe(truth, 0.4, R)
    cost = Cost(
        [
            StateObservationTerm(CovarianceMatrix(R, 3)),
            ModelErrorTerm(linear_step, covariance(Q)),
            InitialStateTerm(MEAN, covariance(B)),
        ]
    )
    state = minimise(cost, GaussNewton(damping=1e-12), batch, steps=1)
    mean, cov = kalman_smoother(batch)
    torch.testing.assert_close(to_states(state.x)[0], mean, rtol=1e-8, atol=1e-8)
    found = GaussNewton().covariances(cost, batch, state.x)
    torch.testing.assert_close(found[0], cov, rtol=1e-8, atol=1e-8)


@pytest.fixture(scope="module")
def lorenz():
    """Six windows of Lorenz-63 seen in part, their truth, and what is known beforehand."""
    model = Flow(Lorenz63Tendency(), 0.01)
    generator = torch.Generator().manual_seed(1)
    first = torch.tensor([0.0, 0.0, 25.0]) + 8 * torch.randn(6, 3, generator=generator)
    truth = trajectory(model, trajectory(model, first.double(), 1000)[:, -1], 60).detach()
    every = torch.zeros(60, 1, dtype=torch.bool)
    every[5::6] = True
    noisy = truth + 0.5 * torch.randn(truth.shape, generator=generator)
    batch = Batch.from_gappy(torch.where(every, noisy, torch.nan)[:, None, ..., None])
    climate = InitialStateTerm(torch.tensor([0.0, 0.0, 23.5]), CovarianceMatrix(70.0, 3))
    return model, truth, batch, [StateObservationTerm(CovarianceMatrix(0.25, 3)), climate]


def perturbed(truth, size=1.0):
    return truth[:, None, ..., None] + size * torch.cos(torch.arange(60.0))[:, None, None]


def gradient_norm(cost, x, batch):
    return torch.stack(cost.gradients(x, batch)).sum(0).flatten(1).norm(dim=1)


def test_weak_constraint_ends_at_a_minimum(lorenz):
    model, truth, batch, terms = lorenz
    cost = Cost([*terms, ModelErrorTerm(model, CovarianceMatrix(1e-3, 3))])
    solver = GaussNewton(tolerance=1e-12)
    start = solver.init(cost, batch, perturbed(truth))
    state = minimise(cost, solver, batch, 60, start=start)
    assert state.converged.all()
    assert (state.memory.cost < start.memory.cost).all()
    torch.testing.assert_close(state.memory.cost, cost(state.x, batch).detach())
    shrunk = gradient_norm(cost, state.x, batch) / gradient_norm(cost, start.x, batch)
    assert (shrunk < 1e-5).all()


def test_strong_constraint_is_a_trajectory_and_a_minimum_in_the_first_state(lorenz):
    model, truth, batch, terms = lorenz
    cost = Cost(terms)
    solver = Shooting(model, tolerance=1e-12)
    start = solver.init(cost, batch, perturbed(truth))
    state = minimise(cost, solver, batch, 60, start=start)
    assert state.converged.all()
    states = to_states(state.x)
    torch.testing.assert_close(states, trajectory(model, states[:, 0], 60).detach())

    def gradient(first):
        first = first.clone().requires_grad_()
        x = trajectory(model, first, 60)[:, None, ..., None]
        return torch.autograd.grad(cost(x, batch).sum(), first)[0].norm(dim=1)

    start_states = to_states(start.x)[:, 0]
    assert (gradient(states[:, 0]) < 1e-5 * gradient(start_states)).all()
    error = (states - truth).square().mean()
    assert error < 0.25 / 3  # many observations of one trajectory: far below their own noise


def test_weak_constraint_goes_over_into_the_strong_one(lorenz):
    """As the variance of the model error goes to zero, and in proportion to it."""
    model, truth, batch, terms = lorenz

    def analysis(solver, cost):
        start = solver.init(cost, batch, truth[:, None, ..., None])
        return minimise(cost, solver, batch, 100, start=start).x

    strong = analysis(Shooting(model, 1e-14), Cost(terms))
    away = []
    for q in (1e-4, 1e-6):
        cost = Cost([*terms, ModelErrorTerm(model, CovarianceMatrix(q, 3))])
        away.append(float((analysis(GaussNewton(1e-14), cost) - strong).abs().max()))
    assert away[0] < 0.05
    assert away[0] / away[1] == pytest.approx(100, rel=0.2)


def test_errors_of_the_strong_constraint_are_those_of_a_model_of_hardly_any_error(lorenz):
    model, truth, batch, terms = lorenz
    weak = Cost([*terms, ModelErrorTerm(model, CovarianceMatrix(1e-7, 3))])
    x = truth[:, None, ..., None]
    strong = Shooting(model).covariances(Cost(terms), batch, x)
    torch.testing.assert_close(
        GaussNewton().covariances(weak, batch, x), strong, rtol=0.01, atol=1e-4
    )
    assert (strong.diagonal(dim1=-2, dim2=-1) > 0).all()


def test_curvature_of_a_model_of_hardly_any_error_is_that_in_the_first_state(lorenz):
    """Each further state adds what Q knows of it, and no more."""
    model, truth, batch, terms = lorenz
    q, x = 1e-8, truth[:, None, ..., None]
    weak = Cost([*terms, ModelErrorTerm(model, CovarianceMatrix(q, 3))])
    found = GaussNewton().log_determinant(weak, batch, x) + 59 * 3 * math.log(q)
    strong = Shooting(model).log_determinant(Cost(terms), batch, x)
    torch.testing.assert_close(found, strong, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["weak", "strong"])
def test_a_window_does_not_see_the_others(lorenz, kind):
    model, truth, batch, terms = lorenz
    cost = Cost(terms)
    solver = Shooting(model)
    if kind == "weak":
        cost, solver = (
            Cost([*terms, ModelErrorTerm(model, CovarianceMatrix(1e-3, 3))]),
            GaussNewton(),
        )
    together = minimise(cost, solver, batch, 30, start=solver.init(cost, batch, perturbed(truth)))
    for n in range(2):
        one = Batch(batch.y[n : n + 1], batch.weight[n : n + 1])
        start = solver.init(cost, one, perturbed(truth)[n : n + 1])
        alone = minimise(cost, solver, one, 30, start=start)
        torch.testing.assert_close(alone.x[0], together.x[n], rtol=1e-6, atol=1e-6)


def test_sensitivities_are_finite_differences(lorenz):
    model, truth, _, _ = lorenz
    found = sensitivities(model, truth[:2])
    small = 1e-6
    for i in range(3):
        shift = small * torch.eye(3, dtype=torch.float64)[i]
        ends = [trajectory(model, truth[:2, 0] + s * shift, 60) for s in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * small)
        torch.testing.assert_close(found[..., i], slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("solver", [GaussNewton(), Shooting(linear_step)])
def test_no_graph_goes_through(lorenz, solver):
    _, _, batch, terms = lorenz
    with pytest.raises(InputError, match="cannot be differentiated through"):
        minimise(Cost(terms), solver, batch, 1, differentiable=True)


def test_windows_that_have_converged_are_left_alone(lorenz, monkeypatch):
    """What is left gets smaller, and ends where it would have ended among all."""
    model, truth, batch, terms = lorenz
    cost = Cost(terms)
    solver = Shooting(model, tolerance=1e-10)
    x = perturbed(truth, torch.tensor([0.0, 0.0, 0.0, 0.0, 9.0, 9.0]).view(6, 1, 1, 1, 1))
    sizes = []
    step = Shooting.step

    def counted(self, cost, batch, state, **options):
        sizes.append(len(state.x))
        return step(self, cost, batch, state, **options)

    monkeypatch.setattr(Shooting, "step", counted)
    state = minimise(cost, solver, batch, 100, start=solver.init(cost, batch, x))
    assert sizes[0] == 6
    assert sizes[-1] < 6
    assert sorted(sizes, reverse=True) == sizes
    assert state.converged.all()
    for n in range(6):
        one = batch.take(torch.tensor([n]))
        alone = minimise(cost, solver, one, 100, start=solver.init(cost, one, x[n : n + 1]))
        torch.testing.assert_close(state.x[n], alone.x[0])
