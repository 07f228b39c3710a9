"""Learned solvers: start from the background, see the right fields, keep nothing."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import BackgroundTerm, Cost, ObservationTerm, Variance
from xr4dvar.solvers import LearnedSolver, minimise

MAKERS = {
    "lstm": lambda inputs: LearnedSolver.lstm(inputs, 4, 6).double(),
    "unet": lambda inputs: LearnedSolver.unet(inputs, 4, (4, 6)).double(),
}


class Recorder(nn.Module):
    """Notes what it sees, and gives a fixed update."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x, memory):
        self.seen.append((x, memory))
        return torch.full_like(x[:, :4], 0.5), (memory or 0) + 1


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("steps", [1, 5])
def test_untrained_it_stays_at_the_background(quadratic, batch, name, steps):
    torch.manual_seed(0)
    assert (minimise(quadratic, MAKERS[name](16), batch, steps).x == 0).all()


@pytest.mark.parametrize("name", MAKERS)
def test_untrained_it_can_learn_at_once(quadratic, batch, analysis, name):
    torch.manual_seed(0)
    solver = MAKERS[name](16)
    optimizer = torch.optim.Adam(solver.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        x = minimise(quadratic, solver, batch, steps=2, differentiable=True).x
        loss = (x - analysis).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_the_cell_sees_both_gradients_the_state_the_weight_and_the_context(quadratic, batch):
    batch = dataclasses.replace(batch, context=torch.randn_like(batch.y[:, :1]))
    recorder = Recorder()
    state = minimise(quadratic, LearnedSolver(recorder), batch, steps=2)
    torch.testing.assert_close(state.x, torch.full_like(batch.y, -1.0))  # x <- x - d, twice
    x = torch.full_like(batch.y, -0.5)
    fields = [*quadratic.gradients(x, batch), x, batch.weight, batch.context]
    seen = recorder.seen[1][0]
    torch.testing.assert_close(seen, torch.cat([f.flatten(1, 2) for f in fields], 1))
    assert [memory for _, memory in recorder.seen] == [None, 1]


def test_gradients_of_given_variances_are_in_units_of_their_errors(batch):
    terms = [ObservationTerm(Variance(0.04)), BackgroundTerm(Variance([9.0, 1e-4]))]
    cost = Cost(terms).double()
    recorder = Recorder()
    minimise(cost, LearnedSolver(recorder), batch, steps=2)
    x = torch.full_like(batch.y, -0.5)
    ours, background = cost.gradients(x, batch)
    deviations = torch.tensor([3.0, 0.01], dtype=torch.float64)[:, None, None, None]
    expected = [0.2 * ours, deviations * background, x, batch.weight]
    seen = torch.cat([field.flatten(1, 2) for field in expected], 1)
    torch.testing.assert_close(recorder.seen[1][0], seen, rtol=1e-5, atol=1e-6)


def test_the_gradients_own_term_grows_as_that_of_the_network_fades(quadratic, batch):
    solver = LearnedSolver(Recorder(), descent=0.3, steps=2).double()
    found = minimise(quadratic, solver, batch, steps=3).x
    x = torch.zeros_like(batch.y)
    for k, share in enumerate((0.5, 1.0, 1.0)):
        x = x - 0.5 / (k + 1) - 0.3 * share * sum(quadratic.gradients(x, batch))
    torch.testing.assert_close(found, x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_is_kept_between_runs_or_samples(quadratic, batch, name):
    torch.manual_seed(0)
    solver = MAKERS[name](16)
    for parameter in solver.parameters():
        nn.init.normal_(parameter, std=0.1)
    first = minimise(quadratic, solver, batch, steps=3).x
    assert torch.equal(minimise(quadratic, solver, batch, steps=3).x, first)
    other = Batch(batch.y.clone(), batch.weight.clone())
    other.y[1:] *= 50
    changed = minimise(quadratic, solver, other, steps=3).x
    assert torch.equal(changed[0], first[0])
    assert not torch.equal(changed[1], first[1])
