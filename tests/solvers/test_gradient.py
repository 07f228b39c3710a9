"""Gradient descent: to the analytic analysis, downhill, step by step as the theory says."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.cost.cost import Cost, ObservationTerm, Variance
from xr4dvar.errors import InputError
from xr4dvar.solvers import GradientDescent, minimise
from xr4dvar.solvers.gradient import LearnedDescent


def descent(step_size, **options):
    return GradientDescent(step_size, **options)


def test_it_reaches_the_analysis_of_independent_cells(quadratic, batch, analysis):
    x = minimise(quadratic, descent(0.2), batch, steps=400).x
    torch.testing.assert_close(x, analysis)
    assert analysis.abs().max() > 1, "a test that zero would pass is none"


@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_every_step_is_the_one_of_theory(quadratic, batch, curvature, analysis, steps):
    state = minimise(quadratic, descent(0.15), batch, steps=steps)
    # x_n = (1 - (1 - s U'')^n) x*
    expected = (1 - (1 - 0.15 * curvature) ** steps) * analysis
    torch.testing.assert_close(state.x, expected, rtol=1e-6, atol=1e-7)  # R, B are float32
    assert state.step == steps


def test_the_cost_of_every_sample_falls_at_every_step(quadratic, batch):
    costs = [
        quadratic(minimise(quadratic, descent(0.2), batch, steps).x, batch) for steps in range(10)
    ]
    falls = torch.stack(costs).diff(dim=0)
    assert (falls < 0).all()


def test_the_gradient_of_the_descent_is_right(quadratic, batch, curvature, analysis):
    solver = LearnedDescent(0.15).double()
    x = minimise(quadratic, solver, batch, steps=4, differentiable=True).x
    (found,) = torch.autograd.grad(x.sum(), solver.log_step)
    # d/d(log s) of (1 - (1 - s U'')^4) x*
    expected = 4 * (1 - 0.15 * curvature) ** 3 * 0.15 * curvature * analysis
    torch.testing.assert_close(found, expected.sum(), rtol=1e-5, atol=0)


def test_variances_can_be_learned_through_the_descent(quadratic, batch):
    logs = [term.variance.log for term in quadratic.terms]

    def solve(*values):
        for parameter, value in zip(logs, values, strict=True):
            parameter.data = value.detach()
        x = minimise(quadratic, descent(0.15), batch, steps=3, differentiable=True).x
        return x.square().sum()

    values = [p.detach().clone() for p in logs]
    found = torch.autograd.grad(solve(*values), logs)
    for which in range(2):
        shift = [torch.zeros_like(v) for v in values]
        shift[which] += 1e-5
        ends = [
            solve(*(v + sign * s for v, s in zip(values, shift, strict=True))) for sign in (1, -1)
        ]
        torch.testing.assert_close(found[which].sum(), (ends[0] - ends[1]).detach() / 2e-5)


def test_a_learned_step_is_at_first_the_one_given(quadratic, batch):
    learned = LearnedDescent(0.15).double()
    assert learned.log_step.requires_grad
    found = minimise(quadratic, learned, batch, steps=3).x
    expected = minimise(quadratic, GradientDescent(0.15), batch, steps=3).x
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)  # its logarithm is a float32


def test_a_step_that_is_not_given_is_safe(quadratic, batch):
    open_step = GradientDescent(momentum=0.5)
    assert open_step.for_curvature(2.0) == GradientDescent(0.2, momentum=0.5)
    assert GradientDescent(0.7).for_curvature(2.0) == GradientDescent(0.7)
    with pytest.raises(InputError, match="GradientDescent has no step_size"):
        minimise(quadratic, open_step, batch, steps=1)


@pytest.mark.parametrize("step_size", [0.0, -0.1, float("nan"), float("inf")])
def test_steps_that_lead_nowhere(step_size):
    with pytest.raises(InputError, match=r"step_size is .*; fix: use a number above 0"):
        GradientDescent(step_size)


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_every_step_with_momentum_is_that_of_torch(quadratic, batch, momentum):
    x = torch.ones_like(batch.y, requires_grad=True)
    peer = torch.optim.SGD([x], lr=0.1, momentum=momentum)
    solver = descent(0.1, momentum=momentum)
    state = solver.init(quadratic, batch, torch.ones_like(batch.y))
    for _ in range(20):
        peer.zero_grad()
        quadratic(x, batch).sum().backward()
        peer.step()
        state = minimise(quadratic, solver, batch, 1, start=state)
        torch.testing.assert_close(state.x, x.detach(), rtol=1e-6, atol=1e-6)


def test_momentum_can_be_learned_through(quadratic, batch):
    """The gradient by R, against finite differences."""
    solver = descent(0.15, momentum=0.5)

    def solve(shift=0.0):
        variance = Variance(1.5, learned=True, dtype=torch.float64)
        variance.log.data += shift
        cost = Cost([ObservationTerm(variance), *quadratic.terms[1:]])
        x = minimise(cost, solver, batch, steps=4, differentiable=True).x
        return x.square().sum(), variance.log

    (found,) = torch.autograd.grad(*solve())
    slope = (solve(1e-5)[0] - solve(-1e-5)[0]).detach() / 2e-5
    torch.testing.assert_close(found.sum(), slope)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_momentum_that_never_ends(momentum):
    with pytest.raises(InputError, match=r"momentum is .*; fix: give a share from 0"):
        GradientDescent(0.1, momentum=momentum)
