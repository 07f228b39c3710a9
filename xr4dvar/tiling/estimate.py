"""What a run will take: patches, tiles, tasks, bytes. Known before anything runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, product
from typing import Literal

import numpy as np
import numpy.typing as npt

from xr4dvar.tiling.order import n_order_tasks
from xr4dvar.tiling.plan import Plan
from xr4dvar.tiling.tiles import TileAxis, tile_axes, tile_lengths

#: A task that needs more memory than this is worth a word of advice.
LARGE_TASK_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Advice:
    """A hint about chunks.

    Parameters
    ----------
    reason : {"merged chunks", "large task", "small batches"}
        Chunks shorter than half a patch (or than the stride) are merged into tiles; the largest
        task needs more than `LARGE_TASK_BYTES`; tiles hold too few patches to fill the batches.
    axis : int
        Axis whose chunks to change.
    chunk : int
        Length to give them.
    """

    reason: Literal["merged chunks", "large task", "small batches"]
    axis: int
    chunk: int


@dataclass(frozen=True)
class Tiling:
    """The size of a run, in numbers. See `tiles`."""

    n_patches: int  #: patches to solve
    n_batches: int  #: calls of ``solve``
    n_chunks: int  #: chunks of the array
    n_blocks: int  #: tiles that the chunks are merged into
    n_tiles: int  #: those with patches in them, each one task
    n_tasks: int  #: tasks that `run_dask` adds to the graph, at most
    tile_shape: tuple[int, ...]  #: largest tile
    reach_shape: tuple[int, ...]  #: cells that the largest tile's patches touch
    peak_bytes: int  #: largest task: input blocks, pieces and one batch; not what ``solve`` needs
    advice: tuple[Advice, ...]  #: what to change about the chunks; empty if they are fine


def tiles(
    plan: Plan,
    chunks: Sequence[Sequence[int]] | None = None,
    *,
    n_fields: int = 1,
    n_out: int = 1,
    batch_size: int = 1,
    dtype: npt.DTypeLike = "float32",
    n_before: int = 0,
) -> Tiling:
    """Return what `run_dask` will take for an array with these chunks.

    Parameters
    ----------
    plan : Plan
        The patches.
    chunks : sequence of sequence of int, optional
        Lengths of the chunks along each axis. Default: an array in memory, for `run_eager`: one
        tile, no tasks.
    n_fields, n_out, batch_size, dtype
        Inputs as large as the array, and the arguments of the run.
    n_before : int, default: 0
        Runs on more than one block that the inputs are the results of.

    Returns
    -------
    Tiling

    Examples
    --------
    >>> from xr4dvar.tiling import make_plan, tiles
    >>> plan = make_plan((60, 500, 500), (15, 240, 240), (8, 120, 120))
    >>> size = tiles(plan, ((1,) * 60, (250, 250), (250, 250)), batch_size=4)
    >>> size.n_patches, size.n_tiles, size.tile_shape
    (112, 28, (12, 250, 250))
    >>> size.advice
    (Advice(reason='merged chunks', axis=0, chunk=15),)
    """
    given = [(size,) for size in plan.shape] if chunks is None else [tuple(c) for c in chunks]
    lengths = [tile_lengths(w, c) for w, c in zip(plan.windows, given, strict=True)]
    axes = [tile_axes(w, n) for w, n in zip(plan.windows, lengths, strict=True)]
    reach = tuple(max(sum(r.size for r in t.reaches) for t in axis) for axis in axes)
    blocks = [_largest_read(axis, own) for axis, own in zip(axes, lengths, strict=True)]
    patch = math.prod(plan.patch_shape)
    held = n_fields * math.prod(blocks) + n_out * math.prod(reach)
    batch = patch * (min(batch_size, plan.n_patches) * (n_fields + n_out) + n_out + 1)
    peak_bytes = np.dtype(dtype).itemsize * (held + batch)
    n_batches = _n_batches(axes, batch_size)
    return Tiling(
        n_patches=plan.n_patches,
        n_batches=n_batches,
        n_chunks=math.prod(len(c) for c in given),
        n_blocks=math.prod(len(own) for own in lengths),
        n_tiles=math.prod(len(axis) for axis in axes),
        n_tasks=0 if chunks is None else _n_tasks(axes, lengths, given, n_fields, n_before),
        tile_shape=tuple(max(own) for own in lengths),
        reach_shape=reach,
        peak_bytes=peak_bytes,
        advice=()
        if chunks is None
        else _advice(
            plan, given, lengths, peak_bytes, n_batches / -(-plan.n_patches // batch_size)
        ),
    )


def _largest_read(axis: Sequence[TileAxis], lengths: Sequence[int]) -> int:
    """Return the most cells of whole blocks that a tile reads along an axis."""
    return max(sum(lengths[block] for block in {r.block for r in t.reaches}) for t in axis)


def _n_batches(axes: Sequence[Sequence[TileAxis]], batch_size: int) -> int:
    """Count the batches of all tiles, from how often each number of windows occurs on an axis."""
    counts: dict[int, int] = {1: 1}
    for axis in axes:
        numbers = [len(tile.starts) for tile in axis]
        new: dict[int, int] = {}
        for (n, times), own in product(counts.items(), set(numbers)):
            new[n * own] = new.get(n * own, 0) + times * numbers.count(own)
        counts = new
    return sum(times * -(-n // batch_size) for n, times in counts.items())


def _n_tasks(
    axes: Sequence[Sequence[TileAxis]],
    lengths: Sequence[Sequence[int]],
    chunks: Sequence[Sequence[int]],
    n_fields: int,
    n_before: int,
) -> int:
    n_blocks = math.prod(len(own) for own in lengths)
    n_tiles = math.prod(len(axis) for axis in axes)
    n_pieces = math.prod(sum(len(tile.reaches) for tile in axis) for axis in axes)
    shared = 2  # the weights and the model
    n_tasks = n_tiles + n_pieces + 2 * n_blocks + n_order_tasks(n_blocks, n_before) + shared
    if any(tuple(a) != tuple(b) for a, b in zip(lengths, chunks, strict=True)):
        # to tiles and back: two tasks for a chunk, one where the tile is that chunk
        n_chunks = math.prod(len(c) for c in chunks)
        n_same = math.prod(_n_common(a, b) for a, b in zip(lengths, chunks, strict=True))
        n_tasks += n_fields * n_blocks + 2 * n_chunks - n_same
    return n_tasks


def _n_common(lengths: Sequence[int], chunks: Sequence[int]) -> int:
    """Count the chunks of an axis that are tiles as they are."""
    spans = [set(pairwise(accumulate(sizes, initial=0))) for sizes in (lengths, chunks)]
    return len(spans[0] & spans[1])


def _advice(
    plan: Plan,
    chunks: Sequence[Sequence[int]],
    lengths: Sequence[Sequence[int]],
    peak_bytes: int,
    too_many_batches: float,
) -> tuple[Advice, ...]:
    advice = [
        Advice("merged chunks", axis, windows.patch)
        for axis, windows in enumerate(plan.windows)
        if tuple(chunks[axis]) != tuple(lengths[axis])
    ]
    by_patch = [max(c) / w.patch for c, w in zip(chunks, plan.windows, strict=True)]
    longest = max(range(plan.ndim), key=by_patch.__getitem__)
    if peak_bytes > LARGE_TASK_BYTES and by_patch[longest] > 1:
        half = max(plan.windows[longest].patch, max(chunks[longest]) // 2)
        advice.append(Advice("large task", longest, half))
    elif too_many_batches > 1.5:
        numbers = [len(c) for c in chunks]
        most = max(range(plan.ndim), key=numbers.__getitem__)
        double = min(2 * max(chunks[most]), plan.shape[most])
        advice.append(Advice("small batches", most, double))
    return tuple(advice)
