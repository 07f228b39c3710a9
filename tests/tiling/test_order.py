from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

from xr4dvar.tiling import make_plan, run_dask
from xr4dvar.tiling.order import STEP_BITS, n_order_tasks, n_runs_with_hints, order_hints


@pytest.mark.parametrize("n_before", [0, 1])
@pytest.mark.parametrize("n_blocks", [1, 2, 3, 8, 33])
def test_the_count_of_tasks_behind_falls_by_equal_steps(n_blocks: int, n_before: int) -> None:
    from dask.core import reverse_dict
    from dask.order import ndependencies

    tasks, references = order_hints("x", n_blocks, n_before)
    assert len(tasks) == n_order_tasks(n_blocks, n_before)
    dependencies = {key: set(task.dependencies) for key, task in tasks.items()}
    for block, refs in enumerate(references):
        dependencies[("block", block)] = {ref.key for ref in refs}
    _, counts = ndependencies(dependencies, reverse_dict(dependencies))
    behind = [counts[("block", block)] - 1 for block in range(n_blocks)]
    step = 2 ** (STEP_BITS * (1 + n_before))
    assert behind == [step * rank for rank in reversed(range(n_blocks))]


def test_the_hints_run_and_give_nothing() -> None:
    tasks, _ = order_hints("x", 4, 0)
    done: dict[object, None] = {}
    for key, task in tasks.items():
        done[key] = task(done)
    assert set(done.values()) == {None}


class _Source:
    """Stands for a file: each chunk is read by a task of its own."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape, self.ndim, self.dtype = shape, len(shape), np.dtype("float32")

    def __getitem__(self, cells: tuple[slice, ...]) -> np.ndarray:
        return np.zeros([part.stop - part.start for part in cells], "float32")


class _Sink:
    def __setitem__(self, cells: Any, block: Any) -> None:
        pass


def _zeros(patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
    return np.zeros((len(origins), 1, *patches[0].shape[1:]), "float32")


def _runs(n_times: int, chunk: tuple[int, int, int], n_runs: int) -> da.Array:
    """One run, or one on the result of another and on what that one read."""
    x = da.from_array(_Source((n_times, 24, 24)), chunk, asarray=False, name=f"source-{chunk}")
    fields = [x]
    for patch, stride in (((6, 12, 12), (4, 8, 8)), ((4, 6, 6), (2, 3, 3)))[2 - n_runs :]:
        fields = [x, run_dask(fields, make_plan(x.shape, patch, stride), _zeros)[0]]
    return fields[1]


def _arrays(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value if value.base is None else value.base
    elif isinstance(value, list):
        for one in value:
            yield from _arrays(one)


def _most_bytes_held(y: da.Array) -> int:
    """Store an array task by task in dask's own order; return the most bytes that waited."""
    from dask.order import order

    graph: dict[Any, Any] = {}

    def keep(dsk: Any, keys: Any, **kwargs: Any) -> Any:
        graph.update(dsk.__dask_graph__() if hasattr(dsk, "__dask_graph__") else dsk)
        return dask.get(dsk, keys)

    with dask.config.set(scheduler=keep):
        da.store(y, _Sink(), lock=False)
    users = Counter(used for task in graph.values() for used in task.dependencies)
    results: dict[Any, Any] = {}
    holders: Counter[int] = Counter()  # by the array's id: a piece is also in its tile's list
    held = most = 0
    for key in sorted(graph, key=order(graph).__getitem__):
        task = graph[key]
        results[key] = task({used: results[used] for used in task.dependencies})
        for array in _arrays(results[key]):
            held += array.nbytes * (holders[id(array)] == 0)
            holders[id(array)] += 1
        most = max(most, held)
        users.subtract(task.dependencies)
        for done in [one for one in (key, *task.dependencies) if users[one] == 0]:
            for array in _arrays(results.pop(done)):
                holders[id(array)] -= 1
                held -= array.nbytes * (holders[id(array)] == 0)
    assert held == 0
    return most


@pytest.mark.parametrize("n_runs", [1, 2])
@pytest.mark.parametrize("chunk", [(5, 6, 6), (4, 12, 24), (2, 24, 24)])
def test_what_waits_does_not_grow_with_time(chunk: tuple[int, int, int], n_runs: int) -> None:
    most = [_most_bytes_held(_runs(n_times, chunk, n_runs)) for n_times in (40, 80, 160)]
    assert max(most) <= 1.15 * most[0], most
    assert n_runs_with_hints([_runs(40, chunk, n_runs)]) == n_runs
