"""Parts of the data to tune on, and what is hidden there."""

from __future__ import annotations

import numpy as np
import pytest

from xr4dvar.methods.oi.blocks import box_with_data, gaps_elsewhere


def test_a_box_lies_where_the_data_are():
    observed = np.zeros((3, 200, 200), dtype=bool)
    observed[:, :20, 180:] = True
    axes = {"time": np.arange(3.0), "y": np.arange(200.0), "x": np.arange(200.0)}
    box = box_with_data(observed, axes, (10.0, 60.0, 60.0), 5000, np.random.default_rng(0))
    assert np.prod([part.stop - part.start for part in box]) <= 5000
    assert observed[box].mean() > 0.2


def test_gaps_that_last_are_hidden_as_they_are():
    """A block that is missing for four months is moved whole."""
    observed = np.ones((36, 40, 40), dtype=bool)
    observed[16:20, 15:22, 15:22] = False
    hidden = gaps_elsewhere(observed, np.random.default_rng(0))
    assert not (hidden & ~observed).any()
    assert 0.02 < hidden.sum() / observed.sum() < 0.25
    lasting = hidden[:-1] & hidden[1:]
    assert lasting.sum() > 0.6 * hidden.sum()


def test_a_time_of_which_little_is_left_is_hidden_whole():
    """Tracks of a satellite: nothing of the same pass stays beside what is hidden."""
    generator = np.random.default_rng(0)
    observed = generator.random((60, 30, 30)) < 0.04
    hidden = gaps_elsewhere(observed, generator)
    times = hidden.any((1, 2))
    np.testing.assert_array_equal(hidden[times], observed[times])
    assert 0.1 < hidden.sum() / observed.sum() < 0.3


@pytest.mark.parametrize("shape", [(1, 30, 40), (3, 30, 40), (20, 1, 1), (40, 10, 10)])
def test_without_gaps_times_and_boxes_are_hidden(shape):
    hidden = gaps_elsewhere(np.ones(shape, dtype=bool), np.random.default_rng(0))
    assert 0.02 < hidden.mean() < 0.5


def test_land_is_no_gap():
    observed = np.ones((6, 20, 20), dtype=bool)
    observed[:, :, :8] = False
    hidden = gaps_elsewhere(observed, np.random.default_rng(0))
    assert not hidden[:, :, :8].any()
    assert hidden.any()
