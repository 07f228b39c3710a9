from __future__ import annotations

import pickle
import threading
from collections import Counter
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiling.strategies import (
    PlaceAndContent,
    chunks_of,
    identity,
    plans_and_chunks,
    random_array,
)
from xr4dvar.errors import InputError
from xr4dvar.testing import raise_if_dask_computes
from xr4dvar.tiling import Plan, make_plan, run_dask, run_eager, tiles

SHAPE, PATCH, STRIDE = (60, 500, 500), (15, 240, 240), (8, 120, 120)


@settings(max_examples=60, deadline=None)
@given(plans_and_chunks(), st.integers(1, 5), st.data())
def test_equals_eager_and_solves_each_patch_once(
    case: tuple[Plan, tuple[tuple[int, ...], ...]], batch_size: int, data: st.DataObject
) -> None:
    plan, chunks = case
    fields = [random_array(plan.shape, seed) for seed in (0, 1)]
    foreign = tuple(data.draw(chunks_of(size)) for size in plan.shape)
    lazy = [da.from_array(fields[0], chunks), da.from_array(fields[1], foreign)]
    settings = {"n_out": 2, "batch_size": batch_size, "dtype": "float64"}
    solve = PlaceAndContent()
    with raise_if_dask_computes():
        y = run_dask(lazy, plan, solve, **settings)
    assert y.chunks == ((2,), *chunks)
    assert y.dtype == np.float64
    assert y._meta.dtype == np.float64
    assert not solve.origins
    result = y.compute(scheduler="synchronous")
    assert Counter(solve.origins) == Counter(map(tuple, plan.origins().tolist()))
    expected = run_eager(fields, plan, PlaceAndContent(), **settings)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(plans_and_chunks())
def test_identity_gives_the_field_back(case: tuple[Plan, tuple[tuple[int, ...], ...]]) -> None:
    plan, chunks = case
    x = random_array(plan.shape).astype("float32")
    y = run_dask([da.from_array(x, chunks)], plan, identity)
    np.testing.assert_allclose(y.compute(scheduler="synchronous")[0], x, rtol=5e-6)


def test_threads_give_the_same_float32_to_1e_6() -> None:
    plan = make_plan((20, 50, 60), (7, 24, 24), (3, 12, 12), periodic={2})
    x = random_array(plan.shape).astype("float32")
    y = run_dask([da.from_array(x, (6, 20, 60))], plan, identity, batch_size=3)
    expected = run_eager([x], plan, identity, batch_size=3)
    assert np.abs(y.compute(scheduler="threads") - expected).max() <= 1e-6 * np.abs(x).max()


