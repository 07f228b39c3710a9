"""Kinds of observations, each where it is, as fields on the grid of the maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from xr4dvar.contract.observing import operator_of
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid, find_axes, make_grid, target_grid
from xr4dvar.model import Model
from xr4dvar.observations import Observations
from xr4dvar.operators.operator import Operator, is_mask
from xr4dvar.operators.stacked import Stacked
from xr4dvar.types import DimsMapping, Labelled
from xr4dvar.verbs._inputs import Inputs
from xr4dvar.verbs._room import Room

__all__ = [
    "Placed",
    "as_labelled",
    "errors_of_kinds",
    "with_places",
]


@dataclass(frozen=True)
class Placed:
    """Observations on the grid of the maps.

    Parameters
    ----------
    obs : Dataset
        All observed fields.
    error_variance : Dataset, optional
    operator : Operator
        Knows the places of scattered ones.
    kinds : mapping of str to Grid or None
        See `Grid.kinds`.
    """

    obs: xr.Dataset
    error_variance: xr.Dataset | None
    operator: Operator
    kinds: Mapping[str, Grid | None]


def as_labelled(
    obs: Any,
    method: Any,
    grid: Any,
    *,
    dims: DimsMapping | None,
    periodic: Iterable[str],
    problems: Problems,
) -> tuple[Labelled, Any, Placed | None]:
    """Observations as an array or a Dataset; where they are several kinds, on the grid of the maps.

    Parameters
    ----------
    obs : DataArray, Dataset, Observations or DataTree
    method : Method or Model
    grid : DataArray or Dataset, optional
        The grid of the maps.
    dims, periodic
        See `reconstruct`.
    problems : Problems

    Returns
    -------
    obs : DataArray or Dataset
    method : Method or Model
        With the operators of the kinds.
    placed : Placed or None
        The kinds.
    """
    operator = operator_of(method.method if isinstance(method, Model) else method)
    if isinstance(obs, xr.DataTree):
        obs = Observations.from_tree(obs, operator)
    alone = isinstance(obs, xr.DataArray) and operator.reads_places
    if alone:
        of = operator.of if isinstance(operator, Stacked) else None
        parts = operator.parts if isinstance(operator, Stacked) else {}
        name = "variable" if obs.name is None else str(obs.name)
        (name, part) = next(iter(parts.items())) if len(parts) == 1 else (name, operator)
        obs = Observations(of=of, **{name: (obs, part)})
    if not isinstance(obs, Observations):
        return obs, method, None
    method = _observed_by(method, obs, problems)
    placed = _placed_kinds(obs, grid, dims=dims, periodic=periodic, problems=problems)
    labelled: Labelled = next(iter(placed.obs.values())) if alone else placed.obs
    return labelled, method, placed


def _observed_by(method: Any, obs: Observations, problems: Problems) -> Any:
    """A method, or a model, with the operators of the observations.

    Parameters
    ----------
    method : Method or Model
    obs : Observations
    problems : Problems
        Gets a method that takes no operator, or has others.
    """
    inner = method.method if isinstance(method, Model) else method
    if isinstance(inner, type) or not hasattr(inner, "operator"):
        what = f"{type(inner).__name__} maps the variables that are observed, on their own grid"
        problems.add(what, "use OptimalInterpolation, Variational or FourDVarNet")
        return method
    own = operator_of(inner)
    alone = len(obs.kinds) == 1 and own in obs.operator.parts.values()
    same = own == obs.operator or alone
    if not same and (not is_mask(own) or isinstance(method, Model)):
        what = f"the observations are of {obs.operator!r}, the method of {own!r}"
        problems.add(what, "give it the same operators, or none: fit takes those of observations")
        return method
    if isinstance(method, Model):
        return method
    changed: Any = inner
    return replace(changed, operator=obs.operator)


def _placed_kinds(
    obs: Observations,
    grid: Any,
    *,
    dims: DimsMapping | None,
    periodic: Iterable[str],
    problems: Problems,
) -> Placed:
    """Put all kinds on the grid of the maps.

    Parameters
    ----------
    obs : Observations
    grid : DataArray or Dataset, optional
        That grid. Not given: that of the first kind whose cells are its own.
    dims, periodic
        See `reconstruct`.
    problems : Problems

    Raises
    ------
    InputError
        With every kind that does not fit.
    """
    grid = _grid_of(obs, problems) if grid is None else grid
    template = target_grid(grid, dims)
    state = make_grid(template, find_axes(template, dims), periodic)
    fields: dict[str, xr.DataArray] = {}
    variances: dict[str, xr.DataArray] = {}
    parts: dict[str, Operator] = {}
    kinds: dict[str, Grid | None] = {}
    room = Room(template, state, dims, tuple(periodic), problems)
    for name, kind in obs.kinds.items():
        with problems.collect():
            found, errors, parts[name], kinds[name] = room.place(name, kind)
            fields |= found
            variances |= errors
    missing = [name for name in fields if name not in variances]
    if variances and missing:
        what = f"{', '.join(map(repr, missing))}: no error_variance, and other kinds have one"
        problems.add(what, "give it for all kinds, or for none")
    problems.raise_if_any()
    given = xr.Dataset(variances) if variances else None
    return Placed(xr.Dataset(fields), given, replace(obs.operator, parts=parts), kinds)


def _grid_of(obs: Observations, problems: Problems) -> Any:
    for kind in obs.kinds.values():
        if not (kind.operator.reads_places or kind.operator.other_grid):
            return kind.data
    problems.add("the grid of the maps is not known", "give grid=, to fit a target on it")
    raise InputError(problems.found)


def with_places(inputs: Inputs, placed: Placed | None) -> Inputs:
    """Inputs with the places and grids of kinds."""
    if placed is None:
        return inputs
    grid = replace(inputs.grid, kinds=placed.kinds)
    return replace(inputs, grid=grid, operator=placed.operator)


def errors_of_kinds(placed: Placed, error_variance: Any, problems: Problems) -> Any:
    """The error variances of the kinds; noted where others are given beside them."""
    if error_variance is None:
        return placed.error_variance
    what = "error_variance= is given beside Observations"
    problems.add(what, "give it for each kind, Observations(ssh=(tracks, Points(), 0.01))")
    return None
