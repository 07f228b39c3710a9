"""Noise of cells: normal, independent, and the same however it is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from xr4dvar.cell_noise import cell_noise

SHAPE = (30, 40, 50)
WHOLE = cell_noise([1, 2], np.ogrid[0:30, 0:40, 0:50])


def test_it_is_standard_normal():
    assert WHOLE.shape == SHAPE
    assert kstest(WHOLE.ravel(), "norm").pvalue > 0.01
    # four standard errors of the fourth moment
    assert (WHOLE**4).mean() == pytest.approx(3, abs=4 * (96 / WHOLE.size) ** 0.5)


@pytest.mark.parametrize(
    "other",
    [np.roll(WHOLE, 1, axis) for axis in range(3)]
    + [cell_noise(key, np.ogrid[0:30, 0:40, 0:50]) for key in ([1, 3], [2, 2], [2, 1])],
)
def test_cells_members_and_seeds_are_independent(other):
    correlation = np.corrcoef(WHOLE.ravel(), other.ravel())[0, 1]
    assert abs(correlation) < 4 / WHOLE.size**0.5


@given(st.data())
def test_a_part_is_that_of_the_whole(data):
    ends = [data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2)) for n in SHAPE]
    part = tuple(slice(min(pair), max(pair)) for pair in ends)
    np.testing.assert_array_equal(cell_noise([1, 2], np.ogrid[part]), WHOLE[part])


def test_large_seeds_are_seeds_too():
    noise = [float(cell_noise([seed], [np.arange(1)])[0]) for seed in (2**63, 2**64 - 1, 5)]
    assert len(set(noise)) == 3
