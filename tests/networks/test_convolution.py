"""The convolution against torch's own; on a ring no place is special."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xr4dvar.networks import Convolution, UNet
from xr4dvar.networks.layout import Layout


def test_it_is_that_of_torch():
    ours = Convolution(2, 3, (3, 5))
    theirs = nn.Conv2d(2, 3, (3, 5), padding="same")
    theirs.load_state_dict(ours.state_dict())
    image = torch.rand(2, 2, 6, 7)
    torch.testing.assert_close(ours(image), theirs(image))


def shifts_with_its_input(network, image):
    shifted = network(image.roll(3, -1))
    return torch.allclose(shifted, network(image).roll(3, -1), atol=1e-6)


@pytest.mark.parametrize("wraps", [True, False])
def test_a_ring_has_no_ends(wraps):
    torch.manual_seed(0)
    network = Convolution(2, 3, (3, 5), wraps=wraps)
    assert shifts_with_its_input(network, torch.rand(1, 2, 4, 9)) == wraps


@pytest.mark.parametrize("wraps", [True, False])
def test_nor_for_a_network(wraps):
    torch.manual_seed(0)
    network = UNet(2, 3, (4,), 2, Layout("time-x", 1, wraps))
    nn.init.normal_(network.leave.weight)
    assert shifts_with_its_input(network, torch.rand(1, 2, 4, 9)) == wraps


def test_a_series_gets_coarser_along_time_only():
    network = UNet(2, 3, (4, 5), 1, Layout("time"))
    assert network(torch.rand(1, 2, 1, 9)).shape == (1, 3, 1, 9)
    assert network.enter.kernel_size == (1, 3)


def test_a_kernel_may_go_round_a_small_ring_more_than_once():
    """As on the same ring twice."""
    network = Convolution(2, 3, (3, 9), wraps=True)
    image = torch.rand(1, 2, 4, 3)
    twice = network(torch.cat([image, image], -1))
    torch.testing.assert_close(network(image), twice[..., :3])
