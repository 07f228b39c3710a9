"""The verb `plan`: what `reconstruct` would do, said before anything runs."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from xr4dvar.arguments import check_flag
from xr4dvar.errors import Problems
from xr4dvar.labels import without_companions
from xr4dvar.methods import Method
from xr4dvar.model import Model
from xr4dvar.tiling import Advice, Tiling, tiles
from xr4dvar.types import DimsMapping, Labelled
from xr4dvar.verbs._inputs import Inputs, is_dask, read_inputs
from xr4dvar.verbs._patch_work import is_open
from xr4dvar.verbs._placing import on_grid
from xr4dvar.verbs._run import BATCH_CELLS, make_plan
from xr4dvar.verbs._states import as_operator_gives, state_variables
from xr4dvar.verbs.reconstruct import as_model, check_error

__all__ = ["ReconstructionPlan", "plan"]

Chunks: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ReconstructionPlan:
    """How a reconstruction would be cut up. Prints as text, and as a table in a notebook.

    Parameters
    ----------
    method : str
    patch, stride : dict of str to int
        By dimension.
    coverage : float
        Share of the cells that lie in some patch.
    model_calls : int
        Patches to solve, those of the background method included.
    tasks : int
        dask tasks that `reconstruct` adds to the graph, before dask fuses any; 0 for arrays in
        memory.
    chunks : int
        Chunks of the result; 0 for arrays in memory.
    peak_bytes : int
        Most memory that one task takes for its data: what it reads, a batch of patches and what
        it returns. What the method needs to solve the batch comes on top.
    advice : tuple of str
        What chunking would be better, where it matters.
    error : bool
        Whether the errors of the maps are computed too.

    Examples
    --------
    >>> ds = xv.datasets.gulfstream_twin().isel(time=slice(0, 20))
    >>> oi = xv.OptimalInterpolation(length={"time": "7D", "lat": 1.0, "lon": 1.0})
    >>> found = ds.ssh_nadir4.fourdvar.plan(oi)
    >>> found.coverage, found.tasks
    (1.0, 0)
    """

    method: str
    patch: dict[str, int]
    stride: dict[str, int]
    coverage: float
    model_calls: int
    tasks: int
    chunks: int
    peak_bytes: int
    advice: tuple[str, ...] = ()
    error: bool = False

    def _rows(self) -> list[tuple[str, str]]:
        def sizes(values: dict[str, int]) -> str:
            return ", ".join(f"{dim} {size}" for dim, size in values.items())

        rows = [
            ("patch", sizes(self.patch)),
            ("stride", sizes(self.stride)),
            ("coverage", f"{100 * self.coverage:.0f} %"),
            ("model calls", f"{self.model_calls:,}"),
            ("peak memory of a task", f"{self.peak_bytes / 2**20:,.0f} MiB"),
        ]
        if self.chunks:
            rows.insert(4, ("tasks", f"{self.tasks:,} for {self.chunks:,} chunks"))
        if self.error:
            rows.append(("errors", "up to 10 times the time of the maps"))
        return rows + [("advice", text) for text in self.advice]

    def __repr__(self) -> str:
        title = f"<xr4dvar plan: {self.method}>"
        return "\n".join([title, *(f"  {name}: {value}" for name, value in self._rows())])

    def _repr_html_(self) -> str:
        cell = "<td style='text-align:left'>{}</td>"
        rows = "".join(
            f"<tr>{cell.format(html.escape(name))}{cell.format(html.escape(value))}</tr>"
            for name, value in self._rows()
        )
        return f"<strong>xr4dvar plan: {html.escape(self.method)}</strong><table>{rows}</table>"


def plan(
    obs: Labelled,
    model: Model | Method,
    *,
    grid: Labelled | None = None,
    error: bool = False,
    dims: DimsMapping | None = None,
    periodic: Iterable[str] = (),
) -> ReconstructionPlan:
    """Say what `reconstruct` would do; nothing is computed.

    Parameters
    ----------
    obs, model, grid, error, dims, periodic
        See `reconstruct`.

    Returns
    -------
    ReconstructionPlan

    Examples
    --------
    >>> obs = xv.datasets.gulfstream_twin().ssh_nadir4.isel(time=slice(0, 20)).chunk(time=10)
    >>> oi = xv.OptimalInterpolation(length={"time": "7D", "lat": 1.0, "lon": 1.0})
    >>> xv.plan(obs, oi).model_calls
    1
    """
    obs, _ = without_companions(obs)
    problems = Problems()
    method = model.method if isinstance(model, Model) else model
    obs = as_operator_gives(obs, method)
    obs, _, observed = on_grid(obs, method, grid, dims=dims, periodic=periodic, problems=problems)
    inputs, _ = read_inputs(
        obs, {}, mask=None, dims=dims, periodic=periodic, problems=problems, observed=observed
    )
    inputs = replace(inputs, states=state_variables(obs, method, problems))
    fitted = as_model(obs, model, inputs)
    check_flag("error", error, problems)
    if error is True:
        check_error(obs, model, problems)
    problems.raise_if_any()
    chunks = inputs.fields[0].chunks if is_dask(inputs.fields) else None
    count, dims_ = len(inputs.state_names), inputs.grid.axes.dims
    stages = _stages(fitted, inputs, chunks, 1 + error)
    outer = make_plan(fitted, inputs)
    return ReconstructionPlan(
        type(fitted.method).__name__,
        dict(zip(dims_, outer.patch_shape, strict=True)),
        dict(zip(dims_, (w.stride for w in outer.windows), strict=True)),
        outer.coverage,
        sum(stage.n_patches for stage in stages),
        # and each chunk of each variable is taken out of its stage's result
        sum(stage.n_tasks + count * stage.n_chunks for stage in stages)
        + count * stages[-1].n_chunks * error
        + _statistics(fitted, count * stages[-1].n_chunks)
        if chunks
        else 0,
        stages[0].n_chunks if chunks else 0,
        max(stage.peak_bytes for stage in stages),
        _advice([one for stage in stages for one in stage.advice], dims_),
        error,
    )


def _stages(model: Model, inputs: Inputs, chunks: Chunks | None, fields: int = 1) -> list[Tiling]:
    """What a model takes, its background, the background of that ..., the innermost first."""
    before = [] if model.background is None else _stages(model.background, inputs, chunks)
    count, maps = len(inputs.names), len(inputs.state_names)
    cut = make_plan(model, inputs)
    own = tiles(
        cut,
        chunks,
        n_fields=count + (maps if before else 0) + len(model.covariates),
        n_out=maps * fields,
        batch_size=max(1, BATCH_CELLS // math.prod(cut.patch_shape)),
        dtype=inputs.dtype,
        n_before=sum(stage.n_blocks > 1 for stage in before),
    )
    return [*before, own]


def _statistics(model: Model, blocks: int) -> int:
    """Tasks that give models what they take from the mean and the spread of all data."""
    before = 0 if model.background is None else _statistics(model.background, blocks)
    return before + (2 * blocks + 2 if is_open(model) else 0)


def _advice(advice: list[Advice], dims: tuple[str, ...]) -> tuple[str, ...]:
    """Put it in words, once for each reason and axis: the longest chunk serves all stages."""
    longest: dict[tuple[str, int], int] = {}
    for one in advice:
        why = one.reason, one.axis
        longest[why] = max(one.chunk, longest.get(why, 0))
    texts = {
        "merged chunks": "chunks are shorter than half a patch and get merged",
        "large task": "a task needs much memory",
        "small batches": "tiles hold too few patches to fill a batch",
    }
    return tuple(
        f"{texts[reason]}; better obs.chunk({dims[axis]}={chunk})"
        for (reason, axis), chunk in longest.items()
    )
