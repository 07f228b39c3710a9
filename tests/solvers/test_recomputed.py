"""Computed again for the gradient: the same gradient, in the same precision."""

from __future__ import annotations

import torch

from xr4dvar.solvers.recomputed import recomputed


def test_its_gradients_are_right():
    generator = torch.Generator().manual_seed(0)
    x, y, w = torch.randn(3, 4, dtype=torch.float64, generator=generator).requires_grad_()

    def both(x, y, w):
        return recomputed(
            lambda x, y, differentiable: (w * x.sin() * y, (w * y).exp()), [x, y], [w]
        )

    assert torch.autograd.gradcheck(both, (x, y, w))


def test_it_runs_once_forward_and_once_back():
    runs = []

    def run(x, differentiable):
        runs.append(differentiable)
        assert torch.is_grad_enabled() == differentiable
        return (2 * x,)

    x = torch.ones(3, requires_grad=True)
    (twice,) = recomputed(run, [x], [])
    twice.sum().backward()
    assert runs == [False, True]
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_an_output_that_needs_no_gradient_has_none():
    x = torch.ones(3, requires_grad=True)
    once, _ = recomputed(lambda x, differentiable: (3 * x, torch.zeros(2)), [x], [])
    once.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


def test_mixed_precision_is_that_of_the_way_forward():
    seen = []

    def run(x, differentiable):
        product = x @ x
        seen.append(product.dtype)
        return (product.float(),)

    x = torch.ones(2, 2, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        (product,) = recomputed(run, [x], [])
    product.sum().backward()
    assert seen == [torch.bfloat16, torch.bfloat16]
