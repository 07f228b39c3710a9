"""Observations of an operator that gives another grid than that of the maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from xr4dvar.contract.observing import operator_of
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid, find_axes, make_grid
from xr4dvar.labels.placing import placed, state_template
from xr4dvar.operators.block_mean import same_axis
from xr4dvar.types import DimsMapping, Labelled, Role
from xr4dvar.verbs._inputs import read_inputs

__all__ = ["cells_in_order", "on_grid"]


def on_grid(
    obs: Labelled,
    method: object,
    grid: object,
    *,
    error_variance: Any = None,
    dims: DimsMapping | None,
    periodic: Iterable[str],
    problems: Problems,
    name: str = "grid",
) -> tuple[Labelled, Any, Grid | None]:
    """Put observations on the grid of the maps, where the operator of a method gives another.

    Parameters
    ----------
    obs, error_variance, dims, periodic
        See `reconstruct`.
    method : Method
    grid : DataArray or Dataset, optional
        The grid of the maps.
    problems : Problems
        Gets a grid that is missing or of no use.
    name : str
        The argument that tells the grid.

    Returns
    -------
    obs : DataArray or Dataset
    error_variance
        Of the same observations.
    observed : Grid or None
        Their own grid, where it is another one.
    """
    operator = operator_of(method)
    if not operator.other_grid:
        if name == "grid" and grid is not None:
            what = (
                f"grid is given, and the observations of {type(method).__name__} are on their own"
            )
            problems.add(what, "leave it out, or use an operator such as BlockMean()")
        return obs, error_variance, None
    kind = type(operator).__name__
    if grid is None:
        fix = f"give {name}=, an array or coordinates on the finer grid"
        problems.add(f"{kind} observes another grid than that of the maps", fix)
        raise InputError(problems.found)
    fields = error_variance if hasattr(error_variance, "dims") else None
    inputs, _ = read_inputs(
        obs, {"error_variance": fields}, mask=None, dims=dims, periodic=periodic, problems=problems
    )
    template = state_template(grid, obs, problems)
    if template is None:
        raise InputError(problems.found)
    with problems.collect():
        state = make_grid(template, find_axes(template, dims), periodic)
        if state.axes.dims != inputs.grid.axes.dims:
            have, want = state.axes.dims, inputs.grid.axes.dims
            problems.add(f"the axes of {name} are {have}, those of obs {want}", "name them, dims=")
    problems.raise_if_any()
    operator.check(state, inputs.names, problems)
    problems.raise_if_any()
    state = replace(state, observed=inputs.grid)
    anchors = operator.anchors(state, problems)
    for role in (role for role in state.roles if role not in anchors and not problems.found):
        if not same_axis(state[role], inputs.grid[role]):
            what = f"{inputs.grid[role].name!r} of obs differs from that of the grid"
            problems.add(what, "select the same entries of both, or name it in cells=")
        anchors[role] = np.arange(state[role].size)  # labels and order are those of the grid
    cells = cells_in_order(anchors, state, inputs.grid)
    problems.raise_if_any()
    if fields is not None:
        error_variance = placed(fields, template, cells)
    return placed(obs, template, cells), error_variance, inputs.grid


def cells_in_order(
    anchors: dict[Role, np.ndarray], state: Grid, observed: Grid
) -> dict[str, np.ndarray]:
    """Cells of a grid for those of another, in the user's own order of both, by dimension."""
    found = {}
    for role, own in anchors.items():
        cells = state[role].size - 1 - own if state[role].descending else own
        found[state.axes.dim(role)] = cells[::-1] if observed[role].descending else cells
    return found
