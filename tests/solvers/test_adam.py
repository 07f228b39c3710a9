"""Adam: the steps of torch's own optimizer."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.errors import InputError
from xr4dvar.solvers import Adam, minimise


@pytest.mark.parametrize("options", [{}, {"decay": (0.5, 0.9), "epsilon": 0.1}])
def test_every_step_is_that_of_torch(quadratic, batch, options):
    solver = Adam(0.1, **options)
    x = torch.ones_like(batch.y, requires_grad=True)
    betas, eps = options.get("decay", (0.9, 0.999)), options.get("epsilon", 1e-8)
    peer = torch.optim.Adam([x], lr=0.1, betas=betas, eps=eps)
    state = solver.init(quadratic, batch, torch.ones_like(batch.y))
    for _ in range(20):
        peer.zero_grad()
        quadratic(x, batch).sum().backward()
        peer.step()
        state = minimise(quadratic, solver, batch, 1, start=state)
        torch.testing.assert_close(state.x, x.detach(), rtol=1e-12, atol=1e-12)
    assert state.step == 20


def test_it_comes_near_the_analysis(quadratic, batch, analysis):
    x = minimise(quadratic, Adam(0.02), batch, steps=800).x
    torch.testing.assert_close(x, analysis, rtol=1e-3, atol=1e-3)


def test_a_sample_does_not_see_the_others(quadratic, batch):
    together = minimise(quadratic, Adam(0.1), batch, steps=30).x
    alone = minimise(quadratic, Adam(0.1), batch.take(torch.tensor([1])), steps=30).x
    torch.testing.assert_close(together[1], alone[0], rtol=1e-12, atol=1e-12)


def test_parameters_that_lead_nowhere(quadratic, batch):
    with pytest.raises(InputError, match=r"step_size is -1(.|\n)*decay is(.|\n)*epsilon is 0"):
        Adam(-1, (0.9, 1.0), 0.0)
    with pytest.raises(InputError, match="Adam cannot be differentiated through"):
        minimise(quadratic, Adam(0.1), batch, 1, differentiable=True)
