"""Functions of the user's own: copied, in their own precision, repeated."""

from __future__ import annotations

import torch

from xr4dvar.dynamics import OwnFunction, Repeated, linearise


def test_a_module_is_copied_and_works_in_float64():
    module = torch.nn.Linear(3, 3)
    own = OwnFunction(module, learned=True)
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(own(x), module.double()(x).detach())
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.zero_()
    assert bool(module.weight.abs().max() > 0)
    assert own(x).abs().max() == 0
    assert own(x.float()).dtype == torch.float32


def test_only_what_is_learned_asks_for_gradients():
    module = torch.nn.Linear(3, 3)
    assert all(p.requires_grad for p in OwnFunction(module, learned=True).parameters())
    assert not any(p.requires_grad for p in OwnFunction(module).parameters())
    assert all(p.requires_grad for p in module.parameters())


def test_derivative_of_repeated_steps_is_the_product():
    step = OwnFunction(lambda x: torch.stack([x[..., 0] * x[..., 1], x[..., 1] ** 2], -1))
    x = torch.tensor([[0.3, 0.7], [1.1, -0.4]], dtype=torch.float64)
    whole, end = linearise(Repeated(step, 2), x)
    first, middle = linearise(step, x)
    second, expected = linearise(step, middle)
    torch.testing.assert_close(end, expected)
    torch.testing.assert_close(whole, second @ first)
