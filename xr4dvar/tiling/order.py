"""Hints that make dask walk through the blocks in their own order.

dask orders blocks first by how many tasks lie behind them, each counted once for every path, then
by the text of their keys ("10" before "2"). Left to that, it takes all blocks of the interior
before all those of the border and starts in several places, while the pieces for the blocks in
between wait in memory. So blocks get a few empty tasks behind them, by which the count falls from
one block to the next. Nothing waits for anything but these few empty tasks: what can run at the
same time still can.

Measured with dask 2026.8: the most bytes that wait at once, in dask's order, on 320 time steps over
those on 80 (6 x 6 chunks in space). One run: 1.0 with these hints, 3.6 without; a run on the result
of another: 1.1 with, 2.2 without.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dask.array as da

#: The hints count in steps of ``2 ** STEP_BITS`` tasks, more than lie behind any block but for the
#: hints of earlier runs; where there are such, in as many bits more for each of them.
STEP_BITS = 28


def order_hints(name: str, n_blocks: int, n_before: int) -> tuple[dict[Any, Any], list[list[Any]]]:
    """Return empty tasks, and for each block references to those it shall depend on.

    Task i depends on all tasks before it: 2 ** i tasks count behind it. The tasks of the ones
    in a binary number so count as that number.

    Parameters
    ----------
    name : str
        Prefix of the keys.
    n_blocks : int
        Number of blocks; the first one shall come first.
    n_before : int
        Number of runs with hints behind these blocks.

    Examples
    --------
    >>> from xr4dvar.tiling.order import order_hints
    >>> tasks, references = order_hints("x", 3, n_before=0)
    >>> len(tasks), [len(one) for one in references]
    (30, [1, 1, 0])
    """
    from dask._task_spec import Task, TaskRef

    first = STEP_BITS * (1 + n_before)
    keys = [(f"{name}-order", bit) for bit in range(n_order_tasks(n_blocks, n_before))]
    refs = [TaskRef(key) for key in keys]
    tasks = {key: Task(key, _nothing, *refs[:bit]) for bit, key in enumerate(keys)}
    ranks = reversed(range(n_blocks))
    bits = range(len(keys) - first)
    return tasks, [[refs[first + b] for b in bits if rank >> b & 1] for rank in ranks]


def n_order_tasks(n_blocks: int, n_before: int) -> int:
    """Return the number of empty tasks for so many blocks."""
    return STEP_BITS * (1 + n_before) + (n_blocks - 1).bit_length() if n_blocks > 1 else 0


def n_runs_with_hints(arrays: Iterable[da.Array]) -> int:
    """Count the runs with hints that dask arrays are made of."""
    from dask.highlevelgraph import MaterializedLayer

    layers = {name: layer for array in arrays for name, layer in array.dask.layers.items()}
    return sum(
        isinstance(layer, MaterializedLayer) and (f"{name}-order", 0) in layer
        for name, layer in layers.items()
    )


def _nothing(*_: None) -> None:
    """Take no time."""
