from __future__ import annotations

import pytest

from xr4dvar.tiling.order import STEP_BITS, n_order_tasks, order_hints


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 8, 33])
def test_the_count_of_tasks_behind_falls_by_equal_steps(n_blocks: int) -> None:
    from dask.core import reverse_dict
    from dask.order import ndependencies

    tasks, references = order_hints("x", n_blocks)
    assert len(tasks) == n_order_tasks(n_blocks)
    dependencies = {key: set(task.dependencies) for key, task in tasks.items()}
    for block, refs in enumerate(references):
        dependencies[("block", block)] = {ref.key for ref in refs}
    _, counts = ndependencies(dependencies, reverse_dict(dependencies))
    behind = [counts[("block", block)] - 1 for block in range(n_blocks)]
    assert behind == [2**STEP_BITS * rank for rank in reversed(range(n_blocks))]


def test_the_hints_run_and_give_nothing() -> None:
    tasks, _ = order_hints("x", 4)
    done: dict[object, None] = {}
    for key, task in tasks.items():
        done[key] = task(done)
    assert set(done.values()) == {None}
