"""What is done with a batch of patches: numbers in, maps (and their errors) out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from xr4dvar.contract.engine import engine_for
from xr4dvar.contract.observing import binder_of, observed_patches
from xr4dvar.errors import InputError, LostPatches, Problems
from xr4dvar.labels import Grid, Summary
from xr4dvar.methods import Patches, TakesMoments, closing, knows_states
from xr4dvar.model import Model
from xr4dvar.operators.operator import Operator
from xr4dvar.types import ROLES, FloatArray, IntArray, Role
from xr4dvar.verbs._perturbation import check_variance

if TYPE_CHECKING:
    from xr4dvar.operators.binding import Binder

__all__ = ["Content", "Output", "PatchWork", "completed_model", "engine_of", "is_open"]

#: What the fields of a patch are.
Content: TypeAlias = Literal["y", "background", "error_variance", "covariates", "domain"]

log = logging.getLogger("xr4dvar")


@dataclass(frozen=True)
class Output:
    """What is wanted of each patch: its map; also the map's error; or members of an ensemble."""

    error: bool = False
    members: int = 0
    seed: int = 0

    @property
    def fields(self) -> int:
        """Fields of each variable."""
        return self.members or 1 + self.error


@dataclass(frozen=True)
class PatchWork:
    """What is done with a batch of patches; pickled once for each dask worker.

    Parameters
    ----------
    model : Model
    grid : Grid
    count : int
        Number of observed variables.
    contents : tuple of str
        What the fields of a patch are, in their order: ``"y"``, ``"background"`` and
        ``"error_variance"`` have one for each variable, ``"covariates"`` one for each of the
        model's, ``"domain"`` has one and is the last.
    output : Output
        What comes out: maps, maps and then their errors, or members one after the other.
    device : str
    cut : bool
        Whether maps are missing outside of the domain.
    maps : int, optional
        Number of variables that are mapped, where it is another.
    operator : Operator, optional
        That of the model, with the places of the observations.
    """

    model: Model
    grid: Grid
    count: int
    contents: tuple[Content, ...]
    output: Output
    device: str
    cut: bool = True
    maps: int | None = None
    operator: Operator | None = None

    @property
    def is_open(self) -> bool:
        """Whether the model lacks what follows from the mean and the spread of all data."""
        return is_open(self.model)

    def completed(self, summaries: Sequence[Summary]) -> PatchWork:
        """The same with a model that lacks nothing."""
        return replace(self, model=completed_model(self.model, summaries))

    @property
    def n_out(self) -> int:
        """Number of fields that come out."""
        return (self.maps or self.count) * self.output.fields

    def __call__(self, patches: list[FloatArray], origins: IntArray) -> FloatArray:
        """Solve patches (n, *patch_shape) of every field; give (n, n_out, *patch_shape)."""
        given = self.given(patches, origins)
        self._say_empty(given)
        with self.naming(origins):
            result = np.concatenate(self._solve(given), axis=1)
        result = np.ascontiguousarray(result).reshape(-1, self.n_out, *patches[0].shape[1:])
        if self.cut and "domain" in self.contents:
            result = np.where(patches[-1][:, np.newaxis], result, np.nan)
        return result

    def given(self, patches: list[FloatArray], origins: IntArray) -> Patches:
        """Patches (n, *patch_shape) of every field, as a method takes them.

        Raises
        ------
        InputError
            Observations that are infinite, variances that are not positive.
        """
        fields = self._by_name(patches)
        y, variance = fields["y"], fields.get("error_variance")
        for v, name in enumerate(self.model.variables):
            if np.isinf(y[:, v]).any():
                fix = "mark them as missing, obs.where(np.isfinite(obs))"
                raise InputError([(f"{name!r} has infinite values", fix)])
        if self.model.leads and np.isfinite(y[:, :, -self.model.leads :]).any():
            what = f"the last {self.model.leads} times are observed, which the model forecasts"
            raise InputError([(what, "obs.fourdvar.forecast(model, steps), without them")])
        if variance is not None:
            for v, name in enumerate(self.model.variables):
                check_variance(variance[:, v], y[:, v], name)
        closed = {role: self.grid[role].size for role in closing(self.grid)}
        known = fields.get("covariates")
        if known is not None and np.isinf(known).any():
            fix = "mark them as missing, field.where(np.isfinite(field))"
            raise InputError([("a covariate has infinite values", fix)])
        given = Patches(
            y, self._coordinates(origins), fields.get("background"), variance, origins, closed,
            covariates=known,
        )  # fmt: skip
        domain = fields.get("domain")
        inside = None if domain is None else domain[:, 0].astype(bool)
        return observed_patches(given, self._binder(), inside)

    def _binder(self) -> Binder | None:
        """What binds the operator of the model, made once a process."""
        key = self._key
        if key not in _BINDERS:
            if len(_BINDERS) > 8:
                _BINDERS.clear()
            _BINDERS[key] = binder_of(self.model.method, self.grid, placed=self.operator)
        return _BINDERS[key]

    @contextmanager
    def naming(self, origins: IntArray) -> Iterator[None]:
        """Say of patches that are lost inside where in the data they are."""
        try:
            yield
        except LostPatches as lost:
            rows = sorted({row % len(origins) for row in lost.rows})  # of members: the same again
            what = lost.problems[0][0] + self._places(rows, origins)
            raise InputError([(what, lost.fix)]) from lost

    def _places(self, rows: Sequence[int], origins: IntArray) -> str:
        """Where some patches of a batch are, as a user would select them."""
        names = self.grid.axes.batch
        places = [
            ", ".join(f"{name}={n}" for name, n in zip(names, origins[row], strict=False))
            for row in rows[:3]
        ]
        more = " ..." if len(rows) > 3 else ""
        return f" (.isel({'), .isel('.join(places)}){more})" if names else ""

    def _say_empty(self, given: Patches) -> None:
        """Warn of whole windows in which nothing was observed: patches of maps may well be so."""
        if not knows_states(self.model.method):
            return
        windows = self.model.method.windows(self.grid, self.model.parameters)
        if any(windows[role].patch < self.grid[role].size for role in self.grid.roles):
            return
        empty = np.flatnonzero(np.isnan(given.y).all((1, 2, 3, 4))).tolist()
        if empty and given.origins is not None:
            log.warning(
                "%d of %d windows have no observation%s: their maps are what is known beforehand",
                len(empty), len(given.y), self._places(empty, given.origins),
            )  # fmt: skip

    def _solve(self, given: Patches) -> list[FloatArray]:
        """Fields (n, V, T, Y, X) one after the other."""
        engine = engine_of(self.model, self.device)
        if self.output.members:
            return list(engine.members(given, self.output.members, self.output.seed))
        if self.output.error:
            return list(engine.errors(given))
        return [engine.maps(given)]

    def _by_name(self, patches: list[FloatArray]) -> dict[Content, FloatArray]:
        """Fields of each content, (n, V, T, Y, X), with size 1 for an axis that is absent."""
        n, *shape = patches[0].shape
        sizes = dict(zip(reversed(self.grid.roles), reversed(shape), strict=False))
        whole = n, *(sizes.get(role, 1) for role in ROLES)
        rest, found = iter(patches), {}
        counts = {
            "domain": 1, "covariates": len(self.model.covariates),
            "background": self.maps or self.count,
        }  # fmt: skip
        for content in self.contents:
            count = counts.get(content, self.count)
            found[content] = np.stack([next(rest).reshape(whole) for _ in range(count)], axis=1)
        return found

    def _coordinates(self, origins: IntArray) -> dict[Role, FloatArray]:
        windows = self.model.method.windows(self.grid, self.model.parameters)
        first = origins.shape[1] - len(self.grid.roles)
        return {
            role: self._positions(role, origins[:, first + n], windows[role].patch)
            for n, role in enumerate(self.grid.roles)
        }

    def _positions(self, role: Role, starts: IntArray, patch: int) -> FloatArray:
        """Coordinates of the cells of each patch; past the end of a circle they go on rising."""
        axis = self.grid[role]
        index = starts[:, np.newaxis] + np.arange(patch)
        turns, index = np.divmod(index, axis.size)
        positions: FloatArray = axis.values[index] + turns * (axis.period or 0.0)
        return positions

    @cached_property
    def _key(self) -> Any:
        """What is the same for equal work alone."""
        if self.operator is None:
            return self.__dask_tokenize__()
        from dask.base import tokenize

        return tokenize(self)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        others = (self.grid.observed, *self.grid.kinds.values())
        grids = [grid for grid in (self.grid, *others) if grid is not None]
        axes = tuple((role, grid[role].values.tobytes()) for grid in grids for role in grid.roles)
        how = self.count, self.contents, self.output, self.device, self.cut, self.maps
        places = () if self.operator is None else (self.operator,)
        return type(self).__qualname__, self.model.digest, axes, how, *places


