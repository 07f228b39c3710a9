"""The cost as a loss: the same number, with nothing to gain from larger variances."""

import pytest
import torch

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost, ObservationTerm, PriorTerm, Variance
from xr4dvar.priors import BilinearAutoEncoder
from xr4dvar.training.loss_functions import cost_as_loss


def test_the_cost_trains_the_prior_and_no_variance():
    generator = torch.manual_seed(0)
    variances = Variance(2.0, learned=True), Variance(0.5, learned=True)
    prior = BilinearAutoEncoder(state=3, context=0, width=4)
    cost = Cost([ObservationTerm(variances[0]), PriorTerm(prior, variances[1])])
    x, y = torch.randn(2, 2, 1, 3, 6, 6, generator=generator)
    batch = Batch.from_gappy(y)
    loss = cost_as_loss(cost, x.requires_grad_(), batch)
    torch.testing.assert_close(loss, cost(x, batch))
    loss.sum().backward()
    assert all(variance.log.grad is None for variance in variances)
    assert all(parameter.grad.abs().max() > 0 for parameter in prior.parameters())
    assert x.grad.abs().max() > 0
    cost(x, batch).sum().backward()
    assert all(variance.log.grad.abs() > 0 for variance in variances)


@pytest.mark.parametrize(
    ("q", "progress", "expected"),
    [(1e-4, 0.0, 1.0), (1e-4, 0.25, 1e-2), (1e-4, 0.5, 1e-4), (1e-4, 1.0, 1e-4), (9.0, 0.0, 9.0)],
)
def test_a_given_model_error_is_approached_from_a_larger_one(q, progress, expected):
    torch.manual_seed(0)
    prior = BilinearAutoEncoder(state=3, context=0, width=4)
    x, y = torch.randn(2, 2, 1, 3, 6, 6)
    batch = Batch.from_gappy(y)

    def cost(variance):
        return Cost([ObservationTerm(Variance(0.01)), PriorTerm(prior, Variance(variance))])

    loss = cost_as_loss(cost(q), x, batch, progress)
    torch.testing.assert_close(loss, cost(expected)(x, batch), rtol=1e-5, atol=0)


def test_a_learned_model_error_is_taken_as_it_is():
    prior = BilinearAutoEncoder(state=3, context=0, width=4)
    cost = Cost([PriorTerm(prior, Variance(1e-4, learned=True))])
    x, y = torch.randn(2, 2, 1, 3, 6, 6, generator=torch.manual_seed(0))
    batch = Batch.from_gappy(y)
    torch.testing.assert_close(cost_as_loss(cost, x, batch, 0.0), cost(x, batch))
