from __future__ import annotations

from math import prod

import dask.array as da
from hypothesis import given
from hypothesis import strategies as st

from tests.tiling.strategies import plans_and_chunks, random_array
from xr4dvar.tiling import Advice, Plan, make_plan, run_dask, tiles

SHAPE, PATCH, STRIDE = (60, 500, 500), (15, 240, 240), (8, 120, 120)


@given(plans_and_chunks(), st.integers(1, 5))
def test_batches_are_those_of_a_run(
    case: tuple[Plan, tuple[tuple[int, ...], ...]], batch_size: int
) -> None:
    plan, chunks = case
    calls = []

    def solve(patches, origins):  # type: ignore[no-untyped-def]
        calls.append(len(origins))
        return patches[0][:, None]

    x = da.from_array(random_array(plan.shape), chunks)
    run_dask([x], plan, solve, batch_size=batch_size).compute(scheduler="synchronous")
    size = tiles(plan, chunks, batch_size=batch_size)
    assert size.n_batches == len(calls)
    assert size.n_patches == sum(calls)
    assert size.n_chunks == prod(len(c) for c in chunks)


def test_fine_chunks_bring_no_advice() -> None:
    chunks = ((15,) * 4, (250, 250), (250, 250))
    size = tiles(make_plan(SHAPE, PATCH, STRIDE), chunks, batch_size=2)
    assert (size.n_tiles, size.tile_shape, size.advice) == (16, (15, 250, 250), ())
    # the tiles at y = 0 and y = 1 own windows (0, 120) -> 0..360 -> centres 120, 240 and 360, 380
    assert size.reach_shape == (23, 360, 360)
    patch = prod(PATCH)
    values = 45 * 500 * 500 + 23 * 360 * 360 + patch * (2 * 2 + 1 + 1)
    assert size.peak_bytes == 4 * values


def test_short_chunks() -> None:
    plan = make_plan(SHAPE, PATCH, STRIDE)
    size = tiles(plan, ((1,) * 60, (500,), (500,)))
    assert size.advice == (Advice("merged chunks", axis=0, chunk=15),)


def test_large_tasks() -> None:
    plan = make_plan((3650, 1000, 1000), (15, 240, 240), STRIDE)
    (advice,) = tiles(plan, ((3650,), (1000,), (1000,))).advice
    assert advice == Advice("large task", axis=0, chunk=1825)


def test_small_batches() -> None:
    plan = make_plan((64, 15), (15,), (15,))
    (advice,) = tiles(plan, ((1,) * 64, (15,)), batch_size=8).advice
    assert advice == Advice("small batches", axis=0, chunk=2)


def test_in_memory() -> None:
    size = tiles(make_plan(SHAPE, PATCH, STRIDE), batch_size=5)
    assert (size.n_tiles, size.n_tasks, size.n_batches) == (1, 0, 23)
    assert size.advice == ()
