"""Blocks of training data: from the right place, and never more shown than was observed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.builders import gappy, make_data
from xr4dvar.contract.training_data import BlockBox

MEMBERS = make_data(np.zeros((3, 12, 6, 8)) + np.arange(8.0), dims=("member", "time", "y", "x"))


def generator(seed=0):
    return np.random.default_rng(seed)


@given(st.integers(0, 2**16), st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))
def test_boxes_stay_in_their_period(seed, time, y, x):
    box = MEMBERS.box((4, 11), {"time": time, "y": y, "x": x}, generator(seed))
    lengths = [s.stop - s.start for s in box.slices]
    assert lengths == [min(time, 7), min(y, 6), min(x, 8)]
    assert all(s.start >= first for s, first in zip(box.slices, (4, 0, 0), strict=True))
    assert all(s.stop <= last for s, last in zip(box.slices, (11, 6, 8), strict=True))
    assert 0 <= box.entry[0] < 3


def test_boxes_reach_every_place():
    boxes = [
        MEMBERS.box((4, 11), {"time": 3, "y": 2, "x": 8}, generator(seed)) for seed in range(200)
    ]
    starts = [{box.slices[axis].start for box in boxes} for axis in range(3)]
    assert starts == [set(range(4, 9)), set(range(5)), {0}]
    assert {box.entry for box in boxes} == {(0,), (1,), (2,)}


def test_without_a_generator_the_first_corner():
    box = MEMBERS.box((4, 11), {"time": 3, "y": 2})
    assert box == BlockBox((0,), (slice(4, 7), slice(0, 2), slice(0, 8)))


def test_a_block_is_read_where_the_box_is():
    obs, truth = gappy(2, 12, 6, 8), gappy(2, 12, 6, 8, share=1.0)
    data = make_data(obs, target=[truth], dims=("member", "time", "y", "x"))
    block = data.block(BlockBox((1,), (slice(3, 7), slice(2, 4), slice(0, 5))), generator())
    np.testing.assert_array_equal(block.y, obs[1:, 3:7, 2:4, :5])
    np.testing.assert_array_equal(block.target, truth[1:, 3:7, 2:4, :5])
    assert {role: list(values) for role, values in block.coordinates.items()} == {
        "time": [103.0, 104.0, 105.0, 106.0],
        "y": [22.0, 23.0],
        "x": [3.0, 4.0, 5.0, 6.0, 7.0],
    }


@pytest.mark.parametrize(
    ("dims", "shape"),
    [(("time",), (1, 5, 1, 1)), (("y", "x"), (1, 1, 4, 3)), (("time", "x"), (1, 5, 1, 3))],
)
def test_axes_that_are_not_there_have_size_one(dims, shape):
    sizes = {"time": 5, "y": 4, "x": 3}
    obs = np.random.default_rng(0).normal(size=[sizes[dim] for dim in dims])
    data = make_data(obs, target=[obs], dims=dims)
    block = data.block(data.box(data.train, {}), generator())
    assert block.y.shape == block.target.shape == shape
    np.testing.assert_array_equal(block.y.ravel(), obs.ravel())
    assert set(block.coordinates) == set(dims)


def test_hidden_and_shown_make_up_the_observations():
    variables = gappy(12, 6, 8), gappy(12, 6, 8, seed=1)
    data = make_data(*variables, share=0.25)
    block = data.block(data.box(data.train, {}), generator())
    assert not (np.isfinite(block.y) & np.isfinite(block.target)).any()
    both = np.where(np.isfinite(block.y), block.y, block.target)
    np.testing.assert_array_equal(both, np.stack(variables))
    observed, hidden = np.isfinite(both), np.isfinite(block.target)
    np.testing.assert_allclose(hidden.sum((1, 2, 3)), 0.25 * observed.sum((1, 2, 3)), atol=0.5)


def test_a_block_never_shows_what_it_hides():
    """Other values in the hidden cells: what is shown stays the same to the last bit."""
    obs = gappy(12, 6, 8)
    data = make_data(obs)
    box = data.box(data.train, {})
    block = data.block(box, generator())
    hidden = np.isfinite(block.target[0])
    assert hidden.any()
    other = np.where(hidden, -1e6, obs)
    changed = make_data(other).block(box, generator())
    np.testing.assert_array_equal(changed.y, block.y)
    assert (changed.target[0][hidden] == -1e6).all()


@pytest.fixture
def truth_and_errors():
    """A truth with land, and observations of it whose errors are all different."""
    truth = gappy(12, 6, 8, share=1.0)
    truth[:, 0, :3] = np.nan
    errors = np.arange(truth.size).reshape(truth.shape) / 1e3
    obs = np.where(generator(1).random(truth.shape) < 0.4, truth + errors, np.nan)
    return truth, obs


BOX = BlockBox((), (slice(0, 4), slice(0, 6), slice(0, 8)))
OTHER = BlockBox((), (slice(5, 9), slice(0, 6), slice(0, 8)))


def test_observing_anew_takes_the_errors_that_were_made(truth_and_errors):
    truth, obs = truth_and_errors
    data = make_data(obs, target=[truth])
    block = data.block(BOX, generator(), error_of=OTHER)
    np.testing.assert_array_equal(block.target[0], truth[0:4])
    there = np.isfinite(obs[5:9]) & np.isfinite(truth[0:4])
    np.testing.assert_array_equal(np.isfinite(block.y[0]), there)
    found = (block.y - block.target)[0][there]
    np.testing.assert_allclose(found, (obs - truth)[5:9][there], atol=1e-9)
    assert np.abs(found).min() > 0


@pytest.mark.parametrize("error_of", [None, OTHER])
def test_the_truth_that_was_not_observed_is_not_shown(truth_and_errors, error_of):
    truth, obs = truth_and_errors
    block = make_data(obs, target=[truth]).block(BOX, generator(), error_of=error_of)
    unseen = ~np.isfinite(block.y[0])
    other = truth.copy()
    other[0:4][unseen] += 1e6
    changed = make_data(obs, target=[other]).block(BOX, generator(), error_of=error_of)
    np.testing.assert_array_equal(changed.y, block.y)
    assert not np.array_equal(changed.target, block.target, equal_nan=True)
