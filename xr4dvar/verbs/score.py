"""The verb `score`: how close a reconstruction is to the truth, as a small Dataset."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from types import EllipsisType
from typing import Any, Literal

import xarray as xr

from xr4dvar import scores
from xr4dvar.arguments import as_tuple, shown
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import check_places, decoded, without_companions
from xr4dvar.labels.axes import find_axes
from xr4dvar.labels.grid import Grid, make_grid
from xr4dvar.scores import checks, reasons
from xr4dvar.types import DimsMapping, Labelled
from xr4dvar.verbs._inputs import check_names_of_axes

#: The scores in the order of the challenge's leaderboard, with what each says.
METRICS = {
    "mu": "1 - RMSE / RMS(truth)",
    "sigma": "standard deviation over time of 1 - RMSE / RMS(truth)",
    "lambda_x": "smallest resolved wavelength",
    "lambda_t": "smallest resolved period",
    "rmse": "root mean square error",
    "r_score": "explained variance, 100 (1 - MSE / Var(truth))",
    "crps": "continuous ranked probability score of the ensemble",
    "spread_skill": "spread of the ensemble over the RMSE of its mean",
    "rank_histogram": "share of cells where so many members are below the truth",
}
_ENSEMBLE = {
    "crps": scores.crps,
    "spread_skill": scores.spread_skill,
    "rank_histogram": scores.rank_histogram,
}
#: The dimension of the members of an ensemble.
_MEMBER = "member"
_MISSING = "NaN where a field has a gap or no large scale has a spectral score of 0.5"

Dim = Hashable | Iterable[Hashable] | EllipsisType | None


def score(
    reconstruction: Labelled,
    truth: Labelled,
    *,
    dim: Dim = None,
    weights: xr.DataArray | Literal["area"] | None = None,
    mask: xr.DataArray | None = None,
    metrics: str | Sequence[str] | None = None,
    dims: DimsMapping | None = None,
) -> xr.Dataset:
    """Score a reconstruction against the truth.

    Cells that are missing in either field, or False in `mask`, are left out of both.

    Parameters
    ----------
    reconstruction, truth : DataArray or Dataset
        On the same grid, with the same units. The truth may lack extra dimensions, such as
        members. Numpy or dask.
    dim : hashable, iterable of hashable or ..., optional
        Dimensions to score over. Default: those of time, latitude and longitude, so that members
        are scored one by one; ``...`` is all; ``dim=("lat", "lon")`` gives a score a day.
    weights : DataArray or "area", optional
        Weights of the cells, not negative; "area" is that of cells of even longitude between the
        middles of latitudes, or the cosine of a 2-D latitude, where the y axis is a latitude as
        `reconstruct` finds it. The spectral scores take no weights.
    mask : DataArray of bool, optional
        True where cells count. Cells left out are gaps, and spectral scores need complete
        fields: to score a part of the domain, select it with ``.sel`` first.
    metrics : str or sequence of str, optional
        Of those listed below. Default: all that the fields allow, but not those of an ensemble;
        the attribute ``not_scored`` names the rest, and scores that are NaN, and says why.
    dims : mapping, optional
        Which dimension is which axis, as in ``{"time": "t", "lat": "j", "lon": "i"}``, where
        names and attributes do not tell.

    Returns
    -------
    Dataset
        One variable a score, float64, with units. Lazy if a field is. Datasets give one more
        dimension, ``variable``.

        - ``mu``: 1 - RMSE / RMS(truth), of the whole period at once, no mean removed [1]_.
        - ``sigma``: standard deviation over time (ddof 0) of the same ratio a time step [1]_.
        - ``lambda_x``, ``lambda_t``: smallest resolved wavelength (units of the x axis, degree
          for longitude) and period (day): where 1 - PSD(error) / PSD(truth), over time and
          longitude, falls below 0.5 [1]_. NaN where a field has a gap or nothing is resolved.
          See `xr4dvar.scores.effective_resolution` for the crossing.
        - ``rmse``: root mean square error, in the unit of the data.
        - ``r_score``: explained variance 100 (1 - MSE / Var(truth)) in percent; a bias counts
          as error.

        And of an ensemble along ``member``, where `metrics` names them:

        - ``crps``: continuous ranked probability score, fair for any number of members, in the
          unit of the data [2]_; of one member the mean absolute error.
        - ``spread_skill``: spread over the RMSE of the mean, 1 where the truth is like one
          member more [3]_.
        - ``rank_histogram``: share of cells along ``rank``, the number of members below the
          truth; flat where the truth is like one member more. Ties are broken at random, always
          in the same way.

    Raises
    ------
    InputError
        With all that is wrong: grids or units that differ, unknown names, spectral scores asked
        for on an uneven axis or on fields with gaps.

    References
    ----------
    .. [1] Ocean data challenge 2020a, SSH mapping (NATL60).
    .. [2] Ferro 2014, https://doi.org/10.1002/qj.2270
    .. [3] Fortin et al. 2014, https://doi.org/10.1175/JHM-D-14-0008.1

    Examples
    --------
    >>> days = xr.date_range("2012-10-22", periods=16)
    >>> truth = xr.DataArray(
    ...     np.random.default_rng(0).normal(size=(16, 8, 16)),
    ...     dims=("time", "lat", "lon"),
    ...     coords={"time": days, "lat": 33 + np.arange(8.0), "lon": np.arange(16.0) - 65},
    ...     attrs={"units": "m"},
    ... )
    >>> scores = score(0.9 * truth, truth)
    >>> round(float(scores.mu), 3), round(float(scores.r_score), 1), scores.rmse.attrs["units"]
    (0.9, 99.0, 'm')
    >>> score(0.9 * truth, truth, dim=("lat", "lon"), metrics="rmse").rmse.dims
    ('time',)
    """
    _check_kinds(reconstruction, truth, dims)
    reconstruction, truth = (without_companions(one)[0] for one in (reconstruction, truth))
    options = {"dim": dim, "weights": weights, "mask": mask, "metrics": metrics, "dims": dims}
    if isinstance(reconstruction, xr.Dataset) or isinstance(truth, xr.Dataset):
        return _score_variables(reconstruction, truth, options)
    grid = make_grid(reconstruction, find_axes(reconstruction, dims))
    problems = Problems()
    reconstruction = decoded("reconstruction", reconstruction, problems)
    truth = decoded("truth", truth, problems)
    checks.check_fields(reconstruction, truth, grid.axes, problems)
    others = {"truth": truth, "mask": mask, "weights": weights}
    placed = {what: one for what, one in others.items() if isinstance(one, xr.DataArray)}
    own = grid.axes.coordinates.values()
    check_places(reconstruction, placed, own, problems, of="reconstruction")
    if mask is not None:
        checks.check_mask(mask, reconstruction, problems)
    cell_weights = checks.resolve_weights(weights, reconstruction, grid, problems)
    over = _dimensions(dim, grid, reconstruction, problems)
    is_ensemble = _MEMBER in reconstruction.dims and _MEMBER not in truth.dims
    members = reconstruction.sizes[_MEMBER] if is_ensemble else 0
    names = _names(metrics, members, problems)
    problems.raise_if_any()
    if mask is not None:
        reconstruction = reconstruction.where(mask)
    unable = reasons.unable(grid, over)
    if metrics is not None:
        reasons.refuse(names, unable, {"reconstruction": reconstruction, "truth": truth})
    names = [name for name in names if name not in unable]
    result = _compute(names, reconstruction, truth, grid, over, cell_weights)
    result = _described(result, truth, reconstruction, grid)
    result.attrs = {"scored_over": ", ".join(map(str, over))}
    why = {} if metrics is not None else unable
    if why := why | reasons.undefined(result, reconstruction, truth):
        result.attrs["not_scored"] = reasons.in_words(why)
    return result


def _check_kinds(reconstruction: object, truth: object, dims: object) -> None:
    problems = Problems()
    for name, field in (("reconstruction", reconstruction), ("truth", truth)):
        if not isinstance(field, xr.DataArray | xr.Dataset):
            what = f"{name} is a {type(field).__name__}, not a DataArray or Dataset"
            other = "truth" if name == "reconstruction" else "reconstruction"
            problems.add(what, f"label it, for example {other}.copy(data={name})")
    check_names_of_axes(dims, (), problems)
    problems.raise_if_any()


def _names(metrics: str | Sequence[str] | None, members: int, problems: Problems) -> list[str]:
    if metrics is None:
        return [name for name in METRICS if name not in _ENSEMBLE]
    names = [metrics] if isinstance(metrics, str) else as_tuple(metrics)
    if not (isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)):
        problems.add(f"metrics is {shown(metrics)}", f"choose from {list(METRICS)}")
        return []
    names = list(names)
    if unknown := [name for name in names if name not in METRICS]:
        problems.add(f"metrics {unknown} are not known", f"choose from {list(METRICS)}")
    if not members and (wrong := [name for name in names if name in _ENSEMBLE]):
        fix = f"give a reconstruction with members along {_MEMBER!r}, and a truth without"
        problems.add(f"metrics {wrong} are those of an ensemble", fix)
    if members == 1 and "spread_skill" in names:
        problems.add("one member has no spread for spread_skill", "give two members or more")
    return names


def _dimensions(
    dim: Dim, grid: Grid, reconstruction: xr.DataArray, problems: Problems
) -> list[Hashable]:
    if dim is None:
        return [name for _, name in grid.axes.items()]
    if dim is ...:
        return list(reconstruction.dims)
    single = not isinstance(dim, Iterable) or isinstance(dim, str) or getattr(dim, "ndim", 1) == 0
    over: list[Any] = [dim] if single else list(dim)  # type: ignore[arg-type]
    if unknown := [name for name in over if name not in reconstruction.dims]:
        known = list(reconstruction.dims)
        problems.add(f"dim has {unknown}, not in the reconstruction", f"choose from {known}")
    return over


def _compute(
    names: list[str],
    reconstruction: xr.DataArray,
    truth: xr.DataArray,
    grid: Grid,
    over: list[Hashable],
    weights: xr.DataArray | None,
) -> xr.Dataset:
    time = grid.axes.time
    others = [dim for dim in over if dim != time]
    steps = scores.pair_sums(reconstruction, truth, others, weights)
    total = steps.sum(time) if time in over else steps
    found = {"mu": scores.mu(total), "rmse": scores.rmse(total), "r_score": scores.r_score(total)}
    if "sigma" in names:
        found["sigma"] = scores.sigma(steps, grid.axes.dim("time"))
    if set(reasons.SPECTRAL) & set(names):
        spectrum = scores.spectral_score(reconstruction, truth, grid=grid, mean=others)
        found["lambda_x"], found["lambda_t"] = scores.resolution(spectrum)
    inner = [dim for dim in over if dim != _MEMBER]
    for name in names:
        if name in _ENSEMBLE:
            found[name] = _ENSEMBLE[name](reconstruction, truth, inner, weights, member=_MEMBER)
    return xr.Dataset({name: found[name] for name in names})


def _described(
    result: xr.Dataset, truth: xr.DataArray, reconstruction: xr.DataArray, grid: Grid
) -> xr.Dataset:
    """Give each score its long name and unit."""
    units: dict[Hashable, str | None] = dict.fromkeys(METRICS, "1")
    own = truth.attrs.get("units", reconstruction.attrs.get("units"))
    units |= {"r_score": "%", "rmse": own, "crps": own}
    if set(reasons.SPECTRAL) & set(result):
        units |= {"lambda_x": grid["x"].units, "lambda_t": grid["time"].units}
    for name, variable in result.data_vars.items():
        variable.attrs = {"long_name": METRICS[str(name)]}
        if units[name] is not None:
            variable.attrs["units"] = units[name]
        if name in reasons.SPECTRAL:
            variable.attrs["comment"] = _MISSING
        if name == "crps" and reconstruction.sizes[_MEMBER] == 1:
            variable.attrs["comment"] = "of one member: the mean absolute error"
    return result


def _score_variables(
    reconstruction: Labelled, truth: Labelled, options: dict[str, Any]
) -> xr.Dataset:
    """Score each variable of the reconstruction, stacked along the dimension `variable`."""
    problems = Problems()
    if not (isinstance(reconstruction, xr.Dataset) and isinstance(truth, xr.Dataset)):
        problems.add("one of the fields is a Dataset, the other a DataArray", "pass two of a kind")
        raise InputError(problems.found)
    found = {}
    for name, field in reconstruction.data_vars.items():
        if name not in truth:
            problems.add(f"truth has no {name!r}", f"drop it: reconstruction.drop_vars({name!r})")
            continue
        try:
            found[name] = score(field, truth[name], **options)
        except InputError as error:
            for what, fix in error.problems:
                problems.add(f"{name}: {what}", fix)
    if not reconstruction.data_vars:
        problems.add("reconstruction has no variables", "pass one with data variables")
    problems.raise_if_any()
    return _stacked(found)


def _stacked(found: dict[Hashable, xr.Dataset]) -> xr.Dataset:
    names = xr.Variable("variable", [str(name) for name in found])
    result: xr.Dataset = xr.concat(
        list(found.values()),
        names.to_index_variable(),
        join="exact",
        combine_attrs="drop_conflicts",
    )
    why = {name: each.attrs.get("not_scored", "") for name, each in found.items()}
    if len(set(why.values())) > 1:  # else it is the same for all, and kept as it is
        lines = [f"{name}: {line}" for name in why for line in why[name].splitlines()]
        result.attrs["not_scored"] = "\n".join(lines)
    units = [each.rmse.attrs.get("units", "") for each in found.values() if "rmse" in each]
    if len(set(units)) > 1:
        result = result.assign_coords(rmse_units=("variable", units))
    return result
