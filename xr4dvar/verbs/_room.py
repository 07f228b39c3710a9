"""Putting one kind of observations on the grid of the maps."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import xarray as xr

from xr4dvar.arguments import is_number
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import (
    Grid,
    check_aligned,
    check_variance_units,
    find_axes,
    from_fields,
    make_grid,
    without_companions,
)
from xr4dvar.labels.placing import placed
from xr4dvar.labels.points import point_positions
from xr4dvar.labels.stacking import named_arrays
from xr4dvar.observations import Kind
from xr4dvar.operators.operator import Operator
from xr4dvar.operators.points import PlacedPoints, at_places, place_points, points_of
from xr4dvar.types import BoolArray, DimsMapping, FloatArray
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
            turn = axis.period or (360.0 if role == "x" and axis.sphere else np.inf)
            gap = np.abs(axis.values - places[:, None])
            gap = np.minimum(gap, np.abs(turn - gap))
            found[role] = gap.argmin(1)
            far = gap.min(1).max()
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
        problems = Problems()
        positions = point_positions(xr.Dataset(fields), self.state, self.template, problems)
        problems.raise_if_any()
        values = np.stack([one.to_numpy().ravel() for one in fields.values()]).astype(np.float64)
        errors = np.ones_like(values)
        if variances:
            errors = np.stack([one.to_numpy().ravel() for one in variances.values()])
        used = _usable(name, list(fields), values, np.stack(list(positions.values())))
        _check_errors(name, errors[:, used])
        points = points_of(operator)
        stencils, inside = place_points(
            {role: own[used] for role, own in positions.items()},
            1.0 / errors[:, used].mean(0), self.state, points,
        )  # fmt: skip
        _tell_outside(name, inside)
        flat = np.ravel_multi_index(tuple(stencils.cells.T), self._shape)
        kept, own = values[:, used][:, inside], errors[:, used][:, inside]
        means = [self._field(flat, stencils.weight * one) for one in kept]
        noises = [self._field(flat, stencils.weight**2 * one) for one in own]
        found, noise = (self._labelled(fields, one) for one in (means, noises))
        return (
            found,
            noise if variances else {},
            at_places(operator, PlacedPoints(points, stencils)),
        )

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
    data, _ = without_companions(kind.data)
    given = named_arrays(data)
    if len(given) == 1 and len(wanted) == 1:
        given = dict(zip(wanted, given.values(), strict=True))
    if sorted(given) != sorted(wanted):
        have, want = (", ".join(map(repr, names)) or "nothing" for names in (given, wanted))
        what = f"{name!r} holds {have}, and its operator observes {want}"
        raise InputError([(what, "give a Dataset with these, or name them in the operator")])
    for field, array in given.items():
        if array.dtype.kind != "f":
            what = f"{field!r} is {array.dtype}, not real numbers"
            raise InputError([(what, f'give {field!r} as numbers, .astype("float32")')])
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
    problems, found = Problems(), {}
    for field, one in fields.items():
        if field not in each:
            problems.add(f"error_variance of {name!r} lacks {field!r}", "give it for each field")
            continue
        if each[field].dtype.kind not in "fiu":
            what = f"error_variance of {field!r} is {each[field].dtype}, not real numbers"
            problems.add(what, "give numbers")
        check_aligned(one, {f"error_variance of {field!r}": each[field]}, problems, subset=True)
        check_variance_units(one, each[field], problems)
        if not problems.found:
            found[field] = each[field].broadcast_like(one).transpose(*one.dims).astype(np.float64)
    problems.raise_if_any()
    return found


def _usable(name: str, fields: Sequence[str], values: FloatArray, places: FloatArray) -> BoolArray:
    """Points (P,) that can be used, of values (fields, P): those that are not missing."""
    if np.isinf(values).any():
        what = f"{name!r} has infinite values"
        raise InputError([(what, "mark them as missing, obs.where(np.isfinite(obs))")])
    seen: BoolArray = np.isfinite(values)
    used: BoolArray = np.logical_and.reduce(seen, axis=0, keepdims=False).astype(bool)
    if not used.any():
        what = f"{name!r} has no value, all is missing"
        if seen.any():
            what = f"no observation of {name!r} has all of {', '.join(map(repr, fields))}"
        raise InputError([(what, "check the variable and the selection")])
    if partly := int((seen.any(0) & ~used).sum()):
        log.warning(
            "%d observations of %r lack one of %s, and are not used",
            partly, name, ", ".join(map(repr, fields)),
        )  # fmt: skip
    if lost := int((used & ~np.isfinite(places).all(0)).sum()):
        what = f"{lost} observations of {name!r} have no time or place"
        raise InputError([(what, "drop them, or mark them as missing")])
    return used


def _check_errors(name: str, errors: FloatArray) -> None:
    if not bool((np.isfinite(errors) & (errors > 0)).all()):
        what = f"error_variance of {name!r} is not positive and finite at some observations"
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
