"""The fixed point: where linear algebra says, as fast as it says, and its gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import BackgroundTerm, Cost, ObservationTerm, PriorTerm, Variance
from xr4dvar.errors import InputError
from xr4dvar.priors import EOFProjection
from xr4dvar.solvers import FixedPoint, State, minimise

SHAPE, MODES = (2, 2, 3, 5), 4
CELLS = 60
#: So small that observations are put in as they are, in float64 too.
NONE = 1e-30


@pytest.fixture(scope="module")
def eofs() -> EOFProjection:
    generator = torch.Generator().manual_seed(0)
    columns = torch.randn(CELLS, MODES, generator=generator, dtype=torch.float64)
    modes = torch.linalg.qr(columns).Q.T.reshape(MODES, *SHAPE)
    return EOFProjection(torch.full(SHAPE, 0.7, dtype=torch.float64), modes)


@pytest.fixture(scope="module")
def gappy(eofs) -> Batch:
    generator = torch.Generator().manual_seed(1)
    y = 3 * torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    y[torch.rand(y.shape, generator=generator) < 0.5] = torch.nan
    return Batch.from_gappy(y)


def cost_of(prior, r=NONE, q=1.0):
    return Cost([ObservationTerm(Variance(r)), PriorTerm(prior, Variance(q))]).double()


def matrices(eofs, batch, n):
    """Mean, modes and mask of a sample, as vectors and matrices."""
    return eofs.mean.flatten(), eofs.modes.flatten(1).T, torch.diag(batch.weight[n].flatten())


@pytest.mark.parametrize(("r", "q"), [(NONE, 1.0), (0.5, 2.0)])
def test_of_eofs_it_is_the_least_squares_fit_to_the_observations(eofs, gappy, r, q):
    x = minimise(cost_of(eofs, r, q), FixedPoint(), gappy, steps=600).x
    for n in range(3):
        mean, e, mask = matrices(eofs, gappy, n)
        amplitudes = torch.linalg.solve(e.T @ mask @ e, e.T @ mask @ (gappy.y[n].flatten() - mean))
        torch.testing.assert_close(eofs.encode(x)[n], amplitudes, rtol=1e-5, atol=1e-6)
    seen = gappy.weight > 0
    fit = eofs(x)
    torch.testing.assert_close(x[~seen], fit[~seen], rtol=1e-5, atol=1e-5)
    share = q / (q + r)
    torch.testing.assert_close(x[seen], (fit + share * (gappy.y - fit))[seen], rtol=1e-5, atol=1e-5)


def test_of_eofs_it_is_the_minimum_of_the_cost(eofs, gappy):
    cost = cost_of(eofs, 0.5, 2.0)
    x = minimise(cost, FixedPoint(), gappy, steps=600).x
    _, gradient = cost.value_and_gradient(x, gappy)
    _, first = cost.value_and_gradient(torch.zeros_like(x), gappy)
    assert gradient.abs().max() < 1e-5 * first.abs().max()


def test_the_rate_is_the_spectral_radius(eofs, gappy):
    """Errors shrink by the largest eigenvalue of (1 - M) P at each step."""
    cost, batch = cost_of(eofs), gappy.take(torch.tensor([0]))
    _, e, mask = matrices(eofs, batch, 0)
    radius = torch.linalg.eigvals((torch.eye(CELLS) - mask) @ e @ e.T).abs().max()
    limit = minimise(cost, FixedPoint(), batch, steps=2000).x
    errors = [(minimise(cost, FixedPoint(), batch, steps).x - limit).norm() for steps in (60, 61)]
    torch.testing.assert_close(errors[1] / errors[0], radius, rtol=1e-3, atol=0)
    assert 0.2 < radius < 0.95


def test_more_observations_behind_a_value_count_more(eofs):
    """In the limit of a prior that is always 0.7: the weighted mean of both."""
    constant = EOFProjection(eofs.mean, 0 * eofs.modes)
    y = torch.full((1, *SHAPE), 2.7, dtype=torch.float64)
    weight = torch.randint(0, 4, y.shape, generator=torch.Generator().manual_seed(0)).double()
    x = minimise(cost_of(constant, 0.5, 2.0), FixedPoint(), Batch(y, weight), steps=1).x
    precision = weight / 0.5 + 1 / 2.0
    expected = (weight / 0.5 * 2.7 + 0.7 / 2.0) / precision
    torch.testing.assert_close(x, expected, rtol=1e-6, atol=0)


def test_what_else_is_in_the_batch_changes_nothing(eofs, gappy):
    cost = cost_of(eofs, 0.5, 2.0)
    together = minimise(cost, FixedPoint(), gappy, steps=7).x
    for n in range(3):
        alone = minimise(cost, FixedPoint(), gappy.take(torch.tensor([n])), steps=7).x
        torch.testing.assert_close(alone[0], together[n])


def test_training_can_differentiate_through_it(gappy):
    linear = nn.Linear(CELLS, CELLS, dtype=torch.float64)

    class Prior(nn.Module):
        def forward(self, x, context):
            return torch.tanh(linear(x.flatten(1))).view_as(x)

    cost = Cost(
        [
            ObservationTerm(Variance(0.5, learned=True)),
            PriorTerm(Prior(), Variance(2.0, learned=True)),
        ]
    ).double()
    logs = [term.variance.log for term in cost.terms]
    parameters = [linear.bias, *logs]

    def solve():
        return minimise(cost, FixedPoint(), gappy, 4, differentiable=True).x.square().sum()

    found = torch.autograd.grad(solve(), parameters)
    for parameter, gradient in zip(parameters, found, strict=True):
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * 1e-5
                ends.append(solve())
                parameter -= sign * 1e-5
        torch.testing.assert_close(gradient.sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-4, atol=0)


def test_it_goes_on_from_an_estimate_and_keeps_no_graph(eofs, gappy):
    x = torch.ones_like(gappy.y, requires_grad=True)
    solver, cost = FixedPoint(), cost_of(eofs)
    assert solver.init(cost, gappy, x).x is x
    assert not minimise(cost, solver, gappy, 2, start=State(x)).x.requires_grad


def test_a_cost_of_other_terms_is_refused(eofs, gappy):
    cost = Cost([ObservationTerm(Variance(1.0)), BackgroundTerm(Variance(1.0))])
    with pytest.raises(InputError, match=r"the cost has ObservationTerm, BackgroundTerm; fix:"):
        minimise(cost, FixedPoint(), gappy, 1)
