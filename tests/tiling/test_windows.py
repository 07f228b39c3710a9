from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr4dvar.errors import InputError
from xr4dvar.tiling import Windows


@st.composite
def any_windows(draw: st.DrawFn) -> Windows:
    size = draw(st.integers(1, 60))
    patch = draw(st.integers(1, size))
    stride = draw(st.integers(1, patch))
    margin = draw(st.integers(0, (patch - stride) // 2))
    return Windows(size, patch, stride, draw(st.booleans()), margin)


@given(any_windows())
def test_every_cell_is_covered_and_counted(windows: Windows) -> None:
    total = np.zeros(windows.size)
    for start in windows.starts:
        for offset, weight in enumerate(windows.weight_at(windows.edges_at(start))):
            total[(start + offset) % windows.size] += weight
    assert total.min() > 0
    np.testing.assert_allclose(windows.weight_sum, total, rtol=1e-12)


@given(any_windows())
def test_starts(windows: Windows) -> None:
    starts = np.array(windows.starts)
    assert starts[0] == 0
    assert len(starts) == windows.n_windows
    assert (np.diff(starts) > 0).all()
    assert (np.diff(starts) <= windows.stride).all()
    if windows.periodic:
        assert starts[-1] < windows.size
    else:
        assert starts[-1] + windows.patch == windows.size


@given(any_windows())
def test_weight_is_positive_and_symmetric(windows: Windows) -> None:
    weight = windows.weight
    assert weight.dtype == np.float64
    assert weight.shape == (windows.patch,)
    assert weight.min() > 0
    assert weight.max() <= 1
    np.testing.assert_array_equal(weight, weight[::-1])


@given(any_windows())
def test_margins_count_for_nothing(windows: Windows) -> None:
    """Not even in a last window that is moved back, whose own margin is at the edge of the axis."""
    for start in windows.starts:
        cells = np.arange(start, start + windows.patch)
        edges = windows.edges_at(start)
        weight = windows.weight_at(edges)
        share = weight / windows.weight_sum[cells % windows.size]
        inside = slice(
            0 if edges[0] else windows.margin, windows.patch - (0 if edges[1] else windows.margin)
        )
        outside = np.ones(windows.patch, dtype=bool)
        outside[inside] = False
        assert (share[outside] < 1e-6).all()


def test_neighbours_add_up_to_one() -> None:
    # 100 = 20 + 8 * 10: the last window needs no shift, so the inside is a partition of unity
    inside = Windows(100, 20, 10).weight_sum[10:-10]
    np.testing.assert_allclose(inside, 1, rtol=1e-12)
    np.testing.assert_allclose(Windows(100, 20, 10, periodic=True).weight_sum, 1, rtol=1e-12)


def test_no_taper_without_overlap() -> None:
    np.testing.assert_array_equal(Windows(12, 4, 4).weight, np.ones(4))
    np.testing.assert_array_equal(Windows(4, 4, 2).weight, np.ones(4))  # a lone window


def test_last_window_is_moved_to_the_edge() -> None:
    assert Windows(11, 4, 3).starts == (0, 3, 6, 7)
    assert Windows(10, 4, 3).starts == (0, 3, 6)
    assert Windows(10, 4, 3, periodic=True).starts == (0, 3, 6, 9)


@pytest.mark.parametrize(
    ("size", "patch", "stride", "text"),
    [
        (5, 6, 1, r"patch \(6\) is longer than the axis \(5\); fix: use a patch <= 5"),
        (5, 3, 4, r"stride \(4\) is longer than the patch \(3\)"),
        (5, 0, 0, "2 problems"),
        (0, 1, 1, "axis is empty"),
    ],
)
def test_unfit_windows(size: int, patch: int, stride: int, text: str) -> None:
    with pytest.raises(InputError, match=text):
        Windows(size, patch, stride)
