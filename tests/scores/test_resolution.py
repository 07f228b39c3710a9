"""The crossing of a spectral score with a level: known regions, edges, and matplotlib's path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xr4dvar.scores import effective_resolution, without_islands

FREQUENCY_T, FREQUENCY_X = np.arange(1, 21) / 42.0, np.arange(1, 40) / 8.0
PERIOD, WAVELENGTH = 1 / FREQUENCY_T, 1 / FREQUENCY_X


def in_one_go(score: np.ndarray, level: float = 0.5) -> tuple[float, float]:
    return effective_resolution(score, PERIOD, WAVELENGTH, level)


def box(n_t: int, n_x: int) -> np.ndarray:
    """A score of one for the first rows and columns, zero elsewhere."""
    score = np.zeros((PERIOD.size, WAVELENGTH.size))
    score[:n_t, :n_x] = 1.0
    return score


def test_a_step_is_crossed_half_way_in_wavelength() -> None:
    expected = (WAVELENGTH[[4, 5]].mean(), PERIOD[[6, 7]].mean())
    assert in_one_go(box(7, 5)) == pytest.approx(expected, rel=1e-12)


def test_a_score_linear_in_wavelength_is_crossed_exactly() -> None:
    score = np.broadcast_to(WAVELENGTH / 3.0, (PERIOD.size, WAVELENGTH.size))
    lambda_x, lambda_t = in_one_go(score)
    assert lambda_x == pytest.approx(1.5, rel=1e-12)
    assert lambda_t == PERIOD[-1]  # the contour runs along all periods


def test_islands_and_holes_do_not_count() -> None:
    plain = in_one_go(box(7, 5))
    island, hole = box(7, 5), box(7, 5)
    island[12:14, 20:22] = 1.0
    hole[3, 2] = 0.0
    diagonal = box(7, 5)
    diagonal[7, 5] = 1.0  # touches the region at a corner only
    assert in_one_go(island) == in_one_go(hole) == in_one_go(diagonal) == plain


def test_a_speck_at_the_largest_scale_does_not_hide_the_region() -> None:
    score = box(7, 5)
    score[0, 0] = 0.0
    assert in_one_go(score) == in_one_go(box(7, 5))


def test_a_speck_at_the_longest_period_is_an_island_too() -> None:
    score = box(7, 5)
    score[0, 20] = score[15, 0] = 1.0
    assert in_one_go(score) == in_one_go(box(7, 5))


def test_all_resolved_is_the_smallest_scale() -> None:
    assert in_one_go(np.ones((PERIOD.size, WAVELENGTH.size))) == (WAVELENGTH[-1], PERIOD[-1])


def test_nothing_resolved_is_nan() -> None:
    assert np.isnan(in_one_go(box(0, 0))).all()
    inner = box(0, 0)
    inner[10:14, 20:24] = 1.0  # no large scale among them
    assert np.isnan(in_one_go(inner)).all()


def test_nan_is_not_guessed_round() -> None:
    score = box(7, 5)
    score[15, 30] = np.nan
    assert np.isnan(in_one_go(score)).all()


def test_minus_infinity_cuts_at_the_resolved_bin() -> None:
    score = np.where(box(7, 5) == 1, 1.0, -np.inf)
    assert in_one_go(score) == pytest.approx((WAVELENGTH[4], PERIOD[6]), rel=1e-12)


def test_other_levels() -> None:
    score = np.broadcast_to(WAVELENGTH / 8.0, (PERIOD.size, WAVELENGTH.size))
    assert in_one_go(score, level=0.25)[0] == pytest.approx(2.0, rel=1e-12)


def smooth_score(seed: int, roughness: float) -> np.ndarray:
    """A plausible score: a smooth filter and some noise."""
    rng = np.random.default_rng(seed)
    reach_x, reach_t = rng.uniform(0.3, 2.0), rng.uniform(0.05, 0.25)
    transfer = np.exp(-((FREQUENCY_T[:, None] / reach_t) ** 2) - (FREQUENCY_X / reach_x) ** 2)
    return 1 - (1 - transfer) ** 2 + roughness * rng.normal(size=transfer.shape)


def paths(score: np.ndarray) -> list[np.ndarray]:
    """Contours of matplotlib's own engine, on axes of wavelength and period."""
    contourpy = pytest.importorskip("contourpy")
    generator = contourpy.contour_generator(WAVELENGTH, PERIOD, score, name="serial")
    return [np.asarray(line) for line in generator.lines(0.5)]


@pytest.mark.parametrize("seed", range(20))
def test_a_single_contour_is_the_one_of_matplotlib(seed: int) -> None:
    score = smooth_score(seed, roughness=0.0)
    (path,) = paths(score)
    assert in_one_go(score) == pytest.approx(tuple(path.min(axis=0)), rel=1e-9)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), roughness=st.floats(0.02, 0.15))
def test_noisy_scores_agree_with_matplotlib_once_islands_are_gone(
    seed: int, roughness: float
) -> None:
    score = smooth_score(seed, roughness)
    found = in_one_go(score)
    lines = paths(without_islands(score))
    if np.isnan(found).any():
        assert not lines
        return
    drawn = np.concatenate(lines).min(axis=0)
    for value, smallest, shortest in zip(found, drawn, (WAVELENGTH[-1], PERIOD[-1]), strict=True):
        assert value == pytest.approx(smallest, rel=1e-9) or value == shortest


def test_rows_and_columns_are_alike() -> None:
    score = smooth_score(3, roughness=0.1)
    lambda_x, lambda_t = in_one_go(score)
    swapped = effective_resolution(score.T, WAVELENGTH, PERIOD)
    assert swapped == (lambda_t, lambda_x)