def is_open(model: Model) -> bool:
    """Whether a model lacks what follows from the mean and the spread of all data."""
    method = model.method
    return isinstance(method, TakesMoments) and method.is_open(model.parameters)


def completed_model(model: Model, summaries: Sequence[Summary]) -> Model:
    """A model with what it takes from the mean and the spread of all data.

    Raises
    ------
    InputError
        A variable has no value at all.
    """
    method = model.method
    if not (isinstance(method, TakesMoments) and method.is_open(model.parameters)):
        return model
    problems = Problems()
    for summary in summaries:
        if not summary.count:
            what = f"{summary.name!r} has no value, all is missing"
            problems.add(what, "check the variable and the selection")
    problems.raise_if_any()
    moments = [(summary.mean, summary.std) for summary in summaries]
    return replace(model, parameters=method.completed(model.parameters, moments))


_BINDERS: dict[Any, Binder | None] = {}
_ENGINES: dict[tuple[str, str], Any] = {}


def engine_of(model: Model, device: str) -> Any:
    """The model's engine on a device, made once a process."""
    key = model.digest, device
    engine = _ENGINES.get(key)
    if engine is None:
        if len(_ENGINES) > 8:  # another thread may do the same: do not look it up again
            _ENGINES.clear()
        engine = _ENGINES[key] = engine_for(model.method, model.parameters, device)
    return engine
