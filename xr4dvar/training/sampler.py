"""Random patches for training, the same for the same seed and step."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from xr4dvar.contract.engine import Engine
from xr4dvar.contract.observing import observed_patches
from xr4dvar.contract.patches import Patches
from xr4dvar.contract.training_data import Block, BlockBox, TrainingData
from xr4dvar.operators.bound import one_or_each
from xr4dvar.training.hiding import hide_nothing
from xr4dvar.types import FloatArray, Role

if TYPE_CHECKING:
    from xr4dvar.operators.binding import Binder

__all__ = ["PatchSampler", "Sample", "validation_patches", "with_background"]

#: Streams of random numbers that must not repeat each other.
BLOCKS, PATCHES, VALIDATION = 1, 2, 3
#: Draws of a patch before one with too few observations is taken after all.
TRIES = 20

#: Entries (windows, members) that are validated on, and cells that a network maps at a time.
MOST_ENTRIES, CELLS_AT_ONCE = 512, 200_000


@dataclass(frozen=True)
class Sample:
    """Patches and what their maps are held against; arrays of shape (n, V, T, Y, X).

    Drawn for training, it knows how much of that is done, from 0 to 1.
    """

    patches: Patches
    target: FloatArray
    progress: float = 1.0


@dataclass
class PatchSampler:
    """Patches drawn at random from a few blocks, which change as training goes on.

    What is drawn is a function of the seed and the step alone, so that a run that was cut off
    goes on with the very same patches.

    Parameters
    ----------
    data : TrainingData
    background : Solver or None
        Maps a block; its map is part of the patches.
    block, patch : mapping of role to int
        Sizes of blocks and patches.
    batch_size : int
    seed : int
    kept : int
        Blocks in memory at a time.
    fresh : float
        How many of them make room for new ones at each step.
    redraw : bool
        With a target: observe the truth anew in every block, see `TrainingData.block`.
    minimum_observed : float
        Least share of a patch's cells that must be observed.
    """

    data: TrainingData
    background: Engine | None
    block: dict[Role, int]
    patch: dict[Role, int]
    batch_size: int
    seed: int
    kept: int = 8
    fresh: float = 1 / 25
    redraw: bool = True
    minimum_observed: float = 0.0
    _blocks: OrderedDict[int, Block] = field(default_factory=OrderedDict)

    def sample(self, step: int, rank: int = 0) -> Sample:
        """Draw the patches of one training step."""
        blocks = self.blocks(step)
        generator = np.random.default_rng([self.seed, PATCHES, step, rank])
        return _stack([self._patch(blocks, generator) for _ in range(self.batch_size)])

    def blocks(self, step: int) -> list[Block]:
        """The blocks that are in use at a step."""
        oldest = int(step * self.fresh + 1e-6)
        return [self._block(number) for number in range(oldest, oldest + self.kept)]

    def _block(self, number: int) -> Block:
        """Block number n, made anew where it is no longer (or, after a restart, not yet) kept."""
        if number not in self._blocks:
            generator = np.random.default_rng([self.seed, BLOCKS, number])
            box = self.data.train_box(self.block, generator)
            other = self.data.train_box(self.block, generator) if self.redraw else None
            block = self.data.block(box, generator, error_of=other)
            self._blocks[number] = with_background(block, self.background, self.data.binder)
            while len(self._blocks) > self.kept:
                self._blocks.popitem(last=False)
        return self._blocks[number]

    def _patch(self, blocks: list[Block], generator: np.random.Generator) -> Sample:
        for _ in range(TRIES):
            block = blocks[generator.integers(len(blocks))]
            sizes = _sizes(block)
            start = {
                role: int(generator.integers(size - min(size, self.patch.get(role, size)) + 1))
                for role, size in sizes.items()
            }
            sample = _cut(block, start, self.patch, self.data.binder)
            share = np.isfinite(sample.patches.y).mean()
            useful = self.data.hide is hide_nothing or np.isfinite(sample.target).any()
            if share >= self.minimum_observed and useful:
                break
        return sample


def validation_patches(
    data: TrainingData,
    background: Engine | None,
    patch: dict[Role, int],
    stride: dict[Role, int],
    seed: int,
    largest: dict[Role, int],
) -> list[Sample]:
    """All patches of the (first part of the) validation period, on a regular raster."""
    generator = np.random.default_rng([seed, VALIDATION])
    samples = []
    for box in _validation_boxes(data, stride, largest):
        block = with_background(data.block(box, generator), background, data.binder)
        starts = {
            role: _starts(size, min(size, patch.get(role, size)), stride.get(role, size))
            for role, size in _sizes(block).items()
        }
        corners = np.stack(np.meshgrid(*starts.values(), indexing="ij"), -1)
        samples += [
            _cut(block, dict(zip(starts, corner.tolist(), strict=True)), patch, data.binder)
            for corner in corners.reshape(-1, len(starts))
        ]
    together = max(1, CELLS_AT_ONCE // samples[0].target.size)
    return [_stack(samples[n : n + together]) for n in range(0, len(samples), together)]


def _validation_boxes(
    data: TrainingData, stride: dict[Role, int], largest: dict[Role, int]
) -> list[BlockBox]:
    """Blocks to validate on: one of each entry; of forecasts one for each of their first times."""
    first, last = data.validation_entries or (0, 1)
    periods = [data.validation]
    if data.leads:
        begin, end = data.validation
        length, step = largest["time"], stride["time"]
        periods = [(begin + n, end) for n in _starts(end - begin, length, step)]
    boxes = []
    for entry in range(first, min(last, first + MOST_ENTRIES)):
        entries = None if data.validation_entries is None else (entry, entry + 1)
        boxes += [data.box(period, largest, entries=entries) for period in periods]
    return boxes


def with_background(block: Block, background: Engine | None, binder: Binder | None = None) -> Block:
    """Add the background method's map of what the block shows."""
    if background is None:
        return block
    coordinates = {role: values[np.newaxis] for role, values in block.coordinates.items()}
    patches = observed_patches(Patches(block.y[np.newaxis], coordinates), binder)
    return block.with_background(background.maps(patches)[0])


