"""Linear interpolation in time: exact where it should be, and no gap left."""

from __future__ import annotations

import numpy as np
import pytest

from xr4dvar.contract.engine import engine_for
from xr4dvar.methods import LinearInterpolation, Parameters, Patches

TIME = np.array([0.0, 1.0, 2.5, 4.0, 7.0, 7.5])


def solve(y, time=TIME):
    coordinates = {} if time is None else {"time": np.broadcast_to(time, (len(y), len(time)))}
    return engine_for(LinearInterpolation(), Parameters()).maps(Patches(y, coordinates))


def linear_field(n=2, variables=2):
    slope, start = np.random.default_rng(0).normal(size=(2, n, variables, 1, 4, 5))
    return start + slope * TIME[:, None, None]


def test_a_field_linear_in_time_is_found_again():
    truth = linear_field()
    y = truth.copy()
    inner = y[:, :, 1:-1]
    inner[np.random.default_rng(1).random(inner.shape) < 0.6] = np.nan
    np.testing.assert_allclose(solve(y), truth, rtol=1e-12)


def test_observations_stay_as_they_are():
    y = np.random.default_rng(0).normal(size=(2, 1, 6, 4, 5))
    y[np.random.default_rng(1).random(y.shape) < 0.5] = np.nan
    before = y.copy()
    maps = solve(y)
    seen = np.isfinite(y)
    np.testing.assert_array_equal(maps[seen], y[seen])
    np.testing.assert_array_equal(y, before)
    assert np.isfinite(maps).all()


def test_before_the_first_and_after_the_last_the_value_is_kept():
    y = np.full((1, 1, 6, 1, 1), np.nan)
    y[0, 0, 2], y[0, 0, 3] = 1.0, 3.0
    assert solve(y).ravel().tolist() == [1.0, 1.0, 1.0, 3.0, 3.0, 3.0]


def test_cells_never_observed_take_the_nearest_value_of_the_same_time():
    y = np.full((1, 1, 6, 1, 5), np.nan)
    y[0, 0, :, 0, 0] = np.arange(6)
    y[0, 0, :, 0, 4] = 10 + np.arange(6)
    maps = solve(y)[0, 0, :, 0]
    for time, row in enumerate(maps):
        assert row[[0, 1, 3, 4]].tolist() == [time, time, 10 + time, 10 + time]
        assert row[2] in (time, 10 + time)


def test_samples_and_variables_are_apart():
    y = np.full((2, 2, 6, 2, 2), np.nan)
    for n in range(2):
        for v in range(2):
            y[n, v, 0, 0, 0] = 10 * n + v
    maps = solve(y)
    for n in range(2):
        for v in range(2):
            assert (maps[n, v] == 10 * n + v).all()


def test_nothing_observed_is_nothing_known():
    assert np.isnan(solve(np.full((1, 1, 6, 2, 2), np.nan))).all()


def test_without_time_the_nearest_cell():
    y = np.array([[1.0, np.nan, np.nan, 4.0]]).reshape(1, 1, 1, 1, 4)
    assert solve(y, time=None).ravel().tolist() == [1.0, 1.0, 4.0, 4.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays(dtype):
    assert solve(linear_field().astype(dtype)).dtype == dtype
