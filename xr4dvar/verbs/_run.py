"""One call of a verb: all fields of a model, its background's first, now or lazily."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xr4dvar.contract.engine import can
from xr4dvar.contract.observing import operator_of
from xr4dvar.labels import summarise, summarise_lazily
from xr4dvar.model import Model
from xr4dvar.operators.operator import is_mask
from xr4dvar.options import OPTIONS
from xr4dvar.progress import progress_bar, wanted
from xr4dvar.tiling import Plan, Windows, run_dask, run_eager
from xr4dvar.verbs._inputs import Inputs, is_dask
from xr4dvar.verbs._patch_work import Content, Output, PatchWork
from xr4dvar.verbs._perturbation import observation_variance, perturbed

__all__ = ["Run", "make_plan", "takes_error_variance"]

#: Cells handed to a method at once: enough to keep the cores busy, little memory.
BATCH_CELLS = 600_000


@dataclass(frozen=True)
class Run:
    """How one call of `reconstruct` solves: the same for a model and its background."""

    inputs: Inputs
    batch_size: int | None
    device: str
    progress: bool | None
    cut: bool = True

    def solve(self, model: Model, error_variance: Sequence[Any], output: Output) -> list[Any]:
        """Complete all fields, those of the background method first."""
        if output.members and not can(model.method, "members"):
            return self._members(model, error_variance, output)
        work, fields = self.prepared(model, error_variance, output)
        plan = make_plan(model, self.inputs)
        batch = self.batch_size or max(1, BATCH_CELLS // int(np.prod(plan.patch_shape)))
        if is_dask(fields):
            result = self._lazily(fields, plan, work, batch)
        else:
            result = self._now(fields, plan, work, batch)
        return [result[v] for v in range(work.n_out)]

    def prepared(
        self, model: Model, error_variance: Sequence[Any], output: Output
    ) -> tuple[PatchWork, list[Any]]:
        """What is done with each patch, and the fields that it is done with."""
        given: dict[Content, Sequence[Any]] = {
            "y": self.inputs.fields,
            "background": self.background(model, error_variance),
            "error_variance": error_variance,
            "covariates": self.inputs.covariates if model.covariates else [],
            "domain": [] if self.inputs.domain is None else [self.inputs.domain],
        }
        contents = tuple(content for content, fields in given.items() if len(fields))
        work = PatchWork(
            model, self.inputs.grid, len(self.inputs.names), contents, output, self.device,
            self.cut, len(self.inputs.state_names), self.inputs.operator,
        )  # fmt: skip
        return work, [field for fields in given.values() for field in fields]

    def background(self, model: Model, error_variance: Sequence[Any]) -> list[Any]:
        """Fields of the method that a model starts from, if it has one."""
        if model.background is None:
            return []
        inner = replace(self, inputs=replace(self.inputs, domain=None))
        if not is_mask(operator_of(model.background.method)):  # what it observes ends at the coast
            inner = replace(self, cut=False)
        return inner.solve(model.background, error_variance, Output())

    def _members(self, model: Model, error_variance: Sequence[Any], output: Output) -> list[Any]:
        """Fields of all members of a method that cannot draw them itself."""
        variances = error_variance or observation_variance(model, self.inputs)
        taken = error_variance if takes_error_variance(model) else []
        return [
            field
            for fields in perturbed(self.inputs, variances, output.members, output.seed)
            for field in replace(self, inputs=replace(self.inputs, fields=fields)).solve(
                model, taken, Output()
            )
        ]

    def _observations(self) -> list[Any]:
        return list(zip(self.inputs.names, self.inputs.fields, strict=True))

    def _now(self, fields: list[Any], plan: Plan, work: PatchWork, batch: int) -> Any:
        shown = wanted(OPTIONS["progress"] if self.progress is None else self.progress)
        name = type(work.model.method).__name__
        if work.is_open:
            work = work.completed(summarise(self._observations()))
        with progress_bar(
            plan.n_patches, name, shown and (plan.n_patches > 1 or work.output.error)
        ) as bar:
            return run_eager(
                fields, plan, work, n_out=work.n_out, batch_size=batch,
                dtype=self.inputs.dtype, progress=bar.update,
            )  # fmt: skip

    def _lazily(self, fields: list[Any], plan: Plan, work: PatchWork, batch: int) -> Any:
        from dask.base import tokenize
        from dask.delayed import delayed

        # one task for the model, named by its digest: it travels to each worker once
        name = f"xr4dvar-model-{tokenize(work)}"
        solve = delayed(work, name=name, pure=True, traverse=False)
        if work.is_open:
            solve = delayed(PatchWork.completed, pure=True)(
                solve, summarise_lazily(self._observations())
            )
        return run_dask(
            fields, plan, solve, n_out=work.n_out, batch_size=batch, dtype=self.inputs.dtype,
            name=f"xr4dvar-{type(work.model.method).__name__}",
        )  # fmt: skip


def make_plan(model: Model, inputs: Inputs) -> Plan:
    """Cut the canonical array into the patches of a model."""
    grid = inputs.grid
    windows = [Windows(size, 1, 1) for size in inputs.shape[: len(inputs.shape) - len(grid.shape)]]
    wanted_windows = model.method.windows(grid, model.parameters)
    for role in grid.roles:
        window, size = wanted_windows[role], grid[role].size
        # a window round the whole circle has no seam to blend over
        periodic = grid[role].period is not None and window.patch < size
        windows.append(Windows(size, window.patch, window.stride, periodic, window.margin))
    return Plan(tuple(windows))


def takes_error_variance(model: Model) -> bool:
    """Whether the method, or what it starts from, weighs each observation by its error."""
    if getattr(model.method, "takes_error_variance", False):
        return True
    return model.background is not None and takes_error_variance(model.background)
