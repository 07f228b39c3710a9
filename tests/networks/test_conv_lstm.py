"""The convolutional LSTM against torch's LSTM cell, which it is at every cell of the grid."""

from __future__ import annotations

import torch
from torch import nn

from xr4dvar.networks import ConvLSTM


def test_without_neighbours_it_is_the_lstm_of_torch():
    torch.manual_seed(0)
    inputs, hidden = 3, 5
    cell = ConvLSTM(inputs, hidden)
    peer = nn.LSTMCell(inputs, hidden)
    enter, remember, candidate, show = torch.cat([peer.weight_ih, peer.weight_hh], 1).chunk(4)
    with torch.no_grad():
        cell.gates.weight.zero_()
        cell.gates.weight[..., 1, 1] = torch.cat([enter, remember, show, candidate])
        one, two, three, four = (peer.bias_ih + peer.bias_hh).chunk(4)
        cell.gates.bias.copy_(torch.cat([one, two, four, three]))
    memory, peer_memory = None, None
    for _ in range(3):
        x = torch.randn(1, inputs, 4, 6)
        out, memory = cell(x, memory)
        pixels = x[0].flatten(1).T
        peer_memory = peer(pixels, peer_memory)
        for ours, theirs in zip(memory, peer_memory, strict=True):
            torch.testing.assert_close(ours[0].flatten(1).T, theirs)
        assert out is memory[0]


def test_it_sees_its_neighbours_and_no_more():
    torch.manual_seed(0)
    cell = ConvLSTM(1, 4)
    x = torch.zeros(1, 1, 7, 7)
    bump = x.clone()
    bump[..., 3, 3] = 1.0
    changed = (cell(bump, None)[0] - cell(x, None)[0]).abs().amax((0, 1)) > 0
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[2:5, 2:5] = True
    assert torch.equal(changed, expected)


def test_memory_is_passed_in_and_out_and_not_kept():
    torch.manual_seed(0)
    cell = ConvLSTM(2, 4)
    x = torch.randn(2, 2, 5, 6)
    first, memory = cell(x, None)
    second, _ = cell(x, memory)
    assert not torch.equal(first, second)
    assert torch.equal(cell(x, None)[0], first)
    zeros = torch.zeros(2, 4, 5, 6)
    assert torch.equal(cell(x, (zeros, zeros))[0], first)
