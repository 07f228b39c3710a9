"""The verb `map_points`: observations along tracks in, complete fields on a grid out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from xr4dvar.arguments import check_flag
from xr4dvar.contract.engine import can
from xr4dvar.contract.observing import operator_of
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import (
    Grid,
    check_aligned,
    check_error_names,
    check_variance_units,
    decoded,
    find_axes,
    from_fields,
    make_grid,
    named_arrays,
    point_positions,
    summarise,
    target_grid,
    variables_signature,
    with_errors,
    without_companions,
)
from xr4dvar.methods import Method, Points, check_method
from xr4dvar.model import Model
from xr4dvar.observations import Observations
from xr4dvar.operators.operator import is_mask, other_fields
from xr4dvar.operators.points import Points as AtPlaces
from xr4dvar.operators.stacked import Stacked
from xr4dvar.types import ROLES, DimsMapping, FloatArray, Labelled
from xr4dvar.verbs._inputs import Inputs, as_variances, check_labelled, check_names_of_axes
from xr4dvar.verbs._patch_work import completed_model, engine_of
from xr4dvar.verbs.reconstruct import as_model, check_model_periods, reconstruct, with_provenance

__all__ = ["map_points"]


def map_points(
    obs: Labelled,
    model: Model | Method,
    grid: Labelled,
    *,
    error_variance: Labelled | float | None = None,
    error: bool = False,
    dims: DimsMapping | None = None,
    periodic: Iterable[str] = (),
) -> Labelled:
    """Map observations that are on no grid, such as those along satellite tracks.

    Up to 5,000 observations are analysed exactly. More are merged where they are so close and so
    noisy that their mean says as much; if there are still more than 5,000, boxes of cells of about
    0.7 correlation lengths are analysed with the 600 observations nearest to them: the map then
    differs from the exact one by at most half of the standard deviation of its error and 1 % of
    that of the prior, by 15 % of it on average (rms). All is computed at once.

    Parameters
    ----------
    obs : DataArray or Dataset
        Observations, along one dimension or, as the cells of an unstructured grid, along time and
        another, with coordinates for time, latitude and longitude (those that `grid` has) along
        them. Missing ones (NaN) are left out.
    model : Model or Method
        ``OptimalInterpolation(length=...)``, or one that was fitted to such data on a grid. Other
        methods take ``operators.Points()``: the observations of a cell are averaged then, see
        there, and the model is one that was fitted to `Observations`.
    grid : DataArray or Dataset
        Where to map to: one-dimensional time, latitude and longitude, or some of them. Its data
        are not looked at; ``xr.Dataset(coords={"time": ..., "lat": ..., "lon": ...})`` will do.
    error_variance : float, DataArray or Dataset, optional
        Variance of each observation's error, in the data's units squared: one number for all, or
        along the same dimensions.
    error : bool
        Also give the standard deviation of the error of each map, as `reconstruct` does.
    dims, periodic
        Of the grid; see `fit`.

    Returns
    -------
    DataArray or Dataset
        On the dimensions and coordinates of `grid`, with the name and the attributes of `obs`;
        CF ``history`` and ``xr4dvar_*`` attributes say how it was made.

    Raises
    ------
    InputError
        With every coordinate that is missing or in other units than the grid's, and every way
        in which the method cannot be used.

    Examples
    --------
    >>> day = np.datetime64("2020-01-01") + np.array([0, 0, 1])
    >>> obs = xr.DataArray([0.3, 0.1, 0.2], dims="obs", name="ssh", attrs={"units": "m"},
    ...     coords={"time": ("obs", day), "lat": ("obs", [40.1, 41.3, 40.7]),
    ...             "lon": ("obs", [-20.2, -19.5, -18.9])})
    >>> grid = xr.Dataset(coords={"time": day[:1], "lat": [40.0, 41.0], "lon": [-20.0, -19.0]})
    >>> oi = xv.OptimalInterpolation(length={"time": "7D", "lat": 1.0, "lon": 1.0})
    >>> xv.map_points(obs, oi, grid).sizes
    Frozen({'time': 1, 'lat': 2, 'lon': 2})
    """
    obs, _ = without_companions(obs)
    problems = Problems()
    if _takes_places(model):
        kinds = _kinds(obs, model, error_variance)
        maps = reconstruct(kinds, model, grid=grid, error=error, dims=dims, periodic=periodic)
        if error or not isinstance(obs, xr.DataArray):
            return maps
        (one,) = named_arrays(maps).values()
        return one.rename(obs.name)
    variance = _check_arguments(obs, error_variance, error, dims, periodic, problems)
    template = target_grid(grid, dims)
    axes = make_grid(template, find_axes(template, dims), periodic)
    given = _points(obs, variance, axes, template, problems)
    model = _as_model(obs, model, _with_points(axes, given), problems)
    if error:
        check_error_names(obs, problems)
    problems.raise_if_any()
    coordinates = {role: axes[role].values for role in axes.roles}
    values = [(name, own.values) for name, own in zip(named_arrays(obs), given, strict=True)]
    model = completed_model(model, summarise(values))
    numbers, errors = engine_of(model, "cpu").points(given, coordinates, error)
    maps = with_provenance(
        _labelled(numbers, obs, template, axes),
        obs, model, f"map_points(obs, {type(model.method).__name__}, grid)",
    )  # fmt: skip
    return with_errors(maps, _labelled(errors, obs, template, axes)) if error else maps


def _takes_places(model: Any) -> bool:
    """Whether a method works on grids, and takes an operator that observes between their cells."""
    method = model.method if isinstance(model, Model) else model
    if isinstance(method, type) or not hasattr(method, "operator"):
        return False
    operator = operator_of(method)
    unfitted = not isinstance(model, Model) and is_mask(operator)
    return operator.reads_places or (unfitted and not can(method, "points"))


def _kinds(obs: Any, model: Any, error_variance: Any) -> Observations:
    """Arrays of points with the operators of a method."""
    operator = operator_of(model.method if isinstance(model, Model) else model)
    arrays: dict[str, Any] = {"obs": obs}
    if isinstance(obs, xr.DataArray | xr.Dataset):
        arrays = dict(named_arrays(obs))
    usual = AtPlaces() if is_mask(operator) else operator
    several = isinstance(obs, xr.Dataset) and bool(other_fields(operator))  # of one kind
    alone = {"points": usual} if several else dict.fromkeys(arrays, usual)
    parts = operator.parts if isinstance(operator, Stacked) else alone
    if len(parts) == len(arrays) == 1:
        arrays = dict(zip(parts, arrays.values(), strict=True))  # whatever the array is called
    elif several:
        fields = {name: part.fields([name]) for name, part in parts.items()}
        arrays = {name: obs[[f for f in own if f in obs]] for name, own in fields.items()}
    each = error_variance if isinstance(error_variance, xr.Dataset) else {}
    return Observations(
        of=operator.of if isinstance(operator, Stacked) else None,
        **{
            name: (array, parts.get(name, usual), each.get(name, error_variance))
            for name, array in arrays.items()
        },
    )


def _check_arguments(
    obs: Any, error_variance: Any, error: object, dims: object, periodic: object,
    problems: Problems,
) -> Any:  # fmt: skip
    """Raise one `InputError` for what is of a wrong kind; give the variances as a field."""
    check_labelled("obs", obs, problems)
    check_flag("error", error, problems)
    check_names_of_axes(dims, periodic, problems)
    field = as_variances(error_variance, obs, problems)
    if field is not None:
        check_labelled("error_variance", field, problems)
    problems.raise_if_any()
    if field is not None:
        check_aligned(obs, {"error_variance": field}, problems, subset=True)
    problems.raise_if_any()
    return field


def _as_model(obs: Labelled, model: Model | Method, grid: Grid, problems: Problems) -> Model:
    """Check that the method can map points and, if fitted, was fitted to such data."""
    method = model.method if isinstance(model, Model) else model
    if isinstance(model, Model):
        _check_same(obs, model, grid, problems)
    elif not check_method("model", model, problems):
        problems.raise_if_any()
    if not is_mask(operator_of(method)):
        what = (
            f"points are of the field itself, the method has {type(operator_of(method)).__name__}"
        )
        problems.add(what, "leave operator= out")
    if not can(method, "points"):
        what = f"{type(method).__name__} works on grids, not on points"
        fix = "fit it with operator=xr4dvar.operators.Points(), or use OptimalInterpolation"
        problems.add(what, fix)
    problems.raise_if_any()
    if isinstance(model, Model):
        check_model_periods(model, grid, problems)
        problems.raise_if_any()
        return model
    return as_model(obs, model, Inputs(grid, list(named_arrays(obs)), []))


def _check_same(obs: Labelled, model: Model, grid: Grid, problems: Problems) -> None:
    """Whatever the variables are called: their number and units, and the units of the axes."""
    found = variables_signature(obs)
    if len(found) != len(model.variables):
        problems.add(
            f"obs has {len(found)} variables, the model {len(model.variables)}",
            f"give the model's: {', '.join(model.variables)}",
        )
    for (name, units), known in zip(found.items(), model.variables.values(), strict=False):
        if units and known and units != known:
            problems.add(f"{name!r} is in {units!r}, the model knows {known!r}", "convert it")
    known_axes = {role: axis["units"] for role, axis in model.grid["axes"].items()}
    axes = {role: grid[role].units for role in grid.roles}
    if known_axes != axes:
        problems.add(
            f"the axes of the grid are in {axes}, those of the model in {known_axes}",
            "fit on the same axes, or give lengths instead of a model",
        )


def _points(
    obs: Labelled,
    error_variance: Labelled | None,
    grid: Grid,
    template: xr.DataArray,
    problems: Problems,
) -> list[Points]:
    """The usable observations of each variable."""
    positions = point_positions(obs, grid, template, problems)
    arrays = named_arrays(decoded("obs", obs, problems))
    variances: list[xr.DataArray | None] = [None] * len(arrays)
    if error_variance is not None:
        variances = list(_variances(obs, error_variance, problems).values())
    if len(positions) < len(grid.roles) or len(variances) != len(arrays):
        problems.raise_if_any()
        raise InputError([("error_variance has other variables than obs", "give one for each")])
    size = next(iter(arrays.values())).size
    columns = np.stack([positions.get(role, np.zeros(size)) for role in ROLES], -1)
    return [
        _usable(name, array, variance, columns, problems)
        for (name, array), variance in zip(arrays.items(), variances, strict=True)
    ]


def _variances(
    obs: Labelled, error_variance: object, problems: Problems
) -> dict[str, xr.DataArray]:
    """Variances of the errors, on the labels and in the units of the observations."""
    if not isinstance(error_variance, xr.DataArray | xr.Dataset):
        what = f"error_variance is a {type(error_variance).__name__}, not a DataArray or Dataset"
        raise InputError([*problems.found, (what, "for example xr.full_like(obs, 0.01)")])
    error_variance, _ = without_companions(error_variance)
    if isinstance(obs, xr.Dataset) and isinstance(error_variance, xr.Dataset):
        error_variance = error_variance[[name for name in obs if name in error_variance]]
    check_aligned(obs, {"error_variance": error_variance}, problems, subset=True)
    check_variance_units(obs, error_variance, problems)
    problems.raise_if_any()
    return named_arrays(decoded("error_variance", error_variance, problems))


def _with_points(grid: Grid, points: list[Points]) -> Grid:
    """The grid, whose axes of one place reach over the observations: they need a length too."""
    coordinates = dict(grid.coordinates)
    for n, role in enumerate(ROLES):
        if role in coordinates and coordinates[role].size == 1:
            (place,) = coordinates[role].values
            seen = [one.positions[:, n] for one in points if len(one.positions)]
            reached = np.unique([place, *(f(x) for x in seen for f in (np.min, np.max))])
            coordinates[role] = replace(coordinates[role], values=reached)
    return replace(grid, coordinates=coordinates)


def _usable(
    name: str,
    array: xr.DataArray,
    variance: xr.DataArray | None,
    positions: FloatArray,
    problems: Problems,
) -> Points:
    values = array.to_numpy().ravel()
    if values.dtype.kind != "f":
        problems.add(f"{name!r} is {values.dtype}, not real numbers", 'give it .astype("float32")')
        return Points(positions, np.zeros(len(positions)))
    if np.isinf(values).any():
        problems.add(f"{name!r} has infinite values", "mark them as missing, as NaN")
    used = np.isfinite(values)
    placed = np.isfinite(positions).all(-1)
    if (used & ~placed).any():
        count = int((used & ~placed).sum())
        what = f"{count} observations of {name!r} have no time or place"
        problems.add(what, "drop them, or mark them as missing")
    error = None
    if variance is not None:
        error = variance.broadcast_like(array).transpose(*array.dims).to_numpy().ravel()[used]
        if not (error > 0).all():
            what = f"error_variance of {name!r} is {error[~(error > 0)][0]:g}"
            problems.add(what, "give a positive variance for each observation")
    return Points(positions[used].astype(np.float64), values[used].astype(np.float64), error)


def _labelled(values: FloatArray, obs: Labelled, template: xr.DataArray, grid: Grid) -> Labelled:
    """Maps (V, T, Y, X) on the grid, with the names and attributes of the observations."""
    like = {}
    for name, array in named_arrays(obs).items():
        data = np.broadcast_to(array.dtype.type(np.nan), template.shape)
        like[name] = template.copy(data=data).rename(name).assign_attrs(array.attrs)
    arrays = [field.reshape(grid.shape) for field in values]
    if isinstance(obs, xr.Dataset):
        return from_fields(arrays, xr.Dataset(like, attrs=obs.attrs), grid)
    return from_fields(arrays, like.popitem()[1].rename(obs.name), grid)
