"""L-BFGS: to minima known in closed form and to those of scipy, window by window."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost, ObservationTerm, PriorTerm, Variance
from xr4dvar.errors import InputError
from xr4dvar.solvers import LBFGS, minimise


class Rosenbrock(nn.Module):
    """``sum (1 - a)^2 + 100 (b - a^2)^2`` of neighbours in x; no sum of squares over variances."""

    def forward(self, x, batch):
        a, b = x[..., :-1], x[..., 1:]
        return ((1 - a) ** 2 + 100 * (b - a**2) ** 2).flatten(1).sum(1)


class Bend(nn.Module):
    """``Phi(x) = x + sin(2 x) / 2 - the neighbour / 3``."""

    def forward(self, x, context):
        return x + torch.sin(2 * x) / 2 - x.roll(1, -1) / 3


@pytest.fixture
def valley() -> tuple[Cost, Batch, torch.Tensor]:
    """Six starts of different distance to the minimum at 1."""
    generator = torch.Generator().manual_seed(3)
    x = torch.linspace(0.1, 3, 6).view(6, 1, 1, 1, 1).double()
    x = x * torch.randn(6, 1, 1, 1, 4, generator=generator, dtype=torch.float64)
    return Cost([Rosenbrock()]), Batch.from_gappy(torch.full_like(x, torch.nan)), x


@pytest.fixture
def bent(batch) -> Cost:
    return Cost([ObservationTerm(Variance(0.5)), PriorTerm(Bend(), Variance(0.3))]).double()


def solve(cost, batch, x=None, solver=None, steps=500):
    solver = solver or LBFGS(tolerance=1e-14)
    return minimise(cost, solver, batch, steps, start=solver.init(cost, batch, x))


def test_it_reaches_the_analysis_of_independent_cells(quadratic, batch, analysis):
    state = solve(quadratic, batch)
    torch.testing.assert_close(state.x, analysis, rtol=1e-6, atol=1e-6)
    assert state.converged.all()
    assert state.step < 40


def test_it_needs_no_more_steps_than_there_are_curvatures(quadratic, batch, curvature):
    """On a quadratic cost the directions are conjugate, if each step were exactly searched."""
    state = solve(quadratic, batch, solver=LBFGS(tolerance=1e-6))
    assert state.step <= 4 * len(curvature.unique())


def test_it_follows_a_bent_valley_to_its_end(valley):
    cost, batch, x = valley
    state = solve(cost, batch, x)
    assert state.converged.all()
    # four cells have a second, local minimum near a = -1
    at_end = state.memory.here.cost < 1e-12
    torch.testing.assert_close(state.x[at_end], torch.ones_like(state.x[at_end]), atol=1e-5, rtol=0)
    assert at_end.sum() >= 4
    assert (state.memory.here.gradient.flatten(1).norm(dim=1) < 1e-5).all()


def peer(cost, batch, x):
    """Scipy's minimum of one sample."""

    def value(flat):
        u, gradient = cost.value_and_gradient(torch.from_numpy(flat).view_as(x), batch)
        return u.item(), gradient.numpy().ravel()

    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000}
    found = minimize(value, x.numpy().ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.fun, torch.from_numpy(found.x).view_as(x)


def test_it_ends_where_scipy_ends(bent, batch):
    state = solve(bent, batch, batch.y)
    for n in range(len(batch.y)):
        value, x = peer(bent, batch.take(torch.tensor([n])), batch.y[n : n + 1])
        torch.testing.assert_close(state.x[n], x[0], rtol=1e-5, atol=1e-5)
        assert state.memory.here.cost[n].item() == pytest.approx(value, rel=1e-9)


def test_the_cost_of_no_sample_ever_rises(valley):
    cost, batch, x = valley
    solver = LBFGS()
    state = solver.init(cost, batch, x)
    for _ in range(30):
        before = state
        state = solver.step(cost, batch, state)
        assert (cost(state.x, batch) <= cost(before.x, batch)).all()
        torch.testing.assert_close(state.memory.here.cost, cost(state.x, batch))


@pytest.mark.parametrize("steps", [3, 12, 500])
def test_a_window_does_not_see_the_others(valley, steps):
    """Also where some have converged, and the loop goes on with the others."""
    cost, batch, x = valley
    together = solve(cost, batch, x, LBFGS(history=4), steps)
    for n in range(len(x)):
        one = torch.tensor([n])
        alone = solve(cost, batch.take(one), x[one], LBFGS(history=4), steps)
        torch.testing.assert_close(together.x[n], alone.x[0], rtol=1e-12, atol=1e-12)
        assert together.converged[n] == alone.converged[0]


def test_going_on_is_the_same_as_not_having_stopped(valley):
    cost, batch, x = valley
    solver = LBFGS(history=4)
    once = solve(cost, batch, x, solver, 30)
    half = solve(cost, batch, x, solver, 12)
    twice = minimise(cost, solver, batch, 18, start=half)
    torch.testing.assert_close(twice.x, once.x, rtol=1e-12, atol=1e-12)


def test_an_estimate_that_is_the_minimum_stays():
    batch = Batch.from_gappy(torch.ones(2, 1, 1, 1, 3, dtype=torch.float64))
    cost = Cost([ObservationTerm(Variance(1.0))]).double()
    state = solve(cost, batch, batch.y.clone(), steps=5)
    assert torch.equal(state.x, batch.y)
    assert state.converged.all()


def test_costs_that_are_no_numbers_are_never_taken():
    class Walled(nn.Module):
        """Least at 2; no number beyond 3, where a step along the whole first gradient leads."""

        def forward(self, x, batch):
            u = 50 * (x - 2) ** 2 + 1e4
            return torch.where(x > 3, torch.nan, u).flatten(1).sum(1)

    batch = Batch.from_gappy(torch.full((1, 1, 1, 1, 1), torch.nan, dtype=torch.float64))
    assert solve(Cost([Walled()]), batch).x.item() == pytest.approx(2.0, abs=1e-5)


def test_its_error_is_shared(quadratic, batch):
    with pytest.raises(InputError, match=r"history is 0.*\n.*tolerance is nan"):
        LBFGS(0, np.nan)
    with pytest.raises(InputError, match="LBFGS cannot be differentiated through"):
        minimise(quadratic, LBFGS(), batch, 1, differentiable=True)
