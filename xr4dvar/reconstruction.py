"""The verb `reconstruct`: gappy observations and a model in, complete fields out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr4dvar.arguments import check_count
from xr4dvar.errors import InputError, Problems
from xr4dvar.inputs import Inputs, check_device, check_numbers, is_dask, read_inputs
from xr4dvar.labels import (
    Grid,
    annotate,
    check_same_grid,
    check_same_variables,
    from_fields,
    variables_signature,
)
from xr4dvar.methods import Method, Patches, check_method
from xr4dvar.model import Model
from xr4dvar.options import OPTIONS
from xr4dvar.progress import progress_bar, wanted
from xr4dvar.tiling import Plan, Windows, run_dask, run_eager
from xr4dvar.types import DimsMapping, FloatArray, Labelled, Role

__all__ = ["as_model", "make_plan", "reconstruct"]

IntArray: TypeAlias = npt.NDArray[np.intp]

#: Cells handed to a method at once: enough to keep the cores busy, little memory.
BATCH_CELLS = 600_000


def reconstruct(
    obs: Labelled,
    model: Model | Method,
    *,
    mask: xr.DataArray | None = None,
    error_variance: Labelled | None = None,
    dims: DimsMapping | None = None,
    periodic: Iterable[str] = (),
    batch_size: int | None = None,
    device: str | None = None,
    progress: bool | None = None,
) -> Labelled:
    """Complete gappy fields.

    Arrays in memory are solved now, patch by patch; arrays in chunks give a lazy result with
    the same chunks, of which nothing has been computed. Each patch is solved once.

    Parameters
    ----------
    obs : DataArray or Dataset
        Observations, NaN where there is none, as `model` was fitted for.
    model : Model or Method
        What `fit` returned, or a method that needs no fit, such as
        ``OptimalInterpolation(length=...)``.
    mask : DataArray of bool, optional
        True for cells that are wanted (sea), on some or all dimensions of `obs`; what was
        observed at the others is not used, and they are missing in the result.
    error_variance : DataArray or Dataset, optional
        Variance of each observation's error, in the data's units squared, on the grid of `obs`;
        for methods that take one.
    dims, periodic
        See `fit`.
    batch_size : int, optional
        Patches handed to the method at once.
    device : str, optional
        See `fit`.
    progress : bool, optional
        Show a bar while arrays in memory are solved; default: `set_options`.

    Returns
    -------
    DataArray or Dataset
        Dimensions, order, coordinates, attributes, float type and chunks of `obs`; CF ``history``
        and ``xr4dvar_*`` attributes say how it was made.

    Raises
    ------
    InputError
        With every way in which the data do not fit the model.

    Examples
    --------
    >>> obs = xv.datasets.gulfstream_twin().ssh_nadir4.isel(time=slice(0, 20)).chunk(time=10)
    >>> oi = xv.OptimalInterpolation(length={"time": "7D", "lat": 1.0, "lon": 1.0})
    >>> maps = xv.reconstruct(obs, oi)
    >>> maps.chunks == obs.chunks
    True
    """
    problems = Problems()
    if batch_size is not None:
        check_count("batch_size", batch_size, problems)
    inputs, extra = read_inputs(
        obs,
        {"error_variance": error_variance},
        mask=mask,
        dims=dims,
        periodic=periodic,
        problems=problems,
    )
    device = OPTIONS["device"] if device is None else device
    check_device(device, problems, here=not is_dask(inputs.fields))
    check_numbers(inputs, problems)
    with problems.collect():
        model = as_model(obs, model, inputs)
    problems.raise_if_any()
    run = _Run(inputs, batch_size, device, progress)
    arrays = run.solve(model, extra.get("error_variance", []))
    result = from_fields(arrays, obs, inputs.grid)
    return _with_provenance(result, obs, model)


def as_model(obs: Labelled, model: Model | Method, inputs: Inputs) -> Model:
    """Check that a model fits the data; make one of a method that needs no fit."""
    problems = Problems()
    if isinstance(model, Model):
        check_same_variables(model.variables, obs, problems)
        check_same_grid(model.grid, inputs.grid, problems)
        if not problems.found:  # the patch is told by the axes that they share
            _check_patch(model, inputs.grid, problems)
        problems.raise_if_any()
        return model
    if isinstance(model, str | PathLike):
        problems.add(f"model is {str(model)!r}, a text", f"model = xr4dvar.load({str(model)!r})")
    elif check_method("model", model, problems):
        with problems.collect():
            model.check(inputs.grid, inputs.names)
    problems.raise_if_any()
    parameters = model.known(inputs.grid, inputs.names)
    if parameters is None:
        name = type(model).__name__
        what = f"{name} has to be fitted before it can reconstruct"
        raise InputError(
            [(what, f"model = obs.fourdvar.fit({name}(...)), then reconstruct(model)")]
        )
    return Model(model, parameters, variables_signature(obs), inputs.grid.signature())


def _check_patch(model: Model, grid: Grid, problems: Problems) -> None:
    for role, window in model.method.windows(grid, model.parameters).items():
        size = grid[role].size
        if window.patch > size:
            problems.add(
                f"the model sees {window.patch} steps of {grid[role].name!r} at once, "
                f"the data have {size}",
                f"give at least {window.patch}, or fit with a smaller patch=",
            )


def make_plan(model: Model, inputs: Inputs) -> Plan:
    """Cut the canonical array into the patches of a model."""
    grid = inputs.grid
    windows = [Windows(size, 1, 1) for size in inputs.shape[: len(inputs.shape) - len(grid.shape)]]
    wanted_windows = model.method.windows(grid, model.parameters)
    for role in grid.roles:
        window, size = wanted_windows[role], grid[role].size
        # a window round the whole circle has no seam to blend over
        periodic = grid[role].period is not None and window.patch < size
        windows.append(Windows(size, window.patch, window.stride, periodic=periodic))
    return Plan(tuple(windows))


@dataclass(frozen=True)
class _Run:
    """How one call of `reconstruct` solves: the same for a model and its background."""

    inputs: Inputs
    batch_size: int | None
    device: str
    progress: bool | None

    def solve(self, model: Model, error_variance: Sequence[Any]) -> list[Any]:
        """Complete all fields, those of the background method first."""
        count = len(self.inputs.names)
        background: list[Any] = []
        if model.background is not None:
            inner = replace(self, inputs=replace(self.inputs, domain=None))
            background = inner.solve(model.background, error_variance)
        plan = make_plan(model, self.inputs)
        fields = [*self.inputs.fields, *background, *error_variance]
        parts = [count if part else 0 for part in (background, error_variance)]
        if self.inputs.domain is not None:
            fields.append(self.inputs.domain)
        batch = self.batch_size or max(1, BATCH_CELLS // int(np.prod(plan.patch_shape)))
        work = PatchWork(
            model, self.inputs.grid, count, parts[0] > 0, parts[1] > 0,
            self.inputs.domain is not None, self.device,
        )  # fmt: skip
        if is_dask(fields):
            result = self._lazily(fields, plan, work, batch)
        else:
            result = self._now(fields, plan, work, batch)
        return [result[v] for v in range(count)]

    def _now(self, fields: list[Any], plan: Plan, work: PatchWork, batch: int) -> Any:
        shown = wanted(OPTIONS["progress"] if self.progress is None else self.progress)
        name = type(work.model.method).__name__
        with progress_bar(plan.n_patches, name, shown and plan.n_patches > 1) as bar:
            return run_eager(
                fields, plan, work, n_out=work.count, batch_size=batch, progress=bar.update
            )

    def _lazily(self, fields: list[Any], plan: Plan, work: PatchWork, batch: int) -> Any:
        from dask.base import tokenize
        from dask.delayed import delayed

        # one task for the model, named by its digest: it travels to each worker once
        name = f"xr4dvar-model-{tokenize(work)}"
        solve = delayed(work, name=name, pure=True, traverse=False)
        return run_dask(
            fields, plan, solve, n_out=work.count, batch_size=batch,
            name=f"xr4dvar-{type(work.model.method).__name__}",
        )  # fmt: skip


@dataclass(frozen=True)
class PatchWork:
    """What is done with a batch of patches; pickled once for each dask worker.

    Parameters
    ----------
    model : Model
    grid : Grid
    count : int
        Number of variables.
    has_background, has_error, has_domain : bool
        Which fields come after the observations, in this order.
    device : str
    """

    model: Model
    grid: Grid
    count: int
    has_background: bool
    has_error: bool
    has_domain: bool
    device: str

    def __call__(self, patches: list[FloatArray], origins: IntArray) -> FloatArray:
        """Solve patches (n, *patch_shape) of every field; give (n, V, *patch_shape)."""
        rest = list(patches)
        shape = rest[0].shape
        y = self._take(rest)
        for v, name in enumerate(self.model.variables):
            if np.isinf(y[:, v]).any():
                fix = "mark them as missing, obs.where(np.isfinite(obs))"
                raise InputError([(f"{name!r} has infinite values", fix)])
        background = self._take(rest) if self.has_background else None
        error = self._take(rest) if self.has_error else None
        if error is not None and not (error[np.isfinite(y)] > 0).all():
            what = "error_variance is not positive at every observation"
            raise InputError([(what, "give the variance of each observation's error")])
        solve = _solver(self.model, self.device)
        result = solve(Patches(y, self._coordinates(origins), background, error))
        result = np.ascontiguousarray(result).reshape(shape[0], self.count, *shape[1:])
        if self.has_domain:
            result = np.where(rest.pop(0)[:, np.newaxis], result, np.nan)
        return result

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
        flags = self.count, self.has_background, self.has_error, self.has_domain, self.device
        return type(self).__qualname__, self.model.digest, axes, flags


_SOLVERS: dict[tuple[str, str], Any] = {}


def _solver(model: Model, device: str) -> Any:
    """The model's solver, made once a process."""
    key = model.digest, device
    solve = _SOLVERS.get(key)
    if solve is None:
        if len(_SOLVERS) > 8:  # another thread may do the same: do not look it up again
            _SOLVERS.clear()
        solve = _SOLVERS[key] = model.method.solver_for(model.parameters, device)
    return solve


def _with_provenance(result: Labelled, obs: Labelled, model: Model) -> Labelled:
    name = type(model.method).__name__
    return annotate(
        result,
        obs,
        method=name,
        config=model.config["method"],
        digest=model.digest,
        seed=model.seed,
        call=f"reconstruct(obs, {name})",
    )
