"""One solver for each step: in their order, and the last one from then on."""

from __future__ import annotations

import torch

from xr4dvar.solvers import EachStep, LearnedSolver, minimise
from xr4dvar.solvers.gradient import LearnedDescent

SIZES = (0.1, 0.3, 0.2)


def test_each_takes_its_turn(quadratic, batch):
    steps = EachStep([LearnedDescent(size) for size in SIZES]).double()
    x = torch.zeros_like(batch.y)
    for size in (*SIZES, SIZES[-1]):
        x = x - size * sum(quadratic.gradients(x, batch))
    torch.testing.assert_close(minimise(quadratic, steps, batch, 4).x, x, rtol=1e-6, atol=1e-6)


def test_memory_goes_from_one_to_the_next(quadratic, batch):
    torch.manual_seed(0)
    cell = LearnedSolver.lstm(16, 4, 6).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    alone = minimise(quadratic, cell, batch, 3).x
    assert torch.equal(minimise(quadratic, EachStep([cell, cell]), batch, 3).x, alone)


def test_learned_step_sizes_beat_one_that_is_shared(quadratic, batch, analysis):
    """On a quadratic two sizes can do more than one: Chebyshev's."""
    losses = []
    for sizes in ([0.3, 0.3], None):
        solver = LearnedDescent(0.3)
        if sizes is not None:
            solver = EachStep([LearnedDescent(size) for size in sizes])
        optimizer = torch.optim.LBFGS(solver.double().parameters(), max_iter=50)

        def closure(solver=solver, optimizer=optimizer):
            optimizer.zero_grad()
            x = minimise(quadratic, solver, batch, 2, differentiable=True).x
            loss = (x - analysis).square().mean()
            loss.backward()
            return loss

        # at equal sizes the gradients are equal too: nothing would part them
        if sizes is not None:
            with torch.no_grad():
                solver.solvers[0].log_step += 0.2
        optimizer.step(closure)
        losses.append(closure().item())
    own, shared = losses
    assert own < 0.9 * shared
