"""Whole windows: all of them, each once, none with a gap, none of the other period."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.builders import gappy, make_data
from xr4dvar.errors import InputError
from xr4dvar.training import windows
from xr4dvar.training.windows import whole_windows

PATCH = {"time": 3, "y": 4, "x": 5}


def places(*shape):
    return gappy(*shape, share=2.0)


def first_times(windows):
    """The first time of each window, from values that tell their place."""
    return sorted((windows[:, 0, 0, 0, 0] // 10_000).astype(int).tolist())


def test_every_window_of_each_period():
    truth = places(12, 4, 5)
    data = make_data(truth, target=[truth], train=(0, 8), validation=(8, 12))
    training, validation = whole_windows(data, PATCH, seed=0)
    assert first_times(training) == [0, 1, 2, 3, 4, 5]
    assert first_times(validation) == [8, 9]
    n = int(training[0, 0, 0, 0, 0] // 10_000)
    np.testing.assert_array_equal(training[0, 0], truth[n : n + 3])


def test_windows_with_a_gap_are_left_out():
    truth = places(12, 4, 5)
    truth[4, 1, 2] = np.nan
    data = make_data(places(12, 4, 5), target=[truth], train=(0, 8), validation=(8, 12))
    assert first_times(whole_windows(data, PATCH, seed=0)[0]) == [0, 1, 5]


def test_where_there_are_too_many_some_are_drawn(monkeypatch):
    truth = places(200, 4, 5)
    data = make_data(truth, target=[truth], train=(0, 150), validation=(150, 200))
    monkeypatch.setattr(windows, "NUMBERS", 20 * 60)
    found = [first_times(whole_windows(data, PATCH, seed)[0]) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) == 20
    assert max(found[0]) > 75, "not the first ones"


def test_there_must_be_a_target_and_a_whole_window():
    truth = places(12, 4, 5)
    with pytest.raises(InputError, match="there is no target; fix: give target="):
        whole_windows(make_data(truth), PATCH, seed=0)
    holes = np.where(np.arange(12)[:, None, None] % 3 == 1, np.nan, truth)
    data = make_data(truth, target=[holes], train=(0, 8), validation=(8, 12))
    with pytest.raises(InputError, match="no window of 3 times without gaps in the training"):
        whole_windows(data, PATCH, seed=0)
