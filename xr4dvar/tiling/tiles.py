"""Owner tiles of one axis: which windows a tile solves, and which cells they reach.

Every count, reach and position is separable, so a tile of an n-dimensional array is one
`TileAxis` on each axis and everything about it is a product.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from xr4dvar.tiling.windows import Windows


class Reach(NamedTuple):
    """A run of cells that a tile's windows touch and that lies in one block of the array."""

    block: int  #: number of the block along the axis
    begin: int  #: first cell, counted on without wrapping: < 0 or >= the axis size past its ends
    size: int  #: number of cells
    in_block: int  #: the first cell's index in the block
    in_axis: int  #: the first cell's index in the axis

    @property
    def end(self) -> int:
        """Cell after the last one, counted like `begin`."""
        return self.begin + self.size


class Cut(NamedTuple):
    """The part of a window that lies in one reach."""

    reach: int  #: number of the reach
    in_reach: slice
    in_patch: slice


@dataclass(frozen=True)
class TileAxis:
    """One tile along one axis: the windows whose centre it holds and the cells they touch.

    Parameters
    ----------
    index : int
        Number of the tile along the axis.
    patch : int
        Length of its windows.
    starts : tuple of int
        First cells of its windows, counted on without wrapping round a periodic axis.
    reaches : tuple of Reach
        The cells of all its windows, cut at the borders of the blocks (and at the end of the axis).
    """

    index: int
    patch: int
    starts: tuple[int, ...]
    reaches: tuple[Reach, ...]

    def cuts(self) -> list[tuple[Cut, ...]]:
        """Return for each window its parts by reach."""
        return [tuple(self.cut(start)) for start in self.starts]

    def cut(self, start: int) -> Iterator[Cut]:
        """Yield the parts of the window at `start`, counted like the reaches."""
        for number, reach in enumerate(self.reaches):
            begin, end = max(start, reach.begin), min(start + self.patch, reach.end)
            if begin < end:
                inside = slice(begin - reach.begin, end - reach.begin)
                yield Cut(number, inside, slice(begin - start, end - start))


def tile_lengths(windows: Windows, chunks: Sequence[int]) -> tuple[int, ...]:
    """Merge neighbouring chunks until each tile is long enough.

    A tile of at least half a patch reaches no further than its next neighbours, so at most three
    tiles an axis touch a block, whatever the chunks are; a tile of at least a stride has work.

    Examples
    --------
    >>> from xr4dvar.tiling import Windows, tile_lengths
    >>> tile_lengths(Windows(60, 15, 1), (1,) * 60)
    (8, 8, 8, 8, 8, 8, 12)
    """
    least = max(windows.stride, -(-windows.patch // 2))
    lengths: list[int] = []
    length = 0
    for chunk in chunks:
        length += chunk
        if length >= least:
            lengths.append(length)
            length = 0
    if length and lengths:
        lengths[-1] += length  # the rest is too short to stand alone
    elif length:
        lengths.append(length)
    return tuple(lengths)


def whole_axis(windows: Windows) -> TileAxis:
    """Return the tile that is the whole axis, one block, for arrays in memory."""
    reaches = [Reach(0, 0, windows.size, 0, 0)]
    if windows.periodic and windows.patch > 1:
        # windows that start near the end go on at the beginning of the same block
        reaches.append(Reach(0, windows.size, windows.patch - 1, 0, 0))
    return TileAxis(0, windows.patch, windows.starts, tuple(reaches))


def tile_axes(windows: Windows, lengths: Sequence[int]) -> tuple[TileAxis, ...]:
    """Share out the windows of an axis: each goes to the tile that holds its centre.

    Parameters
    ----------
    windows : Windows
        Of the axis.
    lengths : sequence of int
        Lengths of the tiles, which are also the blocks that reaches are cut at.

    Returns
    -------
    tuple of TileAxis
        Those with at least one window, in order. Each window is in exactly one of them.
    """
    borders = [0, *accumulate(lengths)]
    owned: dict[int, list[int]] = {}
    for start in windows.starts:
        centre = start + windows.patch // 2
        if centre >= windows.size:  # past the end of a periodic axis: the tile at its beginning
            start, centre = start - windows.size, centre - windows.size
        owned.setdefault(bisect_right(borders, centre) - 1, []).append(start)
    return tuple(
        TileAxis(tile, windows.patch, tuple(starts), tuple(_reaches(starts, windows, borders)))
        for tile, starts in sorted(owned.items())
    )


def _reaches(starts: Sequence[int], windows: Windows, borders: Sequence[int]) -> Iterator[Reach]:
    """Walk over all cells of the windows, block by block."""
    # strides are at most a patch, so a tile's windows leave no gap between them
    cell, end = min(starts), max(starts) + windows.patch
    while cell < end:
        in_axis = cell % windows.size
        block = bisect_right(borders, in_axis) - 1
        size = min(end - cell, borders[block + 1] - in_axis)
        yield Reach(block, cell, size, in_axis - borders[block], in_axis)
        cell += size
