"""The training loop on a regression whose answer is known."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tests.training import regression
from tests.training.regression import FLOOR, run
from xr4dvar.errors import InputError


def test_it_learns_down_to_the_noise():
    weights, history = run(steps=300)
    assert weights["weight"].item() == pytest.approx(2, abs=0.05)
    assert weights["bias"].item() == pytest.approx(1, abs=0.05)
    validation = history.validation_loss.values
    assert validation.min() == pytest.approx(FLOOR, rel=0.05)
    assert validation[0] > 2 * FLOOR
    assert history.train_loss[-1] == pytest.approx(FLOOR, rel=0.05)


def scripted(scores):
    """A validation with given scores, and the weights that it was shown."""
    seen = []

    def validate(network):
        seen.append({name: value.numpy().copy() for name, value in network.state_dict().items()})
        return scores[len(seen) - 1]

    return validate, seen


def equal(one, two):
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)


def test_the_best_weights_are_kept_not_the_last():
    validate, seen = scripted([3.0, 1.0, 2.0, 1.0, 5.0, 4.0])
    weights, history = run(validate=validate)
    assert equal(weights, seen[1])
    assert not equal(weights, seen[-1])
    assert history.attrs["best_epoch"] == 2
    assert history.validation_loss.values.tolist() == [3.0, 1.0, 2.0, 1.0, 5.0, 4.0]


def test_it_stops_when_validation_no_longer_improves():
    validate, seen = scripted([3.0, 2.0, 2.5, 2.2, 1.0, 1.0])
    weights, history = run(validate=validate, patience=2)
    assert history.sizes["epoch"] == 4
    assert history.step[-1] == 40
    assert equal(weights, seen[1])


def test_gradients_are_clipped():
    def norms(clip):
        found = []

        def record(optimizer, *_):
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
            found.append(float(torch.cat([g.flatten() for g in gradients]).norm()))

        handle = register_optimizer_step_pre_hook(record)
        try:
            run(gradient_clip=clip, steps=10)
        finally:
            handle.remove()
        return np.array(found)

    free, clipped = norms(1e9), norms(0.5)
    assert free[0] > 1
    assert len(clipped) == 10
    assert clipped.max() <= 0.5 * (1 + 1e-5)
    assert clipped[0] == pytest.approx(0.5, rel=1e-5), "scaled, not dropped"


def broken_at(step, value):
    """The loss of the toy, which goes wrong at a step."""
    calls = []

    def loss(network, sample):
        calls.append(sample)
        squares, parts = regression.loss(network, sample)
        return (squares * value(network) if len(calls) == step + 1 else squares), parts

    return loss


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(bad):
    with pytest.raises(InputError, match=f"loss is {bad} at step 3; fix: lower learning_rate"):
        run(loss=broken_at(3, lambda network: bad))


def test_a_gradient_that_is_not_finite():
    """The root of zero: the loss is 0, its slope is not a number."""

    def value(network):
        return (network.weight.sum() * 0).sqrt()

    with pytest.raises(InputError, match=r"gradient .* not finite at step 3; fix: lower"):
        run(loss=broken_at(3, value))


def test_the_users_random_numbers_stay_as_they_were():
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    run(steps=20)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[1], strict=True))
    assert random.getstate() == before[2]


def test_the_same_call_gives_the_same_weights():
    (one, history), (two, other) = run(), run()
    assert equal(one, two)
    assert history.drop_vars("seconds").identical(other.drop_vars("seconds"))
    assert not equal(one, run(sample=lambda step, rank: regression.sample(step + 1))[0])


def test_the_history_tells_how_training_went():
    _, history = run(steps=25)
    assert set(history.data_vars) == {
        "train_loss",
        "supervised",
        "validation_loss",
        "learning_rate",
        "step",
        "seconds",
    }
    assert history.sizes == {"epoch": 3}
    assert history.epoch.values.tolist() == [1, 2, 3]
    assert history.step.values.tolist() == [10, 20, 25]
    assert (history.seconds.diff("epoch") > 0).all()
    assert history.seconds.attrs["units"] == "s"
    np.testing.assert_allclose(history.train_loss, history.supervised)


def test_the_history_holds_means_over_the_epoch():
    losses = []

    def loss(network, sample):
        squares, parts = regression.loss(network, sample)
        losses.append(float(squares.mean().detach()))
        return squares, parts

    _, history = run(loss=loss, steps=25)
    expected = [np.mean(losses[:10]), np.mean(losses[10:20]), np.mean(losses[20:])]
    np.testing.assert_allclose(history.train_loss, expected)


def test_the_training_rate_is_used():
    """No step at rate 0, whatever the gradient; the first step is the rate's, for Adam."""
    network = regression.make_network()
    before = network.weight.item()
    run(network=network, steps=1, averaging=0.0)
    # AdamW moves by the rate, and decays by 1 % of it
    rate = regression.OPTIONS["learning_rate"] / 100
    assert abs(network.weight.item() - before * (1 - 0.01 * rate)) == pytest.approx(rate, rel=1e-3)
