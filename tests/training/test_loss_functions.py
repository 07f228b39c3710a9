"""Training losses: means over the known cells of each sample, with sound gradients."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.training.loss_functions import gradient_loss, supervised_loss

LOSSES = [supervised_loss, gradient_loss]
EVERY = torch.ones(1)


def random_pair(shape=(3, 2, 2, 5, 6), share=0.7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    analysis = torch.randn(shape, generator=generator, dtype=torch.float64)
    target = torch.randn(shape, generator=generator, dtype=torch.float64)
    known = torch.rand(shape, generator=generator) < share
    return analysis, torch.where(known, target, torch.nan)


def test_supervised_is_the_mean_square_error_of_known_cells():
    analysis, target = random_pair()
    expected = ((analysis - target) ** 2).flatten(1).nanmean(1)
    torch.testing.assert_close(supervised_loss(analysis, target, EVERY), expected)


def test_weights_weigh():
    analysis, target = random_pair(share=1.0)
    weight = torch.rand(1, 1, 2, 1, 1, dtype=torch.float64)
    squares = (analysis - target) ** 2
    expected = (weight * squares).flatten(1).sum(1) / weight.expand_as(squares).flatten(1).sum(1)
    torch.testing.assert_close(supervised_loss(analysis, target, weight), expected)
    torch.testing.assert_close(
        supervised_loss(analysis, target, 7 * weight), expected, msg="weights are relative"
    )


def test_gradient_loss_is_the_error_of_differences():
    analysis, target = random_pair()
    error = analysis - target
    expected = sum((error.diff(dim=dim) ** 2).flatten(1).nanmean(1) for dim in (-2, -1))
    torch.testing.assert_close(gradient_loss(analysis, target, EVERY), expected)


def test_gradient_loss_does_not_see_a_constant_error():
    _, target = random_pair(share=1.0)
    assert gradient_loss(target + 3.0, target, EVERY).max() < 1e-20


@pytest.mark.parametrize("shape", [(2, 1, 3, 1, 1), (2, 1, 3, 1, 4), (2, 1, 3, 4, 1)])
def test_gradient_loss_of_axes_that_are_not_there(shape):
    analysis, target = random_pair(shape, share=1.0)
    loss = gradient_loss(analysis, target, EVERY)
    assert torch.isfinite(loss).all()
    assert bool((loss > 0).all()) == (max(shape[-2:]) > 1)


@pytest.mark.parametrize("loss", LOSSES)
def test_gaps_of_the_target_give_no_gradient_and_no_nan(loss):
    analysis, target = random_pair()
    target[0] = torch.nan  # a sample of which nothing is known
    analysis.requires_grad_()
    values = loss(analysis, target, EVERY)
    assert values[0] == 0
    values.sum().backward()
    assert torch.isfinite(analysis.grad).all()
    assert (analysis.grad[0] == 0).all()
    if loss is supervised_loss:
        assert torch.equal(analysis.grad[1:] != 0, torch.isfinite(target[1:]))


@pytest.mark.parametrize("loss", LOSSES)
def test_derivatives(loss):
    analysis, target = random_pair((2, 1, 2, 3, 4))
    analysis.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, target, EVERY), analysis)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_sample_does_not_feel_the_others(loss):
    analysis, target = random_pair()
    before = loss(analysis, target, EVERY)
    analysis[1:], target[1:] = 1e9, torch.nan
    assert loss(analysis, target, EVERY)[0] == before[0]
