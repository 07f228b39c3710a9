"""Derivatives are those of automatic differentiation, whoever gives them."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.dynamics import Flow, Lorenz63Tendency, Lorenz96Tendency, linearise

CASES = {
    "a function": (lambda x: x.sin() * x.roll(1, -1), 5),
    "a constant": (torch.ones_like, 2),
    "Lorenz-63": (Lorenz63Tendency(sigma=9.0), 3),
    "Lorenz-96": (Lorenz96Tendency(), 6),
    "Euler's step": (Flow(Lorenz63Tendency(), 0.02, "euler", 2), 3),
    "Runge and Kutta's step": (Flow(Lorenz96Tendency(), 0.1, substeps=2), 6),
    "a step of a function": (Flow(lambda x: x * x.roll(1, -1), 0.1), 4),
}


@pytest.mark.parametrize("case", CASES)
def test_derivatives_are_those_of_autograd(case):
    f, n = CASES[case]
    states = torch.randn(4, 2, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found, value = linearise(f, states)
    torch.testing.assert_close(value, f(states), check_stride=False)
    for i in range(4):
        expected = torch.autograd.functional.jacobian(f, states[i, 1])
        torch.testing.assert_close(found[i, 1], expected)
    assert not found.requires_grad
