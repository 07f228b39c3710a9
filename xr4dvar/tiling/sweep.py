"""The numeric core: go over a tile's patches in batches, gather, solve, add up. numpy only.

The eager path and the dask path differ only in where a tile's blocks come from and go to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from xr4dvar.errors import InputError
from xr4dvar.tiling.plan import Plan
from xr4dvar.tiling.tiles import Cut, TileAxis

AnyArray: TypeAlias = npt.NDArray[Any]
#: ``solve(patches, origins) -> solved``: patches, one array (n, *patch_shape) a field; origins,
#: ints (n, ndim); solved, floats (n, n_out, *patch_shape).
Solve: TypeAlias = Callable[[list[AnyArray], npt.NDArray[np.intp]], AnyArray]
Index: TypeAlias = tuple[int, ...]
Slices: TypeAlias = tuple[slice, ...]
#: The cells that a tile touches: one view for each combination of the axes' reaches.
Views: TypeAlias = Mapping[Index, AnyArray]


@dataclass(frozen=True)
class Settings:
    """What every tile of a run has in common."""

    plan: Plan
    n_out: int
    batch_size: int
    dtype: np.dtype[Any]

    def __post_init__(self) -> None:
        problems = []
        if self.batch_size < 1:
            problems.append((f"batch_size is {self.batch_size}", "use batch_size >= 1"))
        if self.n_out < 1:
            problems.append((f"n_out is {self.n_out}", "use n_out >= 1"))
        if self.dtype not in (np.float32, np.float64):  # products of weights underflow in float16
            problems.append((f"dtype is {self.dtype}", "use float32 or float64"))
        if problems:
            raise InputError(problems)


class Part(NamedTuple):
    """The cells of a patch that lie in one view."""

    view: Index
    in_view: Slices
    in_patch: Slices


class Window(NamedTuple):
    """One patch: its first cell in the array and its parts, one a view that it lies in."""

    origin: Index
    parts: list[Part]


def tile_windows(axes: Sequence[TileAxis], shape: Sequence[int]) -> Iterator[Window]:
    """Yield the patches of a tile, last axis fastest."""
    tables = [
        [(start % size, cuts) for start, cuts in zip(axis.starts, axis.cuts(), strict=True)]
        for axis, size in zip(axes, shape, strict=True)
    ]
    for combination in product(*tables):
        origin, cuts = zip(*combination, strict=True)
        yield Window(origin, _parts(cuts))


def windows_at(origins: Sequence[Index], axes: Sequence[TileAxis]) -> list[Window]:
    """Return the patches at any origins."""
    return [
        Window(origin, _parts([a.cut(start) for a, start in zip(axes, origin, strict=True)]))
        for origin in origins
    ]


def _parts(cuts: Sequence[Iterable[Cut]]) -> list[Part]:
    """Combine the parts of each axis into those of the patch."""
    return [Part(*zip(*combination, strict=True)) for combination in product(*cuts)]


def last_axes(cells: Iterable[slice]) -> Any:
    """Return the index of these cells along the last axes, all along the ones before."""
    return (..., *cells)


def whole_views(array: AnyArray, axes: Sequence[TileAxis]) -> Views:
    """Return views of an array that holds the whole domain (in its last axes)."""
    return {
        tuple(n for n, _ in reaches): array[
            last_axes([slice(r.in_axis, r.in_axis + r.size) for _, r in reaches])
        ]
        for reaches in product(*(enumerate(axis.reaches) for axis in axes))
    }


def block_views(blocks: Sequence[AnyArray], axes: Sequence[TileAxis]) -> Views:
    """Return views of the blocks that a tile reaches, which come in order, last axis fastest."""
    reached = product(*(enumerate(axis.reaches) for axis in axes))
    return {
        tuple(n for n, _ in reaches): block[
            tuple(slice(r.in_block, r.in_block + r.size) for _, r in reaches)
        ]
        for block, reaches in zip(blocks, reached, strict=True)
    }


def zero_pieces(axes: Sequence[TileAxis], settings: Settings) -> dict[Index, AnyArray]:
    """Return zeros for what a tile adds to each block it reaches, last axis fastest."""
    return {
        tuple(n for n, _ in reaches): np.zeros(
            (settings.n_out, *(r.size for _, r in reaches)), settings.dtype
        )
        for reaches in product(*(enumerate(axis.reaches) for axis in axes))
    }


def gather(views: Views, windows: Sequence[Window], patch_shape: Sequence[int]) -> AnyArray:
    """Copy the patches of one field, shape (n, *patch_shape)."""
    first = next(iter(views.values()))
    patches: AnyArray = np.empty((len(windows), *patch_shape), first.dtype)
    for patch, window in zip(patches, windows, strict=True):
        for view, in_view, in_patch in window.parts:
            patch[in_patch] = views[view][in_view]
    return patches


def patch_weights(plan: Plan, dtype: np.dtype[Any]) -> Callable[[Index], AnyArray]:
    """Give the function from an origin to the product of the axes' weights, shape patch_shape."""
    known: dict[tuple[tuple[bool, bool], ...], AnyArray] = {}

    def weight_of(origin: Index) -> AnyArray:
        edges = tuple(w.edges_at(start) for w, start in zip(plan.windows, origin, strict=True))
        if edges not in known:
            known.clear()  # one at a time: it is as large as a patch, and soon made
            weight = np.ones((), np.float64)
            for windows, own in zip(plan.windows, edges, strict=True):
                weight = np.multiply.outer(weight, windows.weight_at(own))
            known[edges] = weight.astype(dtype)
        return known[edges]

    return weight_of


