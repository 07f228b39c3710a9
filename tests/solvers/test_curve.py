"""The way down: the costs of theory, and no gap where samples have converged."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import StateObservationTerm, from_states
from xr4dvar.cost.cost import Cost
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics.integrators import trajectory
from xr4dvar.solvers import (
    LBFGS,
    Adam,
    GaussNewtonCG,
    GradientDescent,
    Shooting,
    cost_curve,
    minimise,
)

SOLVERS = {
    "gradient": GradientDescent(0.1),
    "momentum": GradientDescent(0.1, momentum=0.5),
    "adam": Adam(0.1),
    "lbfgs": LBFGS(),
    "newton": GaussNewtonCG(),
}


def test_it_is_the_curve_of_theory(quadratic, batch, curvature, analysis):
    solver = SOLVERS["gradient"]
    _, costs, norms, terms = cost_curve(quadratic, solver, batch, 5)
    torch.testing.assert_close(terms.sum(-1), costs)
    least = quadratic(analysis, batch).detach()
    for n in range(6):
        away = (1 - 0.1 * curvature) ** n * analysis
        expected = least + 0.5 * (curvature * away**2).flatten(1).sum(1)
        torch.testing.assert_close(costs[n], expected, rtol=1e-5, atol=0)
        gradient = (curvature * away).flatten(1).norm(dim=1)
        torch.testing.assert_close(norms[n], gradient, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", SOLVERS)
def test_it_ends_where_the_loop_ends(quadratic, batch, name):
    batch.y[1] = 0  # this sample is at its minimum from the start
    start = SOLVERS[name].init(quadratic, batch)
    curve = cost_curve(quadratic, SOLVERS[name], batch, 40, start=start)
    expected = minimise(quadratic, SOLVERS[name], batch, 40, start=start).x
    torch.testing.assert_close(curve.x, expected, rtol=1e-10, atol=1e-12)
    assert curve.costs.shape == curve.gradient_norms.shape == (41, 3)
    assert curve.costs.dtype == torch.float64
    assert torch.isfinite(curve.costs).all()
    torch.testing.assert_close(curve.costs[-1], quadratic(curve.x, batch).detach())
    assert (curve.costs[:, 1] == 0).all()
    assert (curve.gradient_norms[:, 1] == 0).all()


@pytest.mark.parametrize("name", ["lbfgs", "newton"])
def test_a_sample_that_has_converged_keeps_its_last_values(quadratic, batch, name):
    batch.y[0] *= 1e3
    for values in cost_curve(quadratic, SOLVERS[name], batch, 60)[1:]:
        still = (values[1:] == values[:-1]).flatten(1).all(1)
        assert still[-1]
        first = int(still.long().argmax())
        assert still[first:].all(), "once still, it stays so"


def test_single_precision_is_noted_in_double(quadratic, batch):
    single = Batch(batch.y.float(), batch.weight.float())
    curve = cost_curve(quadratic.float(), SOLVERS["lbfgs"], single, 3)
    assert curve.x.dtype == torch.float32
    assert curve.costs.dtype == curve.gradient_norms.dtype == torch.float64


def test_a_way_that_leads_nowhere_has_infinite_cost_not_none(batch):
    class Steep(nn.Module):
        def forward(self, x, batch):
            return ((x - 1) ** 4).flatten(1).sum(1)

    curve = cost_curve(Cost([Steep()]), GradientDescent(10.0), batch, 12)
    assert not curve.costs.isnan().any()
    assert not curve.gradient_norms.isnan().any()
    assert curve.costs[-1].isinf().all()


def test_where_the_first_state_is_looked_for_the_gradient_is_by_it():
    def step(x):
        return torch.stack([x[..., 0] + 0.1 * x[..., 1], x[..., 1] - 0.1 * x[..., 0] ** 3], -1)

    def cost_of(first):
        return cost(from_states(trajectory(step, first, 5), batch.y), batch)

    generator = torch.Generator().manual_seed(0)
    y = torch.randn(2, 2, 5, 1, 1, generator=generator, dtype=torch.float64)
    batch = Batch(y, torch.ones_like(y))
    cost = Cost([StateObservationTerm(CovarianceMatrix(0.3, 2))])
    first = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(cost_of(first).sum(), first)
    x = from_states(trajectory(step, first.detach(), 5), y)
    solver = Shooting(step)
    torch.testing.assert_close(solver.gradient(cost, batch, x), expected)
    curve = cost_curve(cost, solver, batch, 50, start=solver.init(cost, batch, x))
    torch.testing.assert_close(curve.gradient_norms[0], expected.norm(dim=1))
    assert (curve.gradient_norms[-1] < 1e-3 * curve.gradient_norms[0]).all()