def _sizes(block: Block) -> dict[Role, int]:
    return {role: len(values) for role, values in block.coordinates.items()}


def _starts(size: int, patch: int, stride: int) -> list[int]:
    return sorted({*range(0, size - patch + 1, stride), size - patch})


def _cut(
    block: Block, start: dict[Role, int], patch: dict[Role, int], binder: Binder | None
) -> Sample:
    slices = {
        role: slice(first, first + patch.get(role, len(block.coordinates[role])))
        for role, first in start.items()
    }
    index = (slice(None), *(slices.get(role, slice(None)) for role in ("time", "y", "x")))
    background = None if block.background is None else block.background[index][np.newaxis]
    coordinates = {role: block.coordinates[role][part][np.newaxis] for role, part in slices.items()}
    known = None if block.covariates is None else block.covariates[index][np.newaxis]
    patches = Patches(block.y[index][np.newaxis], coordinates, background, covariates=known)
    return Sample(observed_patches(patches, binder), block.target[index][np.newaxis])


def _stack(samples: list[Sample]) -> Sample:
    first = samples[0].patches
    background = covariates = None
    if first.background is not None:
        background = np.concatenate([s.patches.background for s in samples])
    if first.covariates is not None:
        covariates = np.concatenate([s.patches.covariates for s in samples])
    coordinates = {
        role: np.concatenate([s.patches.coordinates[role] for s in samples])
        for role in first.coordinates
    }
    y = np.concatenate([s.patches.y for s in samples])
    target = np.concatenate([s.target for s in samples])
    operator = None
    if first.operator is not None:
        operator = one_or_each([s.patches.operator for s in samples])
    patches = Patches(y, coordinates, background, operator=operator, covariates=covariates)
    return Sample(patches, target)
