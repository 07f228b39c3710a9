"""Blocks of numbers that a method learns from, read from arrays of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xr4dvar.contract.observing import through
from xr4dvar.labels import Grid, Normalisation
from xr4dvar.types import BoolArray, FloatArray, Role

if TYPE_CHECKING:
    from xr4dvar.operators.binding import Binder

__all__ = ["Block", "BlockBox", "Covariates", "TrainingData"]

#: Share of its spread by which unknown values may change what is taken as observed of a field.
UNKNOWN = 1e-3
#: Random values of unknown cells that are tried.
DRAWS = 2

#: Reads the same box of several arrays at once: one slice a dimension.
Reader = Callable[[tuple[slice, ...]], list[FloatArray]]


@dataclass(frozen=True)
class BlockBox:
    """Where a block is: the entry of the batch dimensions, and a slice of each axis."""

    entry: tuple[int, ...]
    slices: tuple[slice, ...]


@dataclass(frozen=True)
class Block:
    """A box of the training data, in the data's own units.

    Parameters
    ----------
    y : numpy.ndarray, shape (K, T, Y, X)
        What the method is shown; NaN where nothing is.
    target : numpy.ndarray, shape (V, T, Y, X)
        What its map is held against; NaN where that is not known.
    coordinates : mapping of role to numpy.ndarray, shape (n,)
        Positions along the axes that are there.
    background : numpy.ndarray, same shape as `target`, optional
        The map of the background method from `y`.
    covariates : numpy.ndarray, shape (C, T, Y, X), optional
        Fields that are known and not mapped, NaN where one is missing.
    """

    y: FloatArray
    target: FloatArray
    coordinates: dict[Role, FloatArray]
    background: FloatArray | None = None
    covariates: FloatArray | None = None

    def with_background(self, background: FloatArray) -> Block:
        """Add the background map."""
        return replace(self, background=background)


@dataclass(frozen=True)
class Covariates:
    """Fields that are known and not mapped.

    Parameters
    ----------
    read : callable
        Gives the C arrays for a box, as `TrainingData.read` does.
    normalisation : Normalisation
        Names, mean and standard deviation of each.
    gappy : tuple of bool
        Whether each has missing values.
    """

    read: Reader
    normalisation: Normalisation
    gappy: tuple[bool, ...]


@dataclass(frozen=True)
class TrainingData:
    """Observations, and the truth where there is one, of a training and a validation period.

    Parameters
    ----------
    read : callable
        Gives K observation arrays, then V target arrays if `supervised`, for a box of
        the canonical (batch..., time, y, x) array.
    shape : tuple of int
        Shape of the canonical array.
    names : sequence of str
        The observed variables.
    grid : Grid
    normalisation : Normalisation
        Mean and standard deviation of each variable.
    supervised : bool
        Whether there is a target. If not, a share of the observations is hidden from the
        method and is the target.
    train, validation : tuple of int
        First and one past the last time index of each period.
    hide : callable
        ``(observed, generator) -> hidden``: which of the observed cells (V, T, Y, X) to hide.
    train_entries, validation_entries : tuple of int, optional
        First and one past the last entry of the first batch dimension that each of the two
        takes, where it is entries (windows, members) and not times that are set apart.
    binder : Binder, optional
        Binds the observation operator, where observations are not the field itself.
    covariates : Covariates, optional
    leads : int
        Times at the end of each block that are not observed: what is learned is a forecast.
    states : sequence of str
        The variables of the state, and of the target, where these are others than are observed.
    """

    read: Reader
    shape: tuple[int, ...]
    names: Sequence[str]
    grid: Grid
    normalisation: Normalisation
    supervised: bool
    train: tuple[int, int]
    validation: tuple[int, int]
    hide: Callable[[BoolArray, np.random.Generator], BoolArray]
    train_entries: tuple[int, int] | None = None
    validation_entries: tuple[int, int] | None = None
    binder: Binder | None = None
    covariates: Covariates | None = None
    leads: int = 0
    states: Sequence[str] = ()

    @property
    def state_names(self) -> Sequence[str]:
        """The variables of the state."""
        return self.states or self.names

    def sizes(self, period: tuple[int, int]) -> dict[Role, int]:
        """Number of cells along each axis that is there, with the given period as time."""
        sizes = dict(zip(self.grid.roles, self.grid.shape, strict=True))
        if "time" in sizes:
            sizes["time"] = period[1] - period[0]
        return sizes

    def box(
        self,
        period: tuple[int, int],
        sizes: dict[Role, int],
        generator: np.random.Generator | None = None,
        entries: tuple[int, int] | None = None,
    ) -> BlockBox:
        """Place a block of the given sizes in a period: at random, or in its first corner.

        `entries` of the first batch dimension, if given, are those to choose from.
        """

        def start(free: int) -> int:
            return 0 if generator is None else int(generator.integers(free + 1))

        whole = self.sizes(period)
        batch = [(0, size) for size in self.shape[: len(self.shape) - len(whole)]]
        if entries is not None:
            batch[0] = entries
        entry = tuple(first + start(last - first - 1) for first, last in batch)
        slices = []
        for role, size in whole.items():
            length = min(size, sizes.get(role, size))
            first = start(size - length) + (period[0] if role == "time" else 0)
            slices.append(slice(first, first + length))
        return BlockBox(entry, tuple(slices))

    def train_box(
        self, sizes: dict[Role, int], generator: np.random.Generator | None = None
    ) -> BlockBox:
        """Place a block where it may be learned from; see `box`."""
        return self.box(self.train, sizes, generator, self.train_entries)

    def block(
        self, box: BlockBox, generator: np.random.Generator, error_of: BlockBox | None = None
    ) -> Block:
        """Read a block.

        Parameters
        ----------
        box : BlockBox
        generator : numpy.random.Generator
            Hides a share of the observations where there is no target.
        error_of : BlockBox, optional
            With a target: observe the truth of `box` where, and as wrongly as, this other block
            was. Its observation errors ``y - target`` are added to the truth: more pairs of
            observations and truth than were measured, each as likely.
        """
        y, target = self.fields(box)
        if target is None:
            observed = np.isfinite(y)
            hidden = observed & (self._later(y) if self.leads else self.hide(observed, generator))
            y, target = np.where(hidden, np.nan, y), np.where(hidden, y, np.nan)
        elif error_of is not None:
            other_y, other_target = self.fields(error_of)
            if other_target is not None:
                errors = other_y - self.observed(other_target, error_of)
                y = self.observed(target, box) + errors
        y = np.where(self._later(y), np.nan, y) if self.leads else y
        known = None if self.covariates is None else self._box(self.covariates.read, box)
        return Block(y, target, self._coordinates(box), covariates=known)

    def _later(self, y: FloatArray) -> BoolArray:
        """The cells of the last times (V, T, Y, X)."""
        later = np.zeros(y.shape, dtype=bool)
        later[:, y.shape[1] - self.leads :] = True
        return later

    def fields(self, box: BlockBox) -> tuple[FloatArray, FloatArray | None]:
        """Read all observations (K, T, Y, X) of a box, and its target (V, T, Y, X), if any."""
        arrays, count = self._box(self.read, box), len(self.names)
        return arrays[:count], arrays[count:] if self.supervised else None

    def _box(self, read: Reader, box: BlockBox) -> FloatArray:
        """All fields of a reader in a box, (fields, T, Y, X)."""
        index = tuple(slice(i, i + 1) for i in box.entry) + box.slices
        shape = tuple(s.stop - s.start for s in box.slices)
        return np.stack([self._five(array.reshape(shape)) for array in read(index)])

    def observed(self, field: FloatArray, box: BlockBox) -> FloatArray:
        """What is observed (K, T, Y, X) of a field (V, T, Y, X), NaN where other cells count."""
        if self.binder is None:
            return field
        coordinates = {r: v[np.newaxis] for r, v in self._coordinates(box).items()}
        operator, seen = self.binder(coordinates)
        known = np.isfinite(field)
        mean, spread = 0.0, 1.0
        if known.any():
            mean, spread = float(field[known].mean()), float(field[known].std()) or 1.0
        found = through(operator, np.where(known, field, mean)[np.newaxis])[0]
        lost = np.broadcast_to(False if seen is None else ~seen[0], found.shape)
        if not known.all():  # what other values of the unknown cells would change is not known
            drawn = np.random.default_rng(0).standard_normal((DRAWS, *field.shape))
            for change in (np.ones_like(drawn[0]), *drawn):  # equal ones, and none that cancel
                other = np.where(known, field, mean + spread * change)
                changed = through(operator, other[np.newaxis])[0]
                lost = lost | (np.abs(changed - found) > UNKNOWN * self._size(found, spread))
        return np.where(lost, np.nan, found)

    def _size(self, found: FloatArray, spread: float) -> FloatArray:
        """Size of each observed field (K, 1, 1, 1): that of the state, unless it is another."""
        if len(found) == len(self.state_names):
            return np.full((1, 1, 1, 1), spread)
        own: FloatArray = found.std((1, 2, 3), keepdims=True)
        return own

    def _five(self, array: FloatArray) -> FloatArray:
        """(T, Y, X), with size 1 for an axis that is not there."""
        sizes = dict(zip(self.grid.roles, array.shape, strict=True))
        return array.reshape([sizes.get(role, 1) for role in ("time", "y", "x")])

    def _coordinates(self, box: BlockBox) -> dict[Role, FloatArray]:
        return {
            role: self.grid[role].values[part]
            for role, part in zip(self.grid.roles, box.slices, strict=True)
        }
