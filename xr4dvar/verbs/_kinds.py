"""Kinds of observations, each where it is, as fields on the grid of the maps."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import xarray as xr

from xr4dvar.arguments import is_number
from xr4dvar.contract.observing import operator_of
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid, find_axes, from_fields, make_grid, target_grid
from xr4dvar.labels.placing import placed
from xr4dvar.labels.points import point_positions
from xr4dvar.labels.stacking import named_arrays
from xr4dvar.model import Model
from xr4dvar.observations import Kind, Observations
from xr4dvar.operators.operator import Composed, Operator, is_mask
from xr4dvar.operators.points import PlacedPoints, place_points
from xr4dvar.types import DimsMapping, FloatArray, Labelled
from xr4dvar.verbs._inputs import Inputs
from xr4dvar.verbs._placing import cells_in_order, on_grid

__all__ = [
    "Placed",
    "as_labelled",
    "errors_of_kinds",
    "with_places",
]

log = logging.getLogger("xr4dvar")

#: Attributes of scattered observations that are true of their means.
KEPT = ("units", "standard_name", "long_name")
#: Places closer than this share of a spacing are the same.
SAME = 1e-3


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
        name = "variable" if obs.name is None else str(obs.name)
        obs = Observations(of=None, **{name: (obs, operator)})
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
    room = _Room(template, state, dims, tuple(periodic), problems)
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


@dataclass(frozen=True)
class _Room:
    """The grid of the maps, and how kinds are put on it."""

    template: xr.DataArray
    state: Grid
    dims: DimsMapping | None
    periodic: tuple[str, ...]
    problems: Problems

    def place(
        self, name: str, kind: Kind
    ) -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray], Operator, Grid | None]:
        """Fields of a kind, their error variances, its operator, and its grid if it has another."""
        fields = _fields_of(name, kind)
        variances = _variances_of(fields, kind.error_variance, name)
        if kind.operator.reads_places:
            return *self._points(name, kind.operator, fields, variances), None
        data = xr.Dataset(fields)
        given = xr.Dataset(variances) if variances else None
        observed = None
        if kind.operator.other_grid:
            found, errors, observed = on_grid(
                data, SimpleNamespace(operator=kind.operator), self.template,
                error_variance=given, dims=self.dims, periodic=self.periodic,
                problems=self.problems,
            )  # fmt: skip
        else:
            cells = self._cells(name, data)
            found = placed(data, self.template, cells)
            errors = None if given is None else placed(given, self.template, cells)
        each = {} if errors is None else named_arrays(errors)
        return (
            {n: self._ordered(one) for n, one in named_arrays(found).items()},
            {n: self._ordered(one) for n, one in each.items()},
            kind.operator,
            observed,
        )

    def _ordered(self, field: xr.DataArray) -> xr.DataArray:
        coords = {n: c for n, c in self.template.coords.items() if set(c.dims) <= set(field.dims)}
        kept = field.drop_vars([n for n in field.coords if n not in coords])
        return kept.assign_coords(coords).transpose(*self.template.dims)

    def _cells(self, name: str, data: xr.Dataset) -> dict[str, np.ndarray]:
        """Cells of the grid that a kind has, by dimension."""
        own = make_grid(data, find_axes(data, self.dims))
        if own.axes.dims != self.state.axes.dims:
            have, want = own.axes.dims, self.state.axes.dims
            what = f"{name!r} has the axes {have}, the grid {want}"
            raise InputError([(what, "rename its dimensions, or use operators.Points")])
        found = {}
        for role in own.roles:
            axis, places = self.state[role], own[role].values
            if axis.period is not None:
                places = axis.values[0] + (places - axis.values[0]) % axis.period
            found[role] = np.abs(axis.values - places[:, None]).argmin(1)
            far = np.abs(axis.values[found[role]] - places).max()
            if far > SAME * axis.spacing:
                what = f"{own[role].name!r} of {name!r} is up to {far:g} {axis.units} off the grid"
                fix = "use operators.Points(), or BlockMean() of coarser cells"
                raise InputError([(what, fix)])
        return cells_in_order(found, self.state, own)

    def _points(
        self,
        name: str,
        operator: Operator,
        fields: Mapping[str, xr.DataArray],
        variances: Mapping[str, xr.DataArray],
    ) -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray], Operator]:
        """Means of scattered observations in each cell."""
        data = xr.Dataset(fields)
        before = len(self.problems.found)
        positions = point_positions(data, self.state, self.template, self.problems)
        if len(self.problems.found) > before:
            raise InputError(self.problems.found)
        values = np.stack([f.to_numpy().ravel() for f in fields.values()]).astype(np.float64)
        errors = np.ones_like(values)
        if variances:
            errors = np.stack([v.to_numpy().ravel() for v in variances.values()])
        places = np.stack(list(positions.values()))
        used = np.isfinite(values).all(0) & np.isfinite(places).all(0)
        _check_errors(name, errors[:, used])
        points = operator.last if isinstance(operator, Composed) else operator
        weights = 1.0 / errors[:, used].mean(0)
        stencils, inside = place_points(
            {r: p[used] for r, p in positions.items()},
            weights,
            self.state,
            points,  # type: ignore[arg-type]
        )
        _tell_outside(name, inside)
        flat = np.ravel_multi_index(tuple(stencils.cells.T), self._shape)
        kept, own = values[:, used][:, inside], errors[:, used][:, inside]
        means = [self._field(flat, stencils.weight * one) for one in kept]
        noises = [self._field(flat, stencils.weight**2 * one) for one in own]
        found, noise = (self._labelled(fields, one) for one in (means, noises))
        at = PlacedPoints(points, stencils)  # type: ignore[arg-type]
        whole = replace(operator, last=at) if isinstance(operator, Composed) else at
        return found, noise if variances else {}, whole

    @property
    def _shape(self) -> list[int]:
        return [self.state[r].size if r in self.state.roles else 1 for r in ("time", "y", "x")]

    def _field(self, flat: np.ndarray, parts: FloatArray) -> FloatArray:
        size = int(np.prod(self._shape))
        total = np.bincount(flat, parts, size)
        there = np.bincount(flat, minlength=size) > 0
        field: FloatArray = np.where(there, total, np.nan).reshape(self.state.shape)
        return field

    def _labelled(
        self, fields: Mapping[str, xr.DataArray], arrays: list[FloatArray]
    ) -> dict[str, xr.DataArray]:
        empty = self.template.copy(data=np.broadcast_to(np.float64(np.nan), self.template.shape))
        found = {}
        for (name, like), values in zip(fields.items(), arrays, strict=True):
            kept = {key: like.attrs[key] for key in KEPT if key in like.attrs}
            labelled = from_fields([values], empty.rename(name), self.state)
            found[name] = named_arrays(labelled)[name].assign_attrs(kept)
        return found


def _fields_of(name: str, kind: Kind) -> dict[str, xr.DataArray]:
    """The arrays that an operator gives, by their names."""
    wanted = kind.operator.fields([name])
    given = named_arrays(kind.data)
    if len(given) == 1 and len(wanted) == 1:
        return dict(zip(wanted, given.values(), strict=True))
    if missing := [field for field in wanted if field not in given]:
        have, lack = (", ".join(map(repr, names)) for names in (given, missing))
        what = f"{name!r} holds {have}, and its operator observes {lack}"
        raise InputError([(what, "give a Dataset with these, or name them in the operator")])
    return {field: given[field] for field in wanted}


def _variances_of(
    fields: Mapping[str, xr.DataArray], given: Any, name: str
) -> dict[str, xr.DataArray]:
    """The error variance of each observation of each field."""
    if given is None:
        return {}
    if is_number(given):
        return {field: xr.full_like(one, given, dtype=np.float64) for field, one in fields.items()}
    if not isinstance(given, xr.DataArray | xr.Dataset):
        what = f"error_variance of {name!r} is a {type(given).__name__}"
        raise InputError([(what, "give a number, or an array like the observations")])
    each = named_arrays(given)
    if len(fields) == 1 and len(each) == 1:
        each = dict(zip(fields, each.values(), strict=True))
    if missing := [field for field in fields if field not in each]:
        what = f"error_variance of {name!r} lacks {', '.join(map(repr, missing))}"
        raise InputError([(what, "give it for each field")])
    return {f: each[f].broadcast_like(one).transpose(*one.dims) for f, one in fields.items()}


def _check_errors(name: str, errors: FloatArray) -> None:
    if not bool((errors > 0).all()):
        what = f"error_variance of {name!r} is not positive at some observations"
        raise InputError([(what, "give a positive variance for each")])


def _tell_outside(name: str, inside: np.ndarray) -> None:
    """Log points outside of the grid; refuse where all are, or where there is none."""
    if not inside.any():
        what = f"none of the {len(inside)} observations of {name!r} lies inside the grid"
        raise InputError([(what, "give the grid of their region and time")])
    if not inside.all():
        log.warning(
            "%d of %d observations of %r lie outside the grid, and are not used",
            int((~inside).sum()), len(inside), name,
        )  # fmt: skip


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
