"""The verb `plan`: what `reconstruct` would do, said before anything runs."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from xr4dvar.inputs import is_dask, read_inputs
from xr4dvar.methods import Method
from xr4dvar.model import Model
from xr4dvar.reconstruction import as_model, make_plan
from xr4dvar.tiling import Advice, tiles
from xr4dvar.types import DimsMapping, Labelled

__all__ = ["ReconstructionPlan", "plan"]


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
        dask tasks; 0 for arrays in memory.
    chunks : int
        Chunks of the result; 0 for arrays in memory.
    peak_bytes : int
        Estimate of the most memory that one task takes for its data.
    advice : tuple of str
        What chunking would be better, where it matters.
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
    dims: DimsMapping | None = None,
    periodic: Iterable[str] = (),
) -> ReconstructionPlan:
    """Say what `reconstruct` would do; nothing is computed.

    Parameters
    ----------
    obs, model, dims, periodic
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
    inputs, _ = read_inputs(obs, {}, mask=None, dims=dims, periodic=periodic)
    fitted = as_model(obs, model, inputs)
    chunks = inputs.fields[0].chunks if is_dask(inputs.fields) else None
    count, dims_ = len(inputs.names), inputs.grid.axes.dims
    stages = [
        tiles(make_plan(stage, inputs), chunks, n_fields=count, n_out=count)
        for stage in _stages(fitted)
    ]
    outer = make_plan(fitted, inputs)
    advice = [_advice(one, dims_) for stage in stages for one in stage.advice]
    return ReconstructionPlan(
        type(fitted.method).__name__,
        dict(zip(dims_, outer.patch_shape, strict=True)),
        dict(zip(dims_, (w.stride for w in outer.windows), strict=True)),
        outer.coverage,
        sum(stage.n_patches for stage in stages),
        sum(stage.n_tasks for stage in stages),
        stages[0].n_chunks if chunks else 0,
        max(stage.peak_bytes for stage in stages),
        tuple(dict.fromkeys(advice)),
    )


def _stages(model: Model | None) -> list[Model]:
    """A model, its background, the background of that ..."""
    return [] if model is None else [model, *_stages(model.background)]


def _advice(advice: Advice, dims: tuple[str, ...]) -> str:
    better = f"obs.chunk({dims[advice.axis]}={advice.chunk})"
    return {
        "merged chunks": f"chunks are shorter than half a patch and get merged; better {better}",
        "large task": f"a task needs much memory; better {better}",
        "small batches": f"tiles hold too few patches to fill a batch; better {better}",
    }[advice.reason]
