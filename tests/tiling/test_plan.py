from __future__ import annotations

import numpy as np
import pytest

from xr4dvar.errors import InputError
from xr4dvar.tiling import Plan, Windows, make_plan


def test_counts_and_origins() -> None:
    plan = make_plan((2, 10, 6), (4, 6), (3, 6))
    assert plan == Plan((Windows(2, 1, 1), Windows(10, 4, 3), Windows(6, 6, 6)))
    assert plan.shape == (2, 10, 6)
    assert plan.patch_shape == (1, 4, 6)
    assert plan.n_patches == 6
    assert plan.coverage == 1.0
    expected = [[m, t, 0] for m in (0, 1) for t in (0, 3, 6)]
    np.testing.assert_array_equal(plan.origins(), expected)


def test_periodic_axes() -> None:
    plan = make_plan((10, 10), (4, 4), (3, 3), periodic={1})
    assert [windows.periodic for windows in plan.windows] == [False, True]
    assert plan.n_patches == 3 * 4


def test_all_unfit_axes_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        make_plan((7, 5, 9), (2, 6, 3), (2, 2, 4), periodic=(5,))
    what = [problem[0] for problem in caught.value.problems]
    assert what[0] == "axis 1: the patch (6) is longer than the axis (5)"
    assert what[1].startswith("axis 2: the stride (4) is longer than the patch (3)")
    assert what[2] == "periodic axis 5 is not there"


@pytest.mark.parametrize(("patch", "stride"), [((2, 2, 2), (1, 1, 1)), ((2,), (1, 1))])
def test_wrong_number_of_axes(patch: tuple[int, ...], stride: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="an array of 2 axes"):
        make_plan((5, 5), patch, stride)
