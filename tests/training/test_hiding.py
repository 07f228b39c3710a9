"""Hiding observations: the right share, only what was observed, in the right shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr4dvar.training.hiding import hide, hider

SHAPES = ["random", "patches", "mixed"]


def random_mask(shape=(2, 5, 20, 24), share=0.6, seed=0):
    return np.random.default_rng(seed).random(shape) < share


def neighbour_correlation(hidden):
    """Correlation of a cell with the next one in x."""
    return np.corrcoef(hidden[..., 1:].ravel(), hidden[..., :-1].ravel())[0, 1]


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    st.floats(0, 1),
    st.floats(0.01, 0.99),
    st.sampled_from(SHAPES),
    st.integers(0, 99),
)
def test_share_of_what_is_observed_is_hidden(size, observed_share, share, shape, seed):
    observed = random_mask(size, observed_share, seed)
    before = observed.copy()
    hidden = hide(observed, np.random.default_rng(seed), shape=shape, share=share)
    assert hidden.dtype == bool
    assert not (hidden & ~observed).any()
    np.testing.assert_array_equal(observed, before)
    counts = observed.sum((1, 2, 3))
    np.testing.assert_array_equal(hidden.sum((1, 2, 3)), [round(share * n) for n in counts])


def test_patches_hang_together_and_random_cells_do_not():
    observed = np.ones((1, 10, 60, 60), bool)
    correlation = {
        shape: neighbour_correlation(
            hide(observed, np.random.default_rng(0), shape=shape, share=0.3)
        )
        for shape in ("random", "patches")
    }
    assert abs(correlation["random"]) < 0.02
    assert correlation["patches"] > 0.7


def test_patches_move_from_time_to_time():
    observed = np.ones((1, 40, 40, 40), bool)
    hidden = hide(observed, np.random.default_rng(0), shape="patches", share=0.3)[0]
    far = np.corrcoef(hidden[10:].ravel(), hidden[:-10].ravel())[0, 1]
    near = np.corrcoef(hidden[1:].ravel(), hidden[:-1].ravel())[0, 1]
    assert abs(far) < 0.1 < near


def test_mixed_draws_both():
    observed = np.ones((1, 4, 40, 40), bool)
    generator = np.random.default_rng(0)
    correlations = [
        neighbour_correlation(hide(observed, generator, shape="mixed", share=0.3))
        for _ in range(12)
    ]
    assert {correlation > 0.4 for correlation in correlations} == {True, False}


@pytest.mark.parametrize("shape", ["random", "patches"])
def test_variables_share_their_clouds(shape):
    observed = np.ones((2, 4, 20, 20), bool)
    one, two = hide(observed, np.random.default_rng(0), shape=shape, share=0.3)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_generator_decides(shape):
    observed = random_mask()
    hidden = [hider(shape, 0.3)(observed, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(hidden[0], hidden[1])
    assert (hidden[0] != hidden[2]).any()