def sweep(
    axes: Sequence[TileAxis],
    inputs: Sequence[Views],
    outputs: Views,
    solve: Solve,
    settings: Settings,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Solve every patch of a tile once and add its weighted values to `outputs` in place."""
    plan = settings.plan
    weight_of = patch_weights(plan, settings.dtype)
    weighted = np.empty((settings.n_out, *plan.patch_shape), settings.dtype)
    windows = tile_windows(axes, plan.shape)
    while batch := list(islice(windows, settings.batch_size)):
        # no name holds on to a batch, so that it is freed before the next one is gathered
        _add(_solve(batch, inputs, solve, settings), batch, weight_of, weighted, outputs)
        if progress is not None:
            progress(len(batch))


def _solve(
    batch: Sequence[Window], inputs: Sequence[Views], solve: Solve, settings: Settings
) -> AnyArray:
    """Gather the patches of a batch and solve them."""
    origins = np.array([window.origin for window in batch], np.intp)
    patches = [gather(views, batch, settings.plan.patch_shape) for views in inputs]
    solved = solve(patches, origins)
    expected = (len(batch), settings.n_out, *settings.plan.patch_shape)
    if solved.shape != expected:
        raise InputError(
            [
                (
                    f"solve returned an array of shape {solved.shape} for {len(batch)} patches",
                    f"return {expected}: patches, outputs, then the axes of a patch",
                )
            ]
        )
    return solved


def _add(
    solved: AnyArray,
    batch: Sequence[Window],
    weight_of: Callable[[Index], AnyArray],
    weighted: AnyArray,
    outputs: Views,
) -> None:
    """Add the weighted patches to the outputs; `weighted` is room to work in."""
    for patch, window in zip(solved, batch, strict=True):
        np.multiply(patch, weight_of(window.origin), out=weighted, casting="same_kind")
        for view, in_view, in_patch in window.parts:
            outputs[view][last_axes(in_view)] += weighted[last_axes(in_patch)]


def divide(total: AnyArray, sums: Sequence[AnyArray]) -> None:
    """Divide weighted sums in place by the weight sums of their last ``len(sums)`` axes."""
    # the two last axes in one pass, without an array of weight sums as large as the output
    plane = np.multiply.outer(sums[-2], sums[-1]) if len(sums) > 1 else sums[-1]
    total /= plane.astype(total.dtype)
    for axis, sum_ in enumerate(sums[:-2]):
        if np.any(sum_ != 1):  # axes that are not cut weigh nothing
            total /= sum_.astype(total.dtype).reshape(-1, *(1,) * (len(sums) - 1 - axis))
