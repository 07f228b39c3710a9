"""The tasks of a run in chunks: tiles, their pieces, and the blocks that add the pieces up.

Each patch belongs to the tile that holds its centre and is solved there, once. A tile's windows
reach into the neighbouring tiles: its task returns one piece of weighted sums for each block it
reaches, and one task a block adds up the pieces and divides. A halo in place of the pieces would
solve a patch once for every block it touches (measured: 3.9 times the model calls).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise, product
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from xr4dvar.tiling.order import n_runs_with_hints, order_hints
from xr4dvar.tiling.sweep import (
    AnyArray,
    Index,
    Settings,
    Slices,
    Solve,
    block_views,
    divide,
    last_axes,
    sweep,
    whole_views,
    zero_pieces,
)
from xr4dvar.tiling.tiles import TileAxis, tile_axes

if TYPE_CHECKING:
    import dask.array as da
    from dask.delayed import Delayed


def is_delayed(solve: Delayed | Solve) -> TypeGuard[Delayed]:
    """Whether `solve` is a task of its own already."""
    return hasattr(solve, "__dask_graph__")


@dataclass(frozen=True)
class _Tile:
    """What a tile's task knows besides its data."""

    axes: tuple[TileAxis, ...]
    in_blocks: tuple[bool, ...]  # for each field: the blocks reached, or one array for all tiles
    settings: Settings


def tile_layer(
    name: str,
    fields: Sequence[da.Array | AnyArray],
    lengths: Sequence[Index],
    solve: Delayed | Solve,
    settings: Settings,
) -> dict[Any, Any]:
    """Return the tasks of all tiles, pieces and blocks, by their keys."""
    from dask._task_spec import Task, TaskRef

    layer, solve_ref, shared = _shared_tasks(name, fields, solve)
    in_blocks = tuple(ref is None for ref in shared)
    added: dict[Index, list[tuple[Slices, Any]]] = {}
    axes = [tile_axes(w, n) for w, n in zip(settings.plan.windows, lengths, strict=True)]
    for tile in product(*axes):
        index = tuple(axis.index for axis in tile)
        reached = list(product(*(axis.reaches for axis in tile)))
        blocks = [tuple(r.block for r in reaches) for reaches in reached]
        data: list[Any] = []
        for field, ref in zip(fields, shared, strict=True):
            data += (
                [ref]
                if isinstance(field, np.ndarray)
                else [TaskRef((field.name, *block)) for block in blocks]
            )
        key: Any = (f"{name}-tile", *index)
        layer[key] = Task(key, _run_tile, _Tile(tile, in_blocks, settings), solve_ref, *data)
        for n, (block, reaches) in enumerate(zip(blocks, reached, strict=True)):
            piece: Any = (f"{name}-piece", *index, n)
            layer[piece] = Task(piece, operator.getitem, TaskRef(key), n)
            inside = tuple(slice(r.in_block, r.in_block + r.size) for r in reaches)
            added.setdefault(block, []).append((inside, TaskRef(piece)))
    n_before = n_runs_with_hints(f for f in fields if not isinstance(f, np.ndarray))
    tasks, hints = order_hints(name, len(added), n_before)
    return layer | tasks | _block_tasks(name, added, hints, lengths, settings)


def _shared_tasks(
    name: str, fields: Sequence[da.Array | AnyArray], solve: Delayed | Solve
) -> tuple[dict[Any, Any], Any, list[Any]]:
    """Return tasks for what all tiles use, and the references to `solve` and to numpy fields."""
    from dask._task_spec import DataNode, TaskRef

    tasks: dict[Any, Any] = {}
    if is_delayed(solve):
        solve_key: Any = solve.key
    else:
        solve_key = f"{name}-solve"
        tasks[solve_key] = DataNode(solve_key, solve)
    shared: list[Any] = []
    for number, field in enumerate(fields):
        if isinstance(field, np.ndarray):
            key = (f"{name}-static", number)
            tasks[key] = DataNode(key, field)
            shared.append(TaskRef(key))
        else:
            shared.append(None)
    return tasks, TaskRef(solve_key), shared


def _block_tasks(
    name: str,
    added: dict[Index, list[tuple[Slices, Any]]],
    hints: Sequence[Sequence[Any]],
    lengths: Sequence[Index],
    settings: Settings,
) -> dict[Any, Any]:
    """Return the tasks that add up what the tiles give to each block and divide."""
    from dask._task_spec import DataNode, Task, TaskRef

    # Adding and dividing are two tasks, kept apart by what the second one shares with all others.
    # In one task, which dask would fuse with the writing of the block, the block is a leaf right
    # behind its pieces: dask's ordering then jumps about the domain and pieces pile up, more of
    # them the longer the domain (6 times the memory at 8 times the length).
    shared = f"{name}-weights"
    sums = tuple(windows.weight_sum for windows in settings.plan.windows)
    tasks: dict[Any, Any] = {shared: DataNode(shared, sums)}
    borders = [list(pairwise([0, *accumulate(sizes)])) for sizes in lengths]
    for block, hint in zip(sorted(added), hints, strict=True):
        inside, refs = zip(*added[block], strict=True)
        cells = tuple(slice(*axis[n]) for axis, n in zip(borders, block, strict=True))
        shape = (settings.n_out, *(c.stop - c.start for c in cells))
        total: Any = (f"{name}-sum", *block)
        key = (name, 0, *block)
        tasks[total] = Task(total, _add_pieces, shape, settings.dtype, inside, *refs, *hint)
        tasks[key] = Task(key, _divide, TaskRef(total), TaskRef(shared), cells)
    return tasks


def _run_tile(tile: _Tile, solve: Solve, *data: AnyArray) -> list[AnyArray]:
    """Solve the patches of one tile; return what it adds to each block that it reaches."""
    plan = tile.settings.plan
    n_blocks = math.prod(len(axis.reaches) for axis in tile.axes)
    rest = iter(data)
    inputs = [
        block_views(list(islice(rest, n_blocks)), tile.axes)
        if blocks
        else whole_views(np.broadcast_to(next(rest), plan.shape), tile.axes)
        for blocks in tile.in_blocks
    ]
    pieces = zero_pieces(tile.axes, tile.settings)
    sweep(tile.axes, inputs, pieces, solve, tile.settings)
    return list(pieces.values())


def _add_pieces(
    shape: Index, dtype: np.dtype[Any], inside: Sequence[Slices], *pieces: AnyArray
) -> AnyArray:
    """Add up what the tiles give to one block. After the pieces come empty order hints."""
    total: AnyArray = np.zeros(shape, dtype)
    for where, piece in zip(inside, pieces, strict=False):
        total[last_axes(where)] += piece
    return total


def _divide(total: AnyArray, sums: Sequence[AnyArray], cells: Slices) -> AnyArray:
    """Divide one block by its part of the weight sums."""
    result = total.copy()  # a task must leave its inputs as they are
    divide(result, [sum_[part] for sum_, part in zip(sums, cells, strict=True)])
    return result
