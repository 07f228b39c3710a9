"""Data as states that a model leads from one to the next: all that is there at one time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from xr4dvar.arguments import is_count, shown
from xr4dvar.dynamics.model import Dynamics, TriesStates, flow_of
from xr4dvar.dynamics.own import try_on
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.labels.indexes import text_of_index
from xr4dvar.types import FloatArray

__all__ = ["check_chain", "check_even", "components", "spacing_of", "usable_spread"]

#: A standard deviation below this share of the mean is rounding.
ROUNDING = 1e-10


def components(grid: Grid, names: Sequence[str]) -> int:
    """Numbers of a state: variables times cells."""
    return len(names) * math.prod(grid[role].size for role in grid.roles if role != "time")


def usable_spread(spread: FloatArray, mean: FloatArray, other: object) -> FloatArray:
    """The spread, or another number where a component has the same value all the time."""
    usable: FloatArray = np.where(spread > ROUNDING * np.abs(mean), spread, other)  # type: ignore[call-overload]
    return usable


def spacing_of(grid: Grid, dynamics: Dynamics) -> float:
    """Time between states of the data; where there is one state, a step of the model."""
    return grid["time"].spacing if grid["time"].size > 1 else dynamics.dt


def check_chain(dynamics: Dynamics, grid: Grid, names: Sequence[str], problems: Problems) -> bool:
    """Note what keeps a model from leading from one state of the data to the next.

    Returns
    -------
    bool
        Whether the data have the model's components.
    """
    before = len(problems.found)
    dynamics.check(problems)
    check_even(grid, "a model", problems)
    size, wanted = components(grid, names), dynamics.components
    if wanted is None or (is_count(wanted) and wanted == size):
        if len(problems.found) == before:
            _check_names(dynamics, grid, names, problems)
            _check_states(dynamics, size, spacing_of(grid, dynamics), problems)
        return True
    problems.add(
        f"{type(dynamics).__name__} has {shown(wanted)} components, the data's state {size}",
        'name the dimension that holds them, dims={"x": "component"}, '
        "or give a Dataset of one variable a component",
    )
    return False


def _check_states(dynamics: Dynamics, size: int, spacing: float, problems: Problems) -> None:
    """Note what goes wrong with states: of our own models nothing does."""
    if isinstance(dynamics, TriesStates):
        dynamics.check_states(size, spacing, problems)
    elif not type(dynamics).__module__.startswith("xr4dvar."):
        name = f"the flow of {type(dynamics).__name__}"
        with problems.collect():
            step = flow_of(dynamics, spacing, size)
            try_on(step, name, "give a state for each component", size, problems)


def _check_names(dynamics: Dynamics, grid: Grid, names: Sequence[str], problems: Problems) -> None:
    """Note components of the model's names in another order: they would be taken for others."""
    known = list(getattr(dynamics, "names", ()))
    for given in (list(names), list(grid["x"].labels) if "x" in grid.roles else []):
        if given != known and sorted(given) == sorted(known):
            what = f"the components are {given}, {type(dynamics).__name__} has {known}"
            problems.add(what, "put them in this order")


def check_even(grid: Grid, who: str, problems: Problems) -> None:
    """Note times that are not there, or not evenly spaced."""
    if "time" not in grid.roles:
        problems.add("the data have no time axis", "name it, dims={'time': ...}")
    elif not grid["time"].uniform:
        name = grid["time"].name
        indexed = text_of_index(grid.axes.dim("time"), name)
        problems.add(
            f"{name!r} is not evenly spaced, and {who} goes on in even steps",
            f"put the observations on a finer, even axis: {indexed}.reindex({name}=...) "
            "leaves the times between without observations",
        )
