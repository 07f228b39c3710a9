"""The bilinear prior: a linear part and a quadratic part."""

from __future__ import annotations

import torch

from xr4dvar.priors import BilinearAutoEncoder


def make(state=4, context=0, hidden=5):
    torch.manual_seed(0)
    return BilinearAutoEncoder(state, context, hidden).double()


def without_biases(prior):
    for name, parameter in prior.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    return prior


def random_state(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_it_is_a_linear_and_a_quadratic_part():
    prior = without_biases(make())
    x = random_state(2, 2, 2, 6, 7)
    one, two, three = (prior(s * x, None) for s in (1.0, 2.0, 3.0))
    linear, quadratic = 2 * one - two / 2, two / 2 - one
    assert linear.abs().max() > 1e-3
    assert quadratic.abs().max() > 1e-3
    torch.testing.assert_close(three, 3 * linear + 9 * quadratic)


def test_without_the_product_it_is_linear_in_scale():
    prior = without_biases(make())
    torch.nn.init.zeros_(prior.left.weight)
    x = random_state(1, 2, 2, 6, 7)
    torch.testing.assert_close(prior(3 * x, None), 3 * prior(x, None))


def test_zero_weights_give_zero():
    prior = make()
    for parameter in prior.parameters():
        torch.nn.init.zeros_(parameter)
    assert (prior(random_state(1, 2, 2, 5, 5), None) == 0).all()


def test_it_is_the_same_everywhere():
    prior = make()
    x = random_state(1, 2, 2, 16, 18)
    shifted = prior(x.roll((2, 3), (-2, -1)), None)
    expected = prior(x, None).roll((2, 3), (-2, -1))
    inner = (..., slice(6, -4), slice(7, -4))  # it looks 4 cells far
    torch.testing.assert_close(shifted[inner], expected[inner])


def test_every_time_sees_every_other_and_the_context():
    prior = make(state=4, context=4)
    x = random_state(1, 2, 2, 6, 6).requires_grad_()
    context = random_state(1, 2, 2, 6, 6).requires_grad_()
    out = prior(x, context)
    for v in range(2):
        for t in range(2):
            gradients = torch.autograd.grad(out[0, v, t, 3, 3], (x, context), retain_graph=True)
            assert all((g.abs().amax((0, 3, 4)) > 0).all() for g in gradients)
