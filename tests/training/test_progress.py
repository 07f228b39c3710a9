"""Averages of the weights, the best of them, and all of it put back after a stop."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xr4dvar.methods import Training
from xr4dvar.training.progress import Progress


class Counter(nn.Module):
    """A weight, and a buffer of whole numbers."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("count", torch.tensor(0))


def advance(progress, network, value, **values):
    with torch.no_grad():
        network.weight.fill_(value)
        network.count.fill_(int(value))
    progress.after_step(network, {"loss": value, **values})


@pytest.fixture
def network():
    return Counter()


@pytest.fixture
def progress(network):
    return Progress(Training(steps=100, steps_per_epoch=2, averaging=0.9), network.state_dict())


def test_the_average_forgets_as_it_says_and_faster_while_young(network, progress):
    expected = 0.0
    for step in range(1, 101):
        advance(progress, network, float(step))
        decay = min(0.9, step / (step + 10))
        expected = decay * expected + (1 - decay) * step
        assert progress.average["weight"][0].item() == pytest.approx(expected, rel=1e-5)
    assert progress.average["count"].item() == 100, "whole numbers are copied"


def test_no_averaging_is_the_last_weights(network):
    progress = Progress(Training(averaging=0.0), network.state_dict())
    advance(progress, network, 3.0)
    assert (progress.average["weight"] == 3.0).all()


def test_validation_sees_the_average_and_training_goes_on_as_before(network, progress):
    advance(progress, network, 1.0)
    advance(progress, network, 5.0)
    seen = []

    def validate(network):
        assert not network.training
        seen.append(network.weight.detach().clone())
        return 1.0

    progress.after_epoch(network, validate)
    assert torch.equal(seen[0], progress.average["weight"])
    assert not torch.equal(seen[0], network.weight)
    assert (network.weight == 5.0).all()


def test_state_and_restore(network, progress):
    for value in (1.0, 2.0, 9.0, 9.0):
        advance(progress, network, value)
        if progress.epoch_ends:
            progress.after_epoch(network, lambda network: network.weight.sum().item())
    again = Progress(progress.training, Counter().state_dict())
    again.restore(progress.state())
    assert again.step == 4
    assert again.best_epoch == progress.best_epoch == 0
    assert again.history().identical(progress.history())
    assert torch.equal(again.average["weight"], progress.average["weight"])
    assert torch.equal(again.best["weight"], progress.best["weight"])
    assert not torch.equal(again.best["weight"], again.average["weight"])


def test_the_best_is_a_copy(network, progress):
    advance(progress, network, 1.0)
    progress.after_epoch(network, lambda network: 1.0)
    best = progress.best["weight"].clone()
    advance(progress, network, 9.0)
    assert torch.equal(progress.best["weight"], best)


def test_the_end(network):
    progress = Progress(Training(steps=5, steps_per_epoch=2, patience=1), network.state_dict())
    ends = []
    for step in range(5):
        assert not progress.finished
        advance(progress, network, float(step))
        ends.append(progress.epoch_ends)
        if progress.epoch_ends:
            progress.after_epoch(network, lambda network: -progress.step)
    assert progress.finished
    assert ends == [False, True, False, True, True]
