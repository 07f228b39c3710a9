"""Steps have their order, flows are reversible networks of shared weights, shapes are free."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import solve_ivp

from xr4dvar.dynamics import SCHEMES, Flow, Lorenz63Tendency, Lorenz96Tendency, trajectory


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("rk4", 4)])
def test_the_error_falls_with_the_order_of_the_scheme(scheme, order):
    """Of a pendulum, whose exact solution has no closed form in the scheme."""
    x0 = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def rotation(x):
        return torch.stack([x[..., 1], -x[..., 0]], -1)

    exact = torch.tensor([math.cos(1.0), -math.sin(1.0)], dtype=torch.float64)
    errors = [
        float((Flow(rotation, 1.0, scheme, substeps)(x0) - exact).norm()) for substeps in (16, 32)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("tendency", [Lorenz63Tendency(), Lorenz96Tendency()])
def test_a_trajectory_is_that_of_an_adaptive_integrator(tendency):
    n = 3 if isinstance(tendency, Lorenz63Tendency) else 12
    x0 = 5 * torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def f(t, x):
        with torch.no_grad():
            return tendency(torch.from_numpy(x)).numpy()

    found = trajectory(Flow(tendency, 0.01, substeps=10), x0, 101)
    exact = solve_ivp(f, (0, 1), x0.numpy(), "DOP853", rtol=1e-11, atol=1e-11, t_eval=[0.0, 1.0])
    torch.testing.assert_close(found[[0, -1]].detach(), torch.from_numpy(exact.y.T.copy()))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_leading_dimensions_and_precision_are_kept(scheme, dtype):
    x = torch.randn(4, 2, 3, dtype=dtype)
    flow = Flow(Lorenz63Tendency(), 0.01, scheme)
    whole = trajectory(flow, x, 5)
    assert whole.shape == (4, 2, 5, 3)
    assert whole.dtype == dtype
    torch.testing.assert_close(whole[2, 1], trajectory(flow, x[2, 1], 5))


def test_parameters_of_the_tendency_are_those_of_the_flow():
    flow = Flow(Lorenz63Tendency(learned=True), 0.01, substeps=3)
    assert {name for name, p in flow.named_parameters() if p.requires_grad} == {
        "tendency.sigma",
        "tendency.rho",
        "tendency.beta",
    }
    assert not any(p.requires_grad for p in Flow(Lorenz63Tendency(), 0.01).parameters())
    x = torch.tensor([1.0, 2.0, 20.0], dtype=torch.float64)

    def last(sigma, rho, beta):
        model = Lorenz63Tendency(learned=True)
        values = {"sigma": sigma, "rho": rho, "beta": beta}
        return torch.func.functional_call(model, values, (x,))

    values = [p.detach().clone().requires_grad_() for p in flow.parameters()]
    assert torch.autograd.gradcheck(last, values)


def test_fixed_points_of_lorenz63_stay():
    tendency = Lorenz63Tendency()
    root = math.sqrt(8 / 3 * 27)
    for sign in (-1, 0, 1):
        x = torch.tensor([sign * root, sign * root, 27.0 * abs(sign)], dtype=torch.float64)
        torch.testing.assert_close(tendency(x), torch.zeros_like(x))


def test_advection_of_lorenz96_keeps_energy():
    x = torch.randn(5, 40, dtype=torch.float64)
    tendency = Lorenz96Tendency(forcing=0.0)
    # d|x|^2/dt = -2 |x|^2 without forcing: what is left is the damping
    torch.testing.assert_close((x * tendency(x)).sum(-1), -(x**2).sum(-1))
