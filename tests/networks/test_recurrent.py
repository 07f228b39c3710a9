"""The recurrent network: from both ends, and from nothing at first."""

from __future__ import annotations

import torch

from xr4dvar.networks import Recurrent


def make(depth=1, trained=True):
    torch.manual_seed(0)
    network = Recurrent(3, 2, width=4, depth=depth)
    if trained:
        torch.nn.init.normal_(network.leave.weight)
    return network


def test_untrained_it_gives_zero():
    assert (make(trained=False)(torch.randn(2, 3, 1, 9)) == 0).all()


def test_each_place_sees_all_others():
    image = torch.randn(1, 3, 1, 9, requires_grad=True)
    seen = torch.autograd.grad(make()(image)[0, :, 0, 4].sum(), image)[0].abs().sum((0, 1, 2))
    assert (seen > 0).all()


def test_turned_round_with_its_directions_exchanged_it_is_the_same():
    network, turned = make(), make()
    weights = network.lstm.state_dict()
    exchanged = {
        name: weights[name.removesuffix("_reverse") if "_reverse" in name else f"{name}_reverse"]
        for name in weights
    }
    turned.lstm.load_state_dict(exchanged)
    with torch.no_grad():
        turned.leave.weight.copy_(network.leave.weight.roll(4, 1))
    image = torch.randn(2, 3, 1, 9)
    torch.testing.assert_close(turned(image.flip(-1)).flip(-1), network(image))


def test_samples_do_not_see_each_other():
    network = make(depth=2)
    image = torch.randn(2, 3, 1, 9)
    other = image.clone()
    other[1] = 5.0
    assert torch.equal(network(image)[0], network(other)[0])
