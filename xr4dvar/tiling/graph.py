"""Patches of dask arrays: checks the chunks, builds the graph, computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr4dvar.errors import InputError
from xr4dvar.tiling.eager import check_shapes
from xr4dvar.tiling.layer import is_delayed, tile_layer
from xr4dvar.tiling.plan import Plan
from xr4dvar.tiling.sweep import AnyArray, Index, Settings, Solve
from xr4dvar.tiling.tiles import tile_lengths

if TYPE_CHECKING:
    import dask.array as da
    from dask.delayed import Delayed


def run_dask(
    fields: Sequence[da.Array | AnyArray],
    plan: Plan,
    solve: Delayed | Solve,
    *,
    n_out: int = 1,
    batch_size: int = 1,
    dtype: npt.DTypeLike = "float32",
    name: str = "tiling",
) -> da.Array:
    """Solve every patch once and blend the results, lazily: `run_eager` for dask arrays.

    Nothing is computed here, and the graph grows with the number of chunks, not of patches.
    Chunks shorter than half a patch (or than the stride) are merged into tiles; long chunks are
    not cut. See `tiles` for what that costs in memory.

    Parameters
    ----------
    fields : sequence of dask array or numpy array
        Inputs. dask arrays have the shape ``plan.shape``; the first one's chunks count, the others
        are rechunked to them lazily. numpy arrays (a land mask) broadcast to that shape and travel
        as one task each, as small as they are.
    plan : Plan
        The patches.
    solve : Delayed or callable
        See `run_eager`. It travels once, as one task that the others refer to: give a Delayed whose
        name is a digest of the model. Threads may call it at the same time.
    n_out, batch_size, dtype
        See `run_eager`. Batches do not go across tiles.
    name : str
        Prefix of the task names; a token of all arguments is added to it.

    Returns
    -------
    dask array, shape (n_out, *plan.shape)
        With the chunks of the first dask field. NaN as in `run_eager`.

    Raises
    ------
    InputError
        If no field is a dask array, chunks are unknown or a shape does not fit the plan.

    Examples
    --------
    >>> import dask.array as da
    >>> from xr4dvar.tiling import make_plan, run_dask
    >>> x = da.arange(100, chunks=25)
    >>> plan = make_plan(x.shape, (10,), (5,))
    >>> y = run_dask([x], plan, lambda patches, origins: patches[0][:, np.newaxis] + 1.0)
    >>> y.chunks
    ((1,), (25, 25, 25, 25))
    >>> y[0, -3:].compute()
    array([ 98.,  99., 100.], dtype=float32)
    """
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    settings = Settings(plan, n_out, batch_size, np.dtype(dtype))
    chunks = _reference_chunks(fields, plan)
    lengths = [tile_lengths(w, c) for w, c in zip(plan.windows, chunks, strict=True)]
    inputs = [_to_tiles(field, chunks, tuple(lengths)) for field in fields]
    name = f"{name}-{tokenize(inputs, settings, solve)}"
    layer = tile_layer(name, inputs, lengths, solve, settings)
    dependencies: list[Any] = [field for field in inputs if isinstance(field, da.Array)]
    if is_delayed(solve):
        dependencies.append(solve)
    graph = HighLevelGraph.from_collections(name, layer, dependencies=dependencies)
    meta = np.empty((0,) * (plan.ndim + 1), settings.dtype)
    blended = da.Array(graph, name, chunks=((n_out,), *lengths), meta=meta)
    result: da.Array = blended.rechunk((n_out, *chunks), method="tasks")
    return result


def _reference_chunks(
    fields: Sequence[da.Array | AnyArray], plan: Plan
) -> tuple[tuple[int, ...], ...]:
    """Return the chunks of the first dask field, after all fields are checked."""
    import dask.array as da

    arrays = [field for field in fields if isinstance(field, da.Array)]
    if not arrays:
        raise InputError([("no field is a dask array", "call run_eager")])
    if any(np.isnan(size) for array in arrays for size in array.shape):
        fix = "call compute_chunk_sizes() on it first"
        raise InputError([("a field has chunks of unknown size", fix)])
    check_shapes([field.shape for field in fields], plan.shape)
    for number, field in enumerate(fields):
        if isinstance(field, da.Array) and field.shape != plan.shape:
            what = f"field {number} has shape {field.shape}, the plan {plan.shape}"
            raise InputError([(what, "broadcast dask fields; only numpy fields may be smaller")])
    chunks: tuple[tuple[int, ...], ...] = arrays[0].chunks
    return chunks


def _to_tiles(
    field: da.Array | AnyArray, chunks: Sequence[Index], lengths: tuple[Index, ...]
) -> da.Array | AnyArray:
    if isinstance(field, np.ndarray):
        return field
    # Where chunks only merge, plain tasks are best; for foreign chunks dask may choose.
    method = "tasks" if field.chunks == chunks else None
    in_tiles: da.Array = field.rechunk(lengths, method=method)
    return in_tiles
