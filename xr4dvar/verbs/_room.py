"""Putting one kind of observations on the grid of the maps."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import xarray as xr

from xr4dvar.arguments import is_number
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid, find_axes, from_fields, make_grid
from xr4dvar.labels.placing import placed
from xr4dvar.labels.points import point_positions
from xr4dvar.labels.stacking import named_arrays
from xr4dvar.observations import Kind
from xr4dvar.operators.operator import Composed, Operator
from xr4dvar.operators.points import PlacedPoints, place_points
from xr4dvar.types import DimsMapping, FloatArray
from xr4dvar.verbs._placing import cells_in_order, on_grid

__all__ = ["Room"]

log = logging.getLogger("xr4dvar")

#: Attributes of scattered observations that are true of their means.
KEPT = ("units", "standard_name", "long_name")
#: Places closer than this share of a spacing are the same.
SAME = 1e-3


@dataclass(frozen=True)
class Room:
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