GRAPHS = {
    "plain": (SHAPE, (15, 250, 250), STRIDE),
    "smaller than the patch": (SHAPE, (7, 100, 100), STRIDE),
    "uneven": (SHAPE, ((1, 30, 2, 27), (499, 1), (17, 250, 233)), STRIDE),
    "one time step": (SHAPE, (1, 250, 250), STRIDE),
    "one time step, stride 1": (SHAPE, (1, 500, 500), (1, 120, 120)),
    "many members": ((50, *SHAPE), (1, 15, 250, 250), STRIDE),
    "just half a patch": ((150, 1300, 1300), (8, 130, 130), STRIDE),
    "alternating": ((150, 1300, 500), ((1, 14) * 10, (10, 250) * 5, 500), STRIDE),
    "two chunks": (SHAPE, (30, 500, 500), STRIDE),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_at_most_35_tasks_a_chunk(name: str) -> None:
    shape, chunks, stride = GRAPHS[name]
    x = da.zeros(shape, chunks=chunks, dtype="float32")
    plan = make_plan(shape, PATCH, stride)
    y = run_dask([x], plan, identity)
    n_tasks = len(y.dask) - len(x.dask)
    assert n_tasks <= 35 * x.npartitions
    assert n_tasks == tiles(plan, x.chunks).n_tasks
    assert y.chunks == ((1,), *x.chunks)


def test_graph_does_not_grow_with_patches() -> None:
    x = da.zeros(SHAPE, chunks=(15, 250, 250))
    sizes = {
        len(run_dask([x], make_plan(SHAPE, PATCH, (stride, 120, 120)), identity).dask)
        for stride in (1, 3, 7)
    }
    assert len(sizes) == 1


def _zeros(patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.float32(0), (len(origins), 1, *patches[0].shape[1:]))


def test_small_numpy_fields_travel_once_as_they_are() -> None:
    shape = (12, 30, 30)
    plan = make_plan(shape, (5, 12, 12), (3, 6, 6), periodic={2})
    x, mask = random_array(shape), random_array((30, 30)) > 0

    def masked(patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
        assert patches[0].dtype == bool
        assert patches[0].shape == patches[1].shape
        return np.where(patches[0], patches[1], np.nan)[:, np.newaxis]

    y = run_dask([mask, da.from_array(x, (4, 10, 10))], plan, masked, dtype=float)
    held = [node for node in dict(y.dask).values() if getattr(node, "value", None) is mask]
    assert len(held) == 1
    np.testing.assert_allclose(y.compute()[0], np.where(mask, x, np.nan))


def test_solver_travels_once() -> None:
    made = []

    def make() -> Any:
        made.append(threading.get_ident())
        return identity

    x = da.zeros((40, 40), chunks=10)
    plan = make_plan(x.shape, (8, 8), (4, 4))
    solve = dask.delayed(make, pure=False)(dask_key_name="model-digest")
    y = run_dask([x], plan, solve)
    assert not made
    y.compute()
    assert len(made) == 1
    users = [k for k, task in dict(y.dask).items() if "model-digest" in task.dependencies]
    assert users
    assert all("-tile" in key[0] for key in users)
    payload = b"x" * 100_000
    big = run_dask([x], plan, _Heavy(payload))
    assert sum(len(pickle.dumps(t)) > 100_000 for t in dict(big.dask).values()) == 1


class _Heavy:
    def __init__(self, weights: bytes) -> None:
        self.weights = weights

    def __call__(self, patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
        return identity(patches, origins)


def test_names_tell_runs_apart_and_repeat() -> None:
    x = da.zeros((40, 40), chunks=10)
    plan, other = (make_plan(x.shape, (8, 8), (s, s)) for s in (4, 8))
    first = run_dask([x], plan, identity, name="run")
    assert first.name == run_dask([x], plan, identity, name="run").name
    changed = [
        run_dask([x], other, identity, name="run"),
        run_dask([x + 1], plan, identity, name="run"),
        run_dask([x], plan, _zeros, name="run"),
        run_dask([x], plan, identity, name="run", dtype=float),
        run_dask([x, np.ones(40)], plan, identity, name="run"),
        run_dask([x, np.zeros(40)], plan, identity, name="run"),
    ]
    assert len({first.name, *(y.name for y in changed)}) == 7
    assert first.name.startswith("run-")


def test_part_of_the_result_computes_only_its_tiles() -> None:
    solve = PlaceAndContent()
    x = da.from_array(random_array((100,)), 10)
    run_dask([x], make_plan((100,), (10,), (5,)), solve, n_out=2)[:, :5].compute()
    assert set(solve.origins) == {(0,), (5,), (10,)}  # centres in the first two tiles


def test_errors_come_before_any_work() -> None:
    plan = make_plan((40,), (8,), (4,))
    x = da.zeros(40, chunks=10)
    with pytest.raises(InputError, match="call run_eager"):
        run_dask([np.zeros(40)], plan, identity)
    with pytest.raises(InputError, match="compute_chunk_sizes"):
        run_dask([x[x > 0]], plan, identity)
    with pytest.raises(InputError, match="does not broadcast"):
        run_dask([x[:30]], plan, identity)
    with pytest.raises(InputError, match="only numpy fields may be smaller"):
        run_dask([x, da.zeros(1)], plan, identity)


def test_the_counting_scheduler_counts() -> None:
    x = da.ones(3)
    with pytest.raises(RuntimeError, match="computed 1 times"), raise_if_dask_computes():
        x.compute()
    with raise_if_dask_computes(max_computes=2):
        assert x.sum().compute() == 3
        x.compute()
        with pytest.raises(RuntimeError, match="computed 3 times"):
            x.compute()


def test_import_loads_no_dask() -> None:
    import subprocess
    import sys

    code = "import sys, xr4dvar.tiling; sys.exit(bool({'dask', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
