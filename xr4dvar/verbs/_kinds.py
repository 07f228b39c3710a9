"""Kinds of observations, each where it is, as fields on the grid of the maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from xr4dvar.arguments import is_number
from xr4dvar.contract.observing import operator_of
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid, find_axes, make_grid, target_grid
from xr4dvar.labels.stacking import named_arrays
from xr4dvar.methods import check_method
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
    error_variance : DataArray or Dataset, optional
    operator : Operator
        Knows the places of scattered ones.
    kinds : mapping of str to Grid or None
        See `Grid.kinds`.
    """

    obs: xr.Dataset
    error_variance: Labelled | None
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
    error_variance: Any = None,
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
    error_variance : optional
        Of an array of points.

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
        if not isinstance(method, Model) and not check_method("method", method, problems):
            problems.raise_if_any()
        obs = Observations.from_tree(obs, operator)
    alone = isinstance(obs, xr.DataArray) and operator.reads_places
    if alone:
        of = operator.of if isinstance(operator, Stacked) else None
        parts = operator.parts if isinstance(operator, Stacked) else {}
        name = "variable" if obs.name is None else str(obs.name)
        (name, part) = next(iter(parts.items())) if len(parts) == 1 else (name, operator)
        obs = Observations(of=of, **{name: (obs, part, error_variance)})
    if not isinstance(obs, Observations):
        return obs, method, None
    method = _observed_by(method, obs, problems)
    placed = _placed_kinds(obs, grid, dims=dims, periodic=periodic, problems=problems)
    if not alone:
        return placed.obs, method, placed
    if placed.error_variance is not None:
        (own,) = named_arrays(placed.error_variance).values()
        placed = replace(placed, error_variance=own)
    return next(iter(placed.obs.values())), method, placed


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
    if not isinstance(method, Model) and not check_method("method", method, problems):
        problems.raise_if_any()
    if isinstance(inner, type) or not hasattr(inner, "operator"):
        what = f"{type(inner).__name__} maps the variables that are observed, on their own grid"
        problems.add(what, "use OptimalInterpolation, Variational or FourDVarNet")
        return method
    own = operator_of(inner)
    same = own == obs.operator or all(own == part for part in obs.operator.parts.values())
    if not same and (not is_mask(own) or isinstance(method, Model)):
        what = f"the observations are of {obs.operator!r}, the method of {own!r}"
        problems.add(what, "give it the same operators, or none: fit takes those of observations")
        return method
    if isinstance(method, Model):
        return method
    changed: Any = replace(inner, operator=obs.operator)  # type: ignore[type-var]
    return _with_errors(changed, obs)


def _with_errors(method: Any, obs: Observations) -> Any:
    """A method that has no error variance with those of the kinds, where each has one number."""
    numbers = {name: kind.error_variance for name, kind in obs.kinds.items()}
    takes = getattr(method, "takes_error_variance", False)
    if not takes or getattr(method, "error_variance", 0.0) is not None:
        return method
    if not all(is_number(number) for number in numbers.values()):
        return method
    each = {
        field: number
        for name, number in numbers.items()
        for field in obs.operator.parts[name].fields([name])
    }
    return replace(method, error_variance=each)


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
