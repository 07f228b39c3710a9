"""What is done with a batch of patches: numbers in, maps (and their errors) out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from xr4dvar.errors import InputError
from xr4dvar.labels import Grid
from xr4dvar.methods import KnowsError, Patches
from xr4dvar.model import Model
from xr4dvar.types import FloatArray, Role

__all__ = ["PatchWork"]

IntArray: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True)
class PatchWork:
    """What is done with a batch of patches; pickled once for each dask worker.

    Parameters
    ----------
    model : Model
    grid : Grid
    count : int
        Number of variables.
    has_background, has_error_variance, has_domain : bool
        Which fields come after the observations, in this order.
    error : bool
        Whether to give the standard deviations of the maps' errors too, after the maps.
    device : str
    """

    model: Model
    grid: Grid
    count: int
    has_background: bool
    has_error_variance: bool
    has_domain: bool
    error: bool
    device: str

    @property
    def n_out(self) -> int:
        """Number of fields that come out."""
        return self.count * (2 if self.error else 1)

    def __call__(self, patches: list[FloatArray], origins: IntArray) -> FloatArray:
        """Solve patches (n, *patch_shape) of every field; give (n, n_out, *patch_shape)."""
        rest = list(patches)
        shape = rest[0].shape
        y = self._take(rest)
        for v, name in enumerate(self.model.variables):
            if np.isinf(y[:, v]).any():
                fix = "mark them as missing, obs.where(np.isfinite(obs))"
                raise InputError([(f"{name!r} has infinite values", fix)])
        background = self._take(rest) if self.has_background else None
        variance = self._take(rest) if self.has_error_variance else None
        if variance is not None:
            self._check_variance(variance, y)
        given = Patches(y, self._coordinates(origins), background, variance)
        solvers = [
            _solver(self.model, self.device, error) for error in (False, True)[: 1 + self.error]
        ]
        result = np.concatenate([solve(given) for solve in solvers], axis=1)
        result = np.ascontiguousarray(result).reshape(shape[0], self.n_out, *shape[1:])
        if self.has_domain:
            result = np.where(rest.pop(0)[:, np.newaxis], result, np.nan)
        return result

    def _check_variance(self, variance: FloatArray, y: FloatArray) -> None:
        for v, name in enumerate(self.model.variables):
            used = variance[:, v][np.isfinite(y[:, v])]
            bad = used[~(used > 0)]
            if bad.size:
                what = f"error_variance of {name!r} is {bad[0]:g} at {bad.size} observations"
                fix = "give a positive variance wherever there is an observation"
                raise InputError([(what, fix)])

    def _take(self, rest: list[FloatArray]) -> FloatArray:
        """Stack the next V fields to (n, V, T, Y, X), with size 1 for an axis that is absent."""
        fields = [rest.pop(0) for _ in range(self.count)]
        n, sizes = (
            len(fields[0]),
            dict(zip(reversed(self.grid.roles), reversed(fields[0].shape), strict=False)),
        )
        shape = [sizes.get(role, 1) for role in ("time", "y", "x")]
        return np.stack([field.reshape(n, *shape) for field in fields], axis=1)

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

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        axes = [(role, self.grid[role].values.tobytes()) for role in self.grid.roles]
        flags = (
            self.count,
            self.has_background,
            self.has_error_variance,
            self.has_domain,
            self.error,
            self.device,
        )
        return type(self).__qualname__, self.model.digest, axes, flags


_SOLVERS: dict[tuple[str, str, bool], Any] = {}


def _solver(model: Model, device: str, error: bool) -> Any:
    """The model's solver, for maps or for their errors, made once a process."""
    key = model.digest, device, error
    solve = _SOLVERS.get(key)
    if solve is None:
        if len(_SOLVERS) > 8:  # another thread may do the same: do not look it up again
            _SOLVERS.clear()
        method = model.method
        if error and isinstance(method, KnowsError):
            solve = method.error_solver_for(model.parameters, device)
        else:
            solve = method.solver_for(model.parameters, device)
        _SOLVERS[key] = solve
    return solve
