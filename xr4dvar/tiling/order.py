"""Hints that make dask walk through the blocks in their own order.

dask orders blocks first by how many tasks lie behind them, each counted once for every path, then
by the text of their keys ("10" before "2"). Left to that, it takes all blocks of the interior
before all those of the border and starts in several places, while the pieces for the blocks in
between wait in memory, more of them the longer the domain (measured: up to ten times as many).
So blocks get a few empty tasks behind them, by which the count falls from one block to the next.
Nothing waits for anything but these few empty tasks: what can run at the same time still can.
"""

from __future__ import annotations

from typing import Any

#: The hints count in steps of ``2 ** STEP_BITS`` tasks, more than lie behind any block.
STEP_BITS = 28


def order_hints(name: str, n_blocks: int) -> tuple[dict[Any, Any], list[list[Any]]]:
    """Return empty tasks, and for each block references to those it shall depend on.

    Task i depends on all tasks before it: 2 ** i tasks count behind it. The tasks of the ones
    in a binary number so count as that number.

    Parameters
    ----------
    name : str
        Prefix of the keys.
    n_blocks : int
        Number of blocks; the first one shall come first.

    Examples
    --------
    >>> from xr4dvar.tiling.order import order_hints
    >>> tasks, references = order_hints("x", 3)
    >>> len(tasks), [len(one) for one in references]
    (30, [1, 1, 0])
    """
    from dask._task_spec import Task, TaskRef

    bits = (n_blocks - 1).bit_length()
    keys = [(f"{name}-order", bit) for bit in range(n_order_tasks(n_blocks))]
    refs = [TaskRef(key) for key in keys]
    tasks = {key: Task(key, _nothing, *refs[:bit]) for bit, key in enumerate(keys)}
    ranks = reversed(range(n_blocks))
    return tasks, [[refs[STEP_BITS + b] for b in range(bits) if rank >> b & 1] for rank in ranks]


def n_order_tasks(n_blocks: int) -> int:
    """Return the number of empty tasks for so many blocks."""
    return STEP_BITS + (n_blocks - 1).bit_length() if n_blocks > 1 else 0


def _nothing(*_: None) -> None:
    """Take no time."""
