from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiling.strategies import chunks_of
from xr4dvar.tiling import Windows, tile_lengths
from xr4dvar.tiling.tiles import tile_axes, whole_axis


@st.composite
def windows_and_chunks(draw: st.DrawFn) -> tuple[Windows, tuple[int, ...]]:
    size = draw(st.integers(1, 60))
    patch = draw(st.integers(1, size))
    windows = Windows(size, patch, draw(st.integers(1, patch)), draw(st.booleans()))
    return windows, draw(chunks_of(size))


@given(windows_and_chunks())
def test_tiles_end_at_chunk_borders(case: tuple[Windows, tuple[int, ...]]) -> None:
    windows, chunks = case
    lengths = tile_lengths(windows, chunks)
    assert sum(lengths) == windows.size
    borders = {sum(chunks[:n]) for n in range(len(chunks) + 1)}
    assert {sum(lengths[:n]) for n in range(len(lengths) + 1)} <= borders


@given(windows_and_chunks())
def test_each_window_has_one_owner_that_holds_its_centre(
    case: tuple[Windows, tuple[int, ...]],
) -> None:
    windows, chunks = case
    lengths = tile_lengths(windows, chunks)
    owned = []
    for tile in tile_axes(windows, lengths):
        begin = sum(lengths[: tile.index])
        for start in tile.starts:
            assert begin <= start + windows.patch // 2 < begin + lengths[tile.index]
            owned.append(start % windows.size)
    assert sorted(owned) == list(windows.starts)


@given(windows_and_chunks())
def test_cuts_put_every_cell_of_a_window_once(case: tuple[Windows, tuple[int, ...]]) -> None:
    windows, chunks = case
    lengths = tile_lengths(windows, chunks)
    begins = [sum(lengths[:n]) for n in range(len(lengths))]
    for tile in (*tile_axes(windows, lengths), whole_axis(windows)):
        for reach in tile.reaches:
            if tile != whole_axis(windows):
                assert begins[reach.block] + reach.in_block == reach.in_axis
            assert reach.begin % windows.size == reach.in_axis
        for start, cuts in zip(tile.starts, tile.cuts(), strict=True):
            cells = {}
            for number, in_reach, in_patch in cuts:
                first = tile.reaches[number].in_axis + in_reach.start
                for n in range(in_patch.stop - in_patch.start):
                    assert in_patch.start + n not in cells
                    cells[in_patch.start + n] = first + n
            assert cells == {n: (start + n) % windows.size for n in range(windows.patch)}


@given(windows_and_chunks())
def test_at_most_three_tiles_touch_a_block(case: tuple[Windows, tuple[int, ...]]) -> None:
    windows, chunks = case
    if windows.periodic:  # the wrap adds a border at the end of the axis
        return
    tiles = tile_axes(windows, tile_lengths(windows, chunks))
    for block in range(len(chunks)):
        assert sum(block in {r.block for r in tile.reaches} for tile in tiles) <= 3


@pytest.mark.parametrize(
    ("windows", "chunks", "expected"),
    [
        (Windows(60, 15, 8), (15,) * 4, (15,) * 4),  # long enough as they are
        (Windows(60, 15, 8), (1,) * 60, (8,) * 6 + (12,)),
        (Windows(60, 15, 15), (5,) * 12, (15,) * 4),  # the stride counts
        (Windows(10, 1, 1), (1,) * 10, (1,) * 10),  # batch axes are left alone
        (Windows(10, 10, 10), (1,) * 10, (10,)),
        (Windows(6, 4, 2), (3, 0, 3), (3, 3)),  # empty chunks are no tiles
    ],
)
def test_merged_chunks(
    windows: Windows, chunks: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    lengths = tile_lengths(windows, chunks)
    assert lengths == expected
    assert all(before == sum(lengths[:n]) for n, (before, _) in enumerate(_borders(lengths)))


def _borders(lengths: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(pairwise([sum(lengths[:n]) for n in range(len(lengths) + 1)]))
