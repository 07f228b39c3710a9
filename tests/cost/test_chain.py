"""Costs along time: a negative log-likelihood, whose normal equations are its own derivatives."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import MultivariateNormal

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import (
    InitialStateTerm,
    ModelErrorTerm,
    StateObservationTerm,
    from_states,
    to_states,
)
from xr4dvar.cost.cost import Cost
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics import Flow, Lorenz63Tendency
from xr4dvar.solvers.gauss_newton import normal_equations

FULL = torch.tensor([[2.0, 0.6, 0.0], [0.6, 1.0, 0.2], [0.0, 0.2, 0.5]], dtype=torch.float64)
MEAN = torch.tensor([1.0, -2.0, 20.0], dtype=torch.float64)
STEP = Flow(Lorenz63Tendency(), 0.05)


@pytest.fixture
def batch() -> Batch:
    """Two windows of five states of three components, some of them seen."""
    generator = torch.Generator().manual_seed(0)
    y = 5 * torch.randn(2, 1, 5, 3, 1, generator=generator, dtype=torch.float64)
    y[torch.rand(y.shape, generator=generator) < 0.5] = torch.nan
    return Batch.from_gappy(y)


@pytest.fixture
def x(batch) -> torch.Tensor:
    return 5 * torch.randn(batch.y.shape, dtype=torch.float64)


def terms(covariance=FULL):
    matrix = CovarianceMatrix(covariance.numpy(), 3)
    return {
        "observations": StateObservationTerm(matrix),
        "model error": ModelErrorTerm(STEP, matrix),
        "initial state": InitialStateTerm(MEAN, matrix),
    }


def test_states_hold_all_of_one_time():
    x = torch.arange(2 * 2 * 4 * 3 * 2.0).reshape(2, 2, 4, 3, 2)
    states = to_states(x)
    assert states.shape == (2, 4, 12)
    assert set(states[1, 2].tolist()) == set(x[1, :, 2].flatten().tolist())
    assert torch.equal(from_states(states, x), x)


def test_observations_cost_their_negative_log_likelihood(batch, x):
    """Of the components that were seen: the others are left out of the covariance too."""
    found = terms()["observations"](x, batch)
    y, weight, states = (to_states(v) for v in (batch.y, batch.weight, x))
    expected = torch.zeros(2, dtype=torch.float64)
    for sample in range(2):
        for t in range(5):
            seen = weight[sample, t] > 0
            if seen.any():
                part = FULL[seen][:, seen]
                normal = MultivariateNormal(states[sample, t][seen], part)
                at_mean = normal.log_prob(states[sample, t][seen])
                expected[sample] += at_mean - normal.log_prob(y[sample, t][seen])
    torch.testing.assert_close(found, expected)
    assert (found > 0).all()


def test_model_error_and_initial_state_cost_their_negative_log_likelihood(batch, x):
    states = to_states(x)
    error = MultivariateNormal(torch.zeros(3, dtype=torch.float64), FULL)
    expected = error.log_prob(torch.zeros(3, dtype=torch.float64)) - error.log_prob(
        states[:, 1:] - STEP(states[:, :-1])
    )
    torch.testing.assert_close(terms()["model error"](x, batch), expected.sum(1))
    first = MultivariateNormal(MEAN, FULL)
    expected = first.log_prob(MEAN) - first.log_prob(states[:, 0])
    torch.testing.assert_close(terms()["initial state"](x, batch), expected)


@pytest.mark.parametrize("name", terms())
@pytest.mark.parametrize("covariance", [FULL, torch.diag(FULL.diag())], ids=["full", "diagonal"])
def test_the_gradient_of_the_equations_is_that_of_the_cost(name, covariance, batch, x):
    cost = Cost([terms(covariance)[name]])
    [gradient] = cost.gradients(x, batch)
    with torch.no_grad():
        equations = normal_equations(cost, to_states(x), batch)
    torch.testing.assert_close(equations.gradient, to_states(gradient))


@pytest.mark.parametrize("name", terms())
def test_the_curvature_is_the_hessian_of_a_linear_problem(name, batch, x):
    """With a linear model the Gauss-Newton Hessian leaves nothing out."""
    matrix = torch.randn(3, 3, dtype=torch.float64)
    covariance = CovarianceMatrix(FULL.numpy(), 3)
    term = terms()[name]
    if name == "model error":
        term = ModelErrorTerm(lambda s: s @ matrix.T, covariance)
    cost = Cost([term])
    equations = normal_equations(cost, to_states(x), batch)

    def total(states):
        return cost(from_states(states, x), batch).sum()

    hessian = torch.autograd.functional.hessian(total, to_states(x))
    for t in range(5):
        block = torch.stack([hessian[b, t, :, b, t] for b in range(2)])
        torch.testing.assert_close(equations.diagonal[:, t], block)
        if t:
            block = torch.stack([hessian[b, t, :, b, t - 1] for b in range(2)])
            torch.testing.assert_close(equations.below[:, t - 1], block)


def test_a_term_of_maps_has_no_equations_along_time(batch, x):
    from xr4dvar.cost.cost import BackgroundTerm, Variance
    from xr4dvar.errors import InputError

    with pytest.raises(InputError, match="BackgroundTerm has no normal equations along time"):
        normal_equations(Cost([BackgroundTerm(Variance(1.0))]), to_states(x), batch)
