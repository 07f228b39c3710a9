"""Gauss-Newton without a matrix: right derivatives, right minima, any prior."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import InitialStateTerm, ModelErrorTerm, StateObservationTerm
from xr4dvar.cost.cost import Cost, ObservationTerm, PriorTerm, Variance
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics import Flow, Lorenz63Tendency, trajectory
from xr4dvar.errors import InputError
from xr4dvar.solvers import LBFGS, GaussNewton, GaussNewtonCG, minimise
from xr4dvar.solvers.newton_cg import derivatives, residuals

FULL = torch.tensor([[0.5, 0.1, 0.0], [0.1, 0.3, 0.1], [0.0, 0.1, 0.4]], dtype=torch.float64)


@pytest.fixture(scope="module")
def lorenz():
    """Four windows of Lorenz-63 of 24 times, seen in part with errors that depend on each other."""
    model = Flow(Lorenz63Tendency(), 0.02)
    generator = torch.Generator().manual_seed(1)
    first = torch.tensor([0.0, 0.0, 25.0]) + 8 * torch.randn(4, 3, generator=generator)
    truth = trajectory(model, trajectory(model, first.double(), 300)[:, -1], 24).detach()
    seen = torch.rand(truth.shape, generator=generator) < 0.4
    noisy = truth + 0.5 * torch.randn(truth.shape, generator=generator)
    batch = Batch.from_gappy(torch.where(seen, noisy, torch.nan)[:, None, ..., None])
    cost = Cost(
        [
            StateObservationTerm(CovarianceMatrix(FULL.numpy(), 3)),
            InitialStateTerm(torch.tensor([0.0, 0.0, 23.5]), CovarianceMatrix(70.0, 3)),
            ModelErrorTerm(model, CovarianceMatrix(0.1, 3)),
        ]
    )
    return cost, batch, (truth + 1.0)[:, None, ..., None]


class Network(nn.Module):
    """A small network without kinks, so that the gradient vanishes at a minimum."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 4, 3, padding=1)
        )

    def forward(self, x, context):
        return self.layers(x.flatten(1, 2)).view_as(x)


@pytest.fixture
def learned(batch):
    torch.manual_seed(0)
    terms = [ObservationTerm(Variance(0.5)), PriorTerm(Network(), Variance(1.0, learned=True))]
    return Cost(terms).double(), batch


def solve(cost, batch, x=None, steps=50, **options):
    solver = GaussNewtonCG(**options)
    return minimise(cost, solver, batch, steps, start=solver.init(cost, batch, x))


@pytest.mark.parametrize("name", ["lorenz", "learned"])
def test_half_the_squares_of_the_residuals_are_the_cost(name, request):
    cost, batch, *_ = request.getfixturevalue(name)
    x = torch.randn(batch.y.shape, dtype=torch.float64)
    found = 0.5 * residuals(cost, batch)(x).square().sum(1)
    torch.testing.assert_close(found, cost(x, batch))


@pytest.mark.parametrize("name", ["lorenz", "learned"])
def test_the_two_derivatives_are_adjoint_and_give_the_gradient(name, request):
    cost, batch, *_ = request.getfixturevalue(name)
    f = residuals(cost, batch)
    x, v = torch.randn(2, *batch.y.shape, dtype=torch.float64)
    here, forward, adjoint = derivatives(f, x)
    u = torch.randn_like(here)
    torch.testing.assert_close((forward(v) * u).sum(), (v * adjoint(u)).sum())
    slope = (f(x + 1e-6 * v) - f(x - 1e-6 * v)).detach() / 2e-6
    torch.testing.assert_close(forward(v), slope, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(adjoint(here), cost.value_and_gradient(x, batch)[1])


def test_one_step_solves_a_quadratic_cost(quadratic, batch, analysis):
    state = solve(quadratic, batch, steps=1, damping=1e-12, accuracy=1e-10)
    torch.testing.assert_close(state.x, analysis, rtol=1e-8, atol=1e-8)


def test_it_ends_where_exact_algebra_along_time_ends(lorenz):
    cost, batch, x = lorenz
    exact = GaussNewton(tolerance=1e-12)
    expected = minimise(cost, exact, batch, 50, start=exact.init(cost, batch, x))
    state = solve(cost, batch, x, tolerance=1e-12)
    assert state.converged.all()
    torch.testing.assert_close(state.x, expected.x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(state.memory.cost, expected.memory.cost, rtol=1e-9, atol=0)


def test_it_minimises_with_a_prior_that_is_a_network(learned):
    cost, batch = learned
    state = solve(cost, batch, tolerance=1e-12)
    assert state.converged.all()
    _, first = cost.value_and_gradient(torch.zeros_like(batch.y), batch)
    _, last = cost.value_and_gradient(state.x, batch)
    assert last.norm() < 1e-5 * first.norm()
    other = minimise(cost, LBFGS(tolerance=1e-14), batch, 500)
    torch.testing.assert_close(state.x, other.x, rtol=1e-4, atol=1e-4)
    assert not state.x.requires_grad


@pytest.mark.parametrize("steps", [2, 50])
def test_a_window_does_not_see_the_others(lorenz, steps):
    cost, batch, x = lorenz
    together = solve(cost, batch, x, steps)
    for n in range(len(x)):
        one = torch.tensor([n])
        alone = solve(cost, batch.take(one), x[one], steps)
        torch.testing.assert_close(alone.x[0], together.x[n], rtol=1e-8, atol=1e-8)


def test_units_do_not_matter(lorenz):
    """Damping is a share of a curvature: the same cost of a state in other units."""
    cost, batch, x = lorenz

    class InOtherUnits(nn.Module):
        def __init__(self, term):
            super().__init__()
            self.term = term

        def residuals(self, x, batch):
            return self.term.residuals(x / 100, batch)

        def forward(self, x, batch):
            return self.term(x / 100, batch)

    scaled = Cost([InOtherUnits(term) for term in cost.terms])
    found = solve(scaled, batch, 100 * x, steps=3).x / 100
    torch.testing.assert_close(found, solve(cost, batch, x, steps=3).x, rtol=1e-6, atol=1e-6)


def test_terms_that_are_no_squares_are_named(batch):
    class Absolute(nn.Module):
        def forward(self, x, batch):
            return x.abs().flatten(1).sum(1)

    cost = Cost([Absolute(), ObservationTerm(Variance(1.0))]).double()
    fix = "Absolute has no residuals; fix: use another solver, such as LBFGS"
    with pytest.raises(InputError, match=fix):
        minimise(cost, GaussNewtonCG(), batch, 1)


def test_its_errors_are_shared(quadratic, batch):
    with pytest.raises(InputError, match="4 problems") as error:
        GaussNewtonCG(float("nan"), 0.0, 0, 1.0)
    assert [what.split()[0] for what, _ in error.value.problems] == [
        "tolerance",
        "damping",
        "iterations",
        "accuracy",
    ]
    with pytest.raises(InputError, match="GaussNewtonCG cannot be differentiated through"):
        minimise(quadratic, GaussNewtonCG(), batch, 1, differentiable=True)
