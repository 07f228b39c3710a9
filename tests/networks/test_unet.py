"""The U-Net: starts at nothing, takes any size, sees as far as its levels say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xr4dvar.networks import UNet


def trained(inputs, outputs, widths, seed=0):
    """A network whose last layer is no longer zero."""
    torch.manual_seed(seed)
    network = UNet(inputs, outputs, widths).double()
    torch.nn.init.normal_(network.leave.weight)
    return network


@settings(max_examples=25)
@given(st.integers(1, 13), st.integers(1, 13), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_any_size_and_any_levels(ny, nx, widths):
    out = trained(2, 3, widths)(torch.randn(2, 2, ny, nx, dtype=torch.float64))
    assert out.shape == (2, 3, ny, nx)
    assert torch.isfinite(out).all()


def test_untrained_it_gives_zero_and_can_learn_at_once():
    network = UNet(2, 1, (4, 6))
    out = network(torch.randn(1, 2, 8, 8))
    assert (out == 0).all()
    (out - 1).square().sum().backward()
    assert network.leave.weight.grad.abs().max() > 0


def test_every_weight_takes_part():
    network = trained(2, 1, (4, 6, 8))
    network(torch.randn(1, 2, 9, 7, dtype=torch.float64)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("widths", "reach"), [((6,), 4), ((6, 6), 15), ((6, 6, 6), 36)])
def test_levels_widen_what_is_seen(widths, reach):
    network = trained(1, 1, widths)
    x = torch.zeros(1, 1, 1, 81, dtype=torch.float64)
    bump = x.clone()
    bump[..., 40] = 1.0
    changed = (network(bump) - network(x))[0, 0, 0].abs() > 0
    distance = (torch.arange(81) - 40).abs()
    assert changed[distance == 0].all()
    assert distance[changed].max() <= reach
    assert distance[changed].max() > reach / 2


def test_a_sample_does_not_feel_the_others():
    network = trained(1, 1, (4, 4))
    x = torch.randn(2, 1, 7, 7, dtype=torch.float64)
    other = torch.stack([x[0], 1e6 * x[1]])
    assert torch.equal(network(x)[0], network(other)[0])
