"""Gradient descent: to the analytic analysis, downhill, step by step as the theory says."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.errors import InputError
from xr4dvar.solvers import GradientDescent, minimise


def descent(step_size, **options):
    return GradientDescent(step_size, **options).double()


def test_it_reaches_the_analysis_of_independent_cells(quadratic, batch, analysis):
    x = minimise(quadratic, descent(0.2), batch, steps=400).x
    torch.testing.assert_close(x, analysis)
    assert analysis.abs().max() > 1, "a test that zero would pass is none"


@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_every_step_is_the_one_of_theory(quadratic, batch, curvature, analysis, steps):
    state = minimise(quadratic, descent(0.15), batch, steps=steps)
    # x_n = (1 - (1 - s U'')^n) x*
    expected = (1 - (1 - 0.15 * curvature) ** steps) * analysis
    torch.testing.assert_close(state.x, expected, rtol=1e-6, atol=1e-7)  # R, B, s are float32
    assert state.step == steps


def test_the_cost_of_every_sample_falls_at_every_step(quadratic, batch):
    costs = [
        quadratic(minimise(quadratic, descent(0.2), batch, steps).x, batch) for steps in range(10)
    ]
    falls = torch.stack(costs).diff(dim=0)
    assert (falls < 0).all()


def test_the_gradient_of_the_descent_is_right(quadratic, batch, curvature, analysis):
    solver = descent(0.15, learned=True)
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


def test_only_a_learned_step_learns():
    assert GradientDescent(0.1, learned=True).log_step.requires_grad
    assert not GradientDescent(0.1).log_step.requires_grad


@pytest.mark.parametrize("step_size", [0.0, -0.1, float("nan"), float("inf")])
def test_steps_that_lead_nowhere(step_size):
    with pytest.raises(InputError, match=r"step_size is .*; fix: give a positive step"):
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
        torch.testing.assert_close(state.x, x.detach(), rtol=1e-6, atol=1e-6)  # s is a float32


def test_momentum_can_be_learned_through(quadratic, batch):
    """The gradient by the step, against finite differences."""

    def solve(shift=0.0):
        solver = descent(0.15, momentum=0.5, learned=True)
        solver.log_step.data += shift
        x = minimise(quadratic, solver, batch, steps=4, differentiable=True).x
        return x.square().sum(), solver.log_step

    (found,) = torch.autograd.grad(*solve())
    slope = (solve(1e-5)[0] - solve(-1e-5)[0]).detach() / 2e-5
    torch.testing.assert_close(found, slope)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_momentum_that_never_ends(momentum):
    with pytest.raises(InputError, match=r"momentum is .*; fix: give a share from 0"):
        GradientDescent(0.1, momentum=momentum)
