"""The cost: a negative log-likelihood, with the right gradients, sample by sample."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import BackgroundTerm, Cost, ObservationTerm, PriorTerm, Variance
from xr4dvar.errors import InputError
from xr4dvar.priors import PRIORS


class Pointwise(nn.Module):
    """``Phi(x) = w x^2``: simple enough to differentiate by hand."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, x, context):
        return self.weight * x**2


class Matrix(nn.Module):
    """``Phi(x) = A x`` over all cells of a sample: a linear prior with everything coupled."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = matrix

    def forward(self, x, context):
        return (x.flatten(1) @ self.matrix.T).view_as(x)


def random_batch(shape=(2, 2, 3, 4, 5), seed=0, share=0.5):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(shape, generator=generator, dtype=torch.float64)
    observed = torch.rand(shape, generator=generator) < share
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return x, Batch.from_gappy(torch.where(observed, y, torch.nan))


def full_cost(prior, r=0.5, q=2.0, b=3.0):
    terms = [
        ObservationTerm(Variance(r)),
        PriorTerm(prior, Variance(q)),
        BackgroundTerm(Variance(b)),
    ]
    return Cost(terms).double()


def test_value_is_the_negative_log_likelihood_up_to_a_constant():
    x, batch = random_batch()
    other, _ = random_batch(seed=1)
    weight = torch.tensor(0.3, dtype=torch.float64)

    def minus_log_likelihood(x):
        observed = Normal(x, 0.5**0.5).log_prob(batch.y) * batch.weight
        prior = Normal(weight * x**2, 2.0**0.5).log_prob(x)
        background = Normal(torch.zeros_like(x), 3.0**0.5).log_prob(x)
        return -(observed + prior + background).flatten(1).sum(1)

    cost = full_cost(Pointwise(weight))
    expected = minus_log_likelihood(x) - minus_log_likelihood(other)
    torch.testing.assert_close(cost(x, batch) - cost(other, batch), expected)


def test_value_is_zero_where_all_agree():
    _, batch = random_batch()
    zero = Batch(torch.zeros_like(batch.y), batch.weight)
    assert full_cost(Pointwise(2.0))(zero.y, zero).tolist() == [0.0, 0.0]


def test_gradients_are_the_analytic_ones_in_the_order_of_the_terms():
    x, batch = random_batch()
    n = x[0].numel()
    matrix = torch.randn(n, n, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    of_observations, of_prior, of_background = full_cost(Matrix(matrix)).gradients(x, batch)
    torch.testing.assert_close(of_observations, batch.weight * (x - batch.y) / 0.5)
    misfit = x.flatten(1) - x.flatten(1) @ matrix.T
    adjoint = misfit - misfit @ matrix
    torch.testing.assert_close(of_prior, adjoint.view_as(x) / 2.0)
    torch.testing.assert_close(of_background, x / 3.0)


def test_gradient_can_be_differentiated_by_the_prior():
    x, batch = random_batch()
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    cost = full_cost(Pointwise(weight))
    _, gradient, _ = cost.gradients(x, batch, differentiable=True)
    # dU/dx = (x - w x^2) (1 - 2 w x) / Q, and this once more by w
    (found,) = torch.autograd.grad(gradient.sum(), weight)
    w = weight.detach()
    expected = -(x**2 * (1 - 2 * w * x) + 2 * x * (x - w * x**2)) / 2.0
    torch.testing.assert_close(found, expected.sum())


def test_gradient_keeps_no_graph_unless_asked():
    x, batch = random_batch()
    cost = full_cost(Pointwise(nn.Parameter(torch.tensor(0.3))))
    assert all(not g.requires_grad for g in cost.gradients(x, batch))
    assert not x.requires_grad, "the caller's state is left as it was"
    with torch.no_grad():
        assert len(cost.gradients(x, batch)) == 3


@pytest.mark.parametrize("name", PRIORS)
def test_first_and_second_derivatives_through_learned_priors(name):
    torch.manual_seed(0)
    x, batch = random_batch((1, 1, 2, 5, 4))
    prior = PRIORS[name](2, 0, 3).double()
    cost = full_cost(prior)
    x.requires_grad_()
    parameters = tuple(cost.parameters())
    names = [name for name, _ in cost.named_parameters()]

    def value(x, *parameters):
        weights = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(cost, weights, (x, batch))

    parameters = tuple(p.detach().requires_grad_() for p in parameters)
    assert torch.autograd.gradcheck(value, (x, *parameters), fast_mode=True)
    assert torch.autograd.gradgradcheck(value, (x, *parameters), fast_mode=True)


@pytest.mark.parametrize("name", PRIORS)
def test_a_sample_does_not_feel_the_others(name):
    torch.manual_seed(0)
    x, batch = random_batch((3, 2, 3, 6, 5))
    cost = full_cost(PRIORS[name](6, 0, 4))
    others = x.clone()
    others[1:] = 1e6 * torch.randn_like(others[1:])
    other_batch = Batch(batch.y.clone(), batch.weight.clone())
    other_batch.weight[1:] = 0
    for one, two in zip(cost.gradients(x, batch), cost.gradients(others, other_batch), strict=True):
        assert torch.equal(one[0], two[0])
        assert not torch.equal(one[1], two[1])
    assert torch.equal(cost(x, batch)[0], cost(others, other_batch)[0])


def test_a_larger_patch_does_not_change_the_gradient_at_a_cell():
    torch.manual_seed(0)
    x, batch = random_batch((1, 1, 2, 8, 16))
    half = Batch(batch.y[..., :8], batch.weight[..., :8])
    cost = full_cost(PRIORS["bilinear"](2, 0, 4))
    pairs = zip(cost.gradients(x, batch), cost.gradients(x[..., :8], half), strict=True)
    # the bilinear prior looks 4 cells far, its gradient as far again: pointwise terms are exact
    for term, (whole, part) in enumerate(pairs):
        reach = 8 if term == 1 else 0
        torch.testing.assert_close(whole[..., : 8 - reach], part[..., : 8 - reach])
    # a state that vanishes towards the seam is worth the same in both
    pointwise = full_cost(Pointwise(0.3))
    x[..., 8:], batch.weight[..., 8:] = 0, 0
    torch.testing.assert_close(pointwise(x, batch), pointwise(x[..., :8], half))


@pytest.mark.parametrize("term", range(3))
def test_a_variance_divides_its_own_term(term):
    x, batch = random_batch()
    variances = [0.5, 2.0, 3.0]
    before = full_cost(Pointwise(0.3), *variances).gradients(x, batch)
    variances[term] *= 4
    after = full_cost(Pointwise(0.3), *variances).gradients(x, batch)
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        torch.testing.assert_close(new, old / 4 if number == term else old)


def test_variances_belong_to_variables():
    x, batch = random_batch()
    cost = Cost([ObservationTerm(Variance([1.0, 100.0]))]).double()
    squares = 0.5 * (batch.weight * (x - batch.y) ** 2).sum((2, 3, 4))
    torch.testing.assert_close(cost(x, batch), squares[:, 0] + squares[:, 1] / 100)


def test_variances_may_belong_to_cells():
    x, batch = random_batch()
    variances = torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(2)) + 0.5
    cost = Cost([ObservationTerm(Variance(variances.tolist()))]).double()
    squares = 0.5 * batch.weight * (x - batch.y) ** 2 / variances.double()
    torch.testing.assert_close(cost(x, batch), squares.flatten(1).sum(1), rtol=1e-5, atol=0)


def test_units_do_not_matter():
    x, batch = random_batch()
    n = x[0].numel()
    prior = Matrix(torch.randn(n, n, dtype=torch.float64))
    in_cm = Batch(100 * batch.y, batch.weight)
    small, large = full_cost(prior), full_cost(prior, 0.5e4, 2e4, 3e4)
    # variances are held as logarithms in single precision
    torch.testing.assert_close(small(x, batch), large(100 * x, in_cm), rtol=2e-6, atol=0)


def test_merged_observations_weigh_as_many():
    x = torch.ones(1, 1, 1, 1, 1)
    three = Batch(torch.zeros_like(x), torch.full_like(x, 3.0))
    assert Cost([ObservationTerm(Variance(1.0))])(x, three).item() == 1.5


@pytest.mark.parametrize(
    "value", [0.0, -1.0, float("nan"), float("inf"), [1.0, -1.0], [1.0, 0.0], []]
)
def test_variances_that_cannot_be(value):
    with pytest.raises(InputError, match=r"variance is .*; fix: give positive variances"):
        Variance(value)


def test_a_learned_variance_stays_positive_and_learns():
    variance = Variance([2.0, 5.0], learned=True)
    torch.testing.assert_close(variance().flatten(), torch.tensor([2.0, 5.0]))
    variance().sum().backward()
    torch.testing.assert_close(variance.log.grad, torch.tensor([2.0, 5.0]))
    with torch.no_grad():
        variance.log -= 50.0
    assert (variance() > 0).all()
    assert not Variance(1.0).log.requires_grad
