"""What is found of a model is what there is to find, and no more than the noise allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from xr4dvar.dynamics import (
    Flow,
    Lorenz63Tendency,
    Perceptron,
    QuadraticTendency,
    Scaled,
    trajectory,
)
from xr4dvar.dynamics.identification import Segments, horizon, identify, learned_parameters
from xr4dvar.dynamics.regression import regress

LORENZ = Flow(Lorenz63Tendency().requires_grad_(False), 0.01)


def states(windows: int, times: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = 8 * torch.randn(windows, 3, dtype=torch.float64, generator=generator)
    x = x + torch.tensor([0.0, 0.0, 25.0])
    for _ in range(300):
        x = LORENZ(x)
    return trajectory(LORENZ, x, times)


def segments(y: torch.Tensor, weight: torch.Tensor, precision: float = 0.0) -> Segments:
    n = y.shape[-1]
    zero, eye = y.new_zeros(n), torch.eye(n, dtype=y.dtype)
    return Segments(y, weight, y[:, 0], zero, precision * eye)


def quadratic(y: torch.Tensor) -> Flow:
    tendency = Scaled(QuadraticTendency(3), 3, 100.0)
    tendency.scale(y.mean((0, 1)), y.std((0, 1)))
    return Flow(tendency, 0.01)


@pytest.mark.parametrize(("times", "tolerance"), [(100, 0.01), (5, 0.1), (2, 5.0)])
def test_regression_is_as_exact_as_its_quadrature(times, tolerance):
    """Rates of change, which are some tens, are found from ever shorter trajectories."""
    y = states(2000 // times, times)
    flow = quadratic(y)
    regress(flow.tendency, y, torch.ones(y.shape[:2], dtype=torch.bool), 0.01)
    error = flow.tendency(y).detach() - LORENZ.tendency(y)
    assert float(error.abs().max()) < tolerance


def test_regression_leaves_out_what_is_not_known():
    y = states(10, 100)
    known = torch.rand(y.shape[:2], generator=torch.Generator().manual_seed(0)) < 0.9
    flow = quadratic(y)
    regress(flow.tendency, torch.where(known[..., None], y, 1e3), known, 0.01)
    assert float((flow.tendency(y).detach() - LORENZ.tendency(y)).abs().max()) < 0.05


def test_only_a_quadratic_model_is_regressed():
    with pytest.raises(TypeError, match="Perceptron"):
        regress(Scaled(Perceptron(1, 1), 1, 1.0), torch.zeros(1, 3, 1), torch.ones(1, 3) > 0, 0.1)


def test_parameters_and_first_states_are_those_of_a_peer():
    """Of scipy's least squares in all numbers at once, of noisy states with gaps."""
    generator = torch.Generator().manual_seed(0)
    truth = states(4, 20)
    noise = torch.randn(truth.shape, dtype=torch.float64, generator=generator)
    weight = (torch.rand(truth.shape, generator=generator) < 0.5) / 0.25
    pieces = segments(truth + 0.5 * noise, weight.double(), precision=1e-2)
    flow = Flow(Lorenz63Tendency(9.0, 27.0, 3.0, learned=True), 0.01)
    first, cost = identify(flow, pieces, tolerance=1e-13)

    def residuals(numbers: np.ndarray) -> np.ndarray:
        model = Flow(Lorenz63Tendency(*numbers[:3]), 0.01)
        x = torch.from_numpy(numbers[3:]).view(-1, 3)
        with torch.no_grad():
            misfit = (trajectory(model, x, 20) - pieces.y) * pieces.weight.sqrt()
        return torch.cat([misfit.flatten(), 0.1 * x.flatten()]).numpy()

    start = np.concatenate([[9.0, 27.0, 3.0], pieces.first.flatten().numpy()])
    peer = least_squares(residuals, start, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    ours = [float(p.detach()) for p in learned_parameters(flow).values()]
    np.testing.assert_allclose(ours, peer.x[:3], rtol=1e-4)
    np.testing.assert_allclose(first.flatten().numpy(), peer.x[3:], rtol=1e-3, atol=1e-3)
    assert cost == pytest.approx(peer.cost, rel=1e-6)


def test_noise_does_not_bias_what_is_found():
    """With the first states held at what was seen, noise would pass for damping."""
    truth = states(60, 40)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(2)).double()
    y = truth + noise
    flow = Flow(Lorenz63Tendency(9.5, 27.5, 2.5, learned=True), 0.01)
    identify(flow, segments(y, torch.ones_like(y)))
    found = [float(p.detach()) for p in learned_parameters(flow).values()]
    np.testing.assert_allclose(found, [10, 28, 8 / 3], rtol=0.03)


def test_no_step_makes_it_worse():
    """From a model that stands still, with first steps that lead out of all bounds."""
    y = states(5, 40)
    flow = quadratic(y)
    pieces = segments(y, torch.ones_like(y))
    costs = []
    for steps in (0, 1, 1, 3, 10):
        first, cost = identify(flow, pieces, steps)
        pieces = replace(pieces, first=first)
        costs.append(cost)
    assert all(np.isfinite(costs))
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 0.1 * costs[0]


def test_a_model_that_leaves_all_bounds_is_left_as_it_is():
    y = states(5, 40)
    flow = quadratic(y)
    torch.nn.init.constant_(flow.tendency.tendency.quadratic, 10.0)
    _, cost = identify(flow, segments(y, torch.ones_like(y)))
    assert not np.isfinite(cost)
    assert bool((flow.tendency.tendency.quadratic == 10.0).all())


def test_the_horizon_is_where_differences_have_grown():
    def growing(rate: float) -> Flow:
        return Flow(lambda x: rate * x, 0.1, substeps=4)

    x = torch.ones(3, 50, 2, dtype=torch.float64)
    assert horizon(growing(1.0), x) == 24  # exp(2.3) is 10
    assert horizon(growing(-1.0), x) == 49
