from __future__ import annotations

import json
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Normalisation, Summary, check_values, summarise
from xr4dvar.labels import checks as checks_module
from xr4dvar.testing import raise_if_dask_computes

values = st.floats(-1e3, 1e3) | st.just(np.nan) | st.just(np.inf)


def numbers(summary: Summary) -> tuple[float, ...]:
    return (summary.count, summary.mean, summary.std, summary.infinite, *summary.observed)


@given(
    array=hnp.arrays("f8", hnp.array_shapes(min_dims=2, max_dims=4, max_side=6), elements=values),
    time_axis=st.sampled_from([None, 0, -1]),
    chunk=st.integers(1, 4),
)
def test_summary_is_that_of_the_finite_values(array: Any, time_axis: Any, chunk: int) -> None:
    axis = None if time_axis is None else time_axis % array.ndim
    finite = array[np.isfinite(array)]
    expected = (finite.size, finite.mean(), finite.std()) if finite.size else (0, np.nan, np.nan)
    observed: tuple[int, ...] = ()
    if axis is not None:
        other = tuple(i for i in range(array.ndim) if i != axis)
        observed = tuple(np.isfinite(array).sum(axis=other))
    reference = (*expected, np.isinf(array).sum(), *observed)
    for version in (array, da.from_array(array, chunks=chunk)):
        (summary,) = summarise([("v", version)], time_axis=axis)
        np.testing.assert_allclose(numbers(summary), reference, rtol=1e-12, atol=1e-10)


def test_pieces_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).normal(size=(7, 5, 6))
    array[array > 1] = np.nan
    whole = summarise([("v", array)], time_axis=0)[0]
    monkeypatch.setattr(checks_module, "_PIECE", 10)
    parts = summarise([("v", array)], time_axis=0)[0]
    np.testing.assert_allclose(numbers(parts), numbers(whole), rtol=1e-12)
    assert parts.observed == whole.observed


@pytest.mark.parametrize("lazy", [False, True])
def test_large_mean_costs_no_digits(lazy: bool) -> None:
    array = np.random.default_rng(0).normal(size=(100, 50, 50)) + 1e6
    array[::3, ::2] = np.nan
    scale = Normalisation.estimate([("v", da.from_array(array, chunks=20) if lazy else array)])
    finite = array[np.isfinite(array)].astype(np.longdouble)
    assert scale.mean[0] == pytest.approx(float(finite.mean()), rel=1e-14)
    assert scale.std[0] == pytest.approx(float(finite.std()), rel=1e-9)
    # the sum of squares in float64 would have lost all of it but four digits
    assert abs(scale.std[0] - 1) < 0.01


def test_float32_is_summed_in_float64() -> None:
    array = np.full(2**21, 0.1, dtype="f4")
    array[0] = 0.2
    expected = array.astype("f8").mean()
    assert summarise([("v", array)])[0].mean == pytest.approx(expected, rel=1e-13)


def test_one_compute_for_all_variables() -> None:
    array = np.random.default_rng(0).normal(size=(6, 4, 4))
    lazy = da.from_array(array, chunks=(2, 4, 2))
    with raise_if_dask_computes(max_computes=1):
        mixed = summarise([("a", lazy), ("b", lazy * 2), ("c", array)], time_axis=0)
    expected = summarise([("a", array), ("b", array * 2), ("c", array)], time_axis=0)
    for one, other in zip(mixed, expected, strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-12)


def test_problems_of_all_variables_at_once() -> None:
    good = np.random.default_rng(0).normal(size=(4, 3))
    late = good.copy()
    late[:2] = np.nan
    infinite = good.copy()
    infinite[1, 1:] = [np.inf, -np.inf]
    fields = [
        ("good", good),
        ("late", late),
        ("infinite", infinite),
        ("constant", np.full((4, 3), 273.15, dtype="f4")),
        ("zero", np.zeros((4, 3))),
        ("missing", np.full((4, 3), np.nan)),
    ]
    problems = Problems()
    periods = {"training": slice(0, 2), "validation": slice(2, None)}
    check_values(summarise(fields, time_axis=0), problems, periods)
    assert [what for what, _ in problems.found] == [
        "'late' has no value in the training period, time steps 0 to 1",
        "'infinite' has 2 infinite values",
        "'constant' has the same value everywhere: 273.15",
        "'zero' has the same value everywhere: 0",
        "'missing' has no value, all is missing",
    ]


def test_rounding_is_constant_small_scale_is_not() -> None:
    problems = Problems()
    constant = np.full(1000, 0.1) + np.tile([0.0, 1e-17], 500)
    check_values(summarise([("constant", constant)]), problems)
    assert len(problems.found) == 1
    small = Normalisation.estimate([("small", 1e-20 * np.random.default_rng(0).normal(size=100))])
    assert small.std[0] == pytest.approx(1e-20, rel=0.3)


def test_estimate_raises_once_for_all() -> None:
    with pytest.raises(InputError) as caught:
        Normalisation.estimate([("a", np.zeros(3)), ("b", np.full(3, np.nan))])
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_apply_and_undo(dtype: str) -> None:
    array = (3 + 0.5 * np.random.default_rng(0).normal(size=(50, 40))).astype(dtype)
    array[0, 0] = np.nan
    scale = Normalisation.estimate([("other", array - 9), ("v", array)])
    normal = scale.apply(array, "v")
    assert normal.dtype == np.float64
    assert np.nanmean(normal) == pytest.approx(0, abs=1e-5)
    assert np.nanstd(normal) == pytest.approx(1, rel=1e-5)
    back = scale.undo(normal, "v")
    assert back.dtype == np.float64
    np.testing.assert_allclose(back, array, rtol=4 * np.finfo(np.float64).eps)


def test_the_mean_is_off_before_float32_is_reached() -> None:
    """Of 980123.4 float32 keeps steps of 0.06: more than the anomaly."""
    anomaly = 0.05 * np.sin(np.arange(200) / 4)
    scale = Normalisation.estimate([("gravity", 980123.4 + anomaly)])
    normal = scale.apply(980123.4 + anomaly, "gravity").astype(np.float32)
    expected = (anomaly - anomaly.mean()) / anomaly.std()
    np.testing.assert_allclose(normal, expected, atol=1e-6)
    back = scale.undo(normal, "gravity")
    np.testing.assert_allclose(back - 980123.4, anomaly, atol=1e-7 * 0.05 * 10)


def test_json_keeps_every_digit() -> None:
    scale = Normalisation(("a", "b"), (1 / 3, 1e300), (np.pi, 5e-324))
    assert Normalisation.from_dict(json.loads(json.dumps(scale.to_dict()))) == scale
    assert len({scale, Normalisation.from_dict(scale.to_dict())}) == 1
