"""Derivatives are those of automatic differentiation, whoever gives them."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.dynamics import (
    CorrectedTendency,
    Flow,
    Lorenz63Tendency,
    Lorenz96Tendency,
    Perceptron,
    QuadraticTendency,
    Scaled,
    linearise,
)


def at_random(module):
    """The module with parameters that are not zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, dtype=p.dtype, generator=generator))
    return module.requires_grad_(False)


def scaled(module, n):
    found = Scaled(at_random(module), n, rate=3.0)
    found.scale(torch.arange(1.0, n + 1), torch.linspace(0.5, 2.0, n))
    return found


CASES = {
    "a function": (lambda x: x.sin() * x.roll(1, -1), 5),
    "a constant": (torch.ones_like, 2),
    "Lorenz-63": (Lorenz63Tendency(sigma=9.0), 3),
    "Lorenz-96": (Lorenz96Tendency(), 6),
    "a quadratic model": (at_random(QuadraticTendency(4)), 4),
    "a network": (at_random(Perceptron(3, 5)), 3),
    "a scaled model": (scaled(QuadraticTendency(3), 3), 3),
    "a corrected model": (CorrectedTendency(Lorenz63Tendency(), scaled(Perceptron(3, 4), 3)), 3),
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
