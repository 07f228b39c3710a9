"""A model as prior: the cost is then that of weak-constraint 4DVar."""

from __future__ import annotations

import torch

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import ModelErrorTerm
from xr4dvar.cost.cost import PriorTerm, Variance
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics import Flow, Lorenz63Tendency, trajectory
from xr4dvar.priors import DynamicsPrior

STEP = Flow(Lorenz63Tendency(), 0.01)
SHAPE = (1, 1, 1, 3)


def prior(mean=0.0, spread=1.0):
    return DynamicsPrior(STEP, torch.full(SHAPE, mean), torch.full(SHAPE, spread))


def test_a_trajectory_is_left_as_it_is():
    states = trajectory(STEP, torch.tensor([[1.0, 2.0, 20.0]]), 10)
    x = ((states - 3.0) / 8.0)[:, None, :, None]
    torch.testing.assert_close(prior(3.0, 8.0)(x), x)


def test_the_cost_is_that_of_a_weak_constraint():
    x = 5 * torch.randn(2, 1, 7, 1, 3, generator=torch.Generator().manual_seed(0))
    batch = Batch.from_gappy(torch.full_like(x, torch.nan))
    q = 0.25
    ours = PriorTerm(prior(), Variance(q))(x, batch)
    weak = ModelErrorTerm(STEP, CovarianceMatrix(q, 3))(x, batch)
    torch.testing.assert_close(ours, weak.to(ours.dtype), rtol=1e-4, atol=0)
    scaled = PriorTerm(prior(2.0, 4.0), Variance(q / 16))((x - 2) / 4, batch)
    torch.testing.assert_close(scaled, ours, rtol=1e-3, atol=0)
