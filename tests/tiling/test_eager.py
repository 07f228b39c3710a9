from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiling.strategies import (
    PlaceAndContent,
    brute_force,
    identity,
    plans,
    random_array,
)
from xr4dvar.errors import InputError
from xr4dvar.tiling import Plan, extract, make_plan, run_eager, stitch


@given(plans())
def test_stitch_undoes_extract(plan: Plan) -> None:
    x = random_array(plan.shape)
    np.testing.assert_allclose(stitch(extract(x, plan), plan), x, rtol=1e-12)


@given(plans(), st.integers(1, 5), st.sampled_from(["float32", "float64"]))
def test_identity_gives_the_field_back(plan: Plan, batch_size: int, dtype: str) -> None:
    x = random_array(plan.shape).astype(dtype)
    y = run_eager([x], plan, identity, n_out=1, batch_size=batch_size, dtype=dtype)
    assert y.dtype == dtype
    np.testing.assert_allclose(y[0], x, rtol=5e-6 if dtype == "float32" else 1e-12)


@settings(max_examples=40)
@given(plans(max_ndim=3), st.integers(1, 5))
def test_blend_is_the_weighted_mean(plan: Plan, batch_size: int) -> None:
    fields = [random_array(plan.shape, seed) for seed in (0, 1)]
    y = run_eager(fields, plan, PlaceAndContent(), n_out=2, batch_size=batch_size, dtype=float)
    np.testing.assert_allclose(y, brute_force(fields, plan, 2), rtol=1e-9, atol=1e-12)


@given(plans(), st.integers(1, 5))
def test_each_patch_is_solved_once_in_order(plan: Plan, batch_size: int) -> None:
    solve, done = PlaceAndContent(), []
    x = random_array(plan.shape)
    run_eager([x], plan, solve, n_out=2, batch_size=batch_size, dtype=float, progress=done.append)
    assert solve.origins == [tuple(origin) for origin in plan.origins().tolist()]
    assert sum(done) == plan.n_patches
    assert max(done) <= batch_size


@given(plans())
def test_extract_takes_the_cells_at_the_origins(plan: Plan) -> None:
    x = np.arange(np.prod(plan.shape)).reshape(plan.shape)
    rng = np.random.default_rng(0)
    last = [w.size if w.periodic else w.size - w.patch + 1 for w in plan.windows]
    origins = rng.integers(0, last, size=(5, plan.ndim))
    for patch, origin in zip(extract(x, plan, origins), origins, strict=True):
        for axis, w in enumerate(plan.windows):
            assert (origin[axis] + w.patch <= w.size) or w.periodic
        cells = np.ix_(*((o + np.arange(w.patch)) % w.size for o, w in zip(origin, plan.windows)))  # noqa: B905
        np.testing.assert_array_equal(patch, x[cells])


def test_nan_stays_in_its_own_cells() -> None:
    plan = make_plan((9, 9), (4, 4), (2, 2))

    def lose_one(patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
        solved = patches[0][:, np.newaxis].copy()
        solved[(origins == (2, 4)).all(axis=1), 0, 1, 2] = np.nan  # cell (3, 6) of one patch
        return solved

    x = random_array((9, 9))
    x[0, 0] = np.nan  # land: NaN in every patch
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = run_eager([x], plan, lose_one, n_out=1, batch_size=3, dtype=float)[0]
    expected = x.copy()
    expected[3, 6] = np.nan
    np.testing.assert_allclose(y, expected, rtol=1e-12)


def test_dtypes_and_small_fields(tmp_path: Path) -> None:
    plan = make_plan((6, 8, 8), (3, 4, 4), (2, 3, 3))
    x = np.memmap(tmp_path / "x", "float32", "w+", shape=(6, 8, 8))
    x[...] = random_array((6, 8, 8))
    sea = random_array((8, 8)) > 0
    level = np.array(2, "int16")

    def mask(patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
        values, wet, shift = patches
        assert [p.dtype for p in patches] == [np.float32, bool, np.int16]
        assert {p.shape for p in patches} == {(len(origins), 3, 4, 4)}
        return np.where(wet, values + shift, np.nan)[:, np.newaxis]

    y = run_eager([x, sea, level], plan, mask, n_out=1, batch_size=2, dtype="float32")
    np.testing.assert_allclose(y[0], np.where(sea, x + 2, np.nan), rtol=2e-6)


def test_patches_may_be_overwritten() -> None:
    plan = make_plan((9,), (4,), (2,))
    x = np.arange(9.0)

    def overwrite(patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
        patches[0] *= 2
        return patches[0][:, np.newaxis]

    y = run_eager([x], plan, overwrite, n_out=1, batch_size=2, dtype=float)
    np.testing.assert_array_equal(x, np.arange(9.0))
    np.testing.assert_allclose(y[0], 2 * x)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"n_out": 0}, "n_out is 0"),
        ({"dtype": "int32"}, "dtype is int32"),
        ({"dtype": "float16"}, "dtype is float16"),
        ({"n_out": 2}, r"solve returned an array of shape \(1, 1, 4\)"),
    ],
)
def test_unfit_arguments(arguments: dict[str, object], text: str) -> None:
    plan = make_plan((9,), (4,), (2,))
    with pytest.raises(InputError, match=text):
        run_eager([np.zeros(9)], plan, identity, **{"n_out": 1, "batch_size": 1, **arguments})


def test_unfit_fields() -> None:
    plan = make_plan((9,), (4,), (2,))
    with pytest.raises(InputError, match="2 problems"):
        run_eager([np.zeros(8), np.zeros(9), np.zeros((1, 9))], plan, identity)
    with pytest.raises(InputError, match="patches have shape"):
        stitch(np.zeros((2, 4)), plan)
    for origins in ([[6]], [[-1]], [[0, 0]]):
        with pytest.raises(InputError, match="origins must have shape"):
            extract(np.zeros(9), plan, np.array(origins))
