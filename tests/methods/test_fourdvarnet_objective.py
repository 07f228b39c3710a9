"""The cost as a loss: the same number, with nothing to gain from larger variances."""

import torch

from xr4dvar.batch import Batch
from xr4dvar.cost import Cost, ObservationTerm, PriorTerm, Variance
from xr4dvar.methods.fourdvarnet_objective import cost_as_loss
from xr4dvar.priors import BilinearAutoEncoder


def test_the_cost_trains_the_prior_and_no_variance():
    generator = torch.manual_seed(0)
    variances = Variance(2.0, learned=True), Variance(0.5, learned=True)
    prior = BilinearAutoEncoder(state=3, context=0, hidden=4)
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
