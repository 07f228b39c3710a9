"""The verb `forecast`: what comes after the last observation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from xr4dvar.arguments import check_count
from xr4dvar.contract.observing import operator_of
from xr4dvar.covariates.reading import Given
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid, put_back, without_companions
from xr4dvar.labels.later_times import later_times
from xr4dvar.methods import Method
from xr4dvar.model import Model
from xr4dvar.types import DimsMapping, Labelled
from xr4dvar.verbs._inputs import as_variances, read_inputs
from xr4dvar.verbs._leads import check_forecast
from xr4dvar.verbs.reconstruct import reconstruct

__all__ = ["forecast"]


def forecast(
    obs: Labelled,
    model: Model | Method,
    steps: int,
    *,
    covariates: Given = None,
    mask: xr.DataArray | None = None,
    error_variance: Labelled | float | None = None,
    error: bool = False,
    ensemble: int | None = None,
    seed: int = 0,
    dims: DimsMapping | None = None,
    periodic: Iterable[str] = (),
    batch_size: int | None = None,
    device: str | None = None,
    progress: bool | None = None,
) -> Labelled:
    """Give the fields after the last time of the observations.

    They are those of `reconstruct` if the time axis goes on by `steps` times without observations:
    with dynamics, the model run on from the analysis (and its errors or members with it). A network
    that was fitted with ``leads=`` forecasts from the last times of the observations.

    Parameters
    ----------
    obs : DataArray or Dataset
        Observations up to now, at times that are evenly spaced, a whole number of months or
        years apart (in any calendar), or of a frequency that `xarray.infer_freq` knows.
    model : Model or Method
        See `reconstruct`.
    steps : int
        How many times, in steps of the time axis: months after months, years after years. At most
        the ``leads`` that a network was fitted with.
    covariates : DataArray, Dataset, or a sequence of these, optional
        See `reconstruct`; fields that change in time must go on to the last time of the forecast,
        with gaps where they are not known.
    mask : DataArray of bool, optional
        Cells that are wanted, the same at all times.
    error_variance, error, ensemble, seed, dims, periodic, batch_size, device, progress
        See `reconstruct`.

    Returns
    -------
    DataArray or Dataset
        As of `reconstruct`, at the `steps` times after those of `obs`.

    Raises
    ------
    InputError
        There is no time axis, or its values do not tell the next ones, or as in `reconstruct`.

    Examples
    --------
    >>> ds = xv.datasets.lorenz63(windows=1, steps=200, observed=("x", "y", "z"))
    >>> known, later = ds.isel(time=slice(170)), ds.truth.isel(time=slice(170, None))
    >>> method = xv.FourDVar(xv.Lorenz63(dt=0.01), error_variance=2.0, climate=500)
    >>> ahead = xv.forecast(known.obs, method, steps=30)
    >>> bool((ahead.time == later.time).all()), bool(((ahead - later) ** 2).mean() < 5)
    (True, True)
    """
    obs, companions = without_companions(obs)
    problems = Problems()
    check_count("steps", steps, problems)
    method = model.method if isinstance(model, Model) else model
    if operator_of(method).other_grid:
        what = "a forecast is on the grid of obs, and the operator observes another one"
        problems.add(what, "add later times to both: reconstruct(longer_obs, model, grid=...)")
        problems.raise_if_any()
    variances = as_variances(error_variance, obs, problems)
    # the mask is checked by `reconstruct`, on the longer axis
    inputs, _ = read_inputs(
        obs,
        {"error_variance": variances},
        mask=None,
        dims=dims,
        periodic=periodic,
        problems=problems,
    )
    dim = _time_axis(inputs.grid, mask, problems)
    ahead, window = steps, slice(None)
    if isinstance(model, Model) and model.leads:
        ahead, window = model.leads, check_forecast(model, steps, inputs.grid, problems)
    coords = _longer_coords(obs, dim, inputs.grid["time"].name, ahead, problems)

    def longer(given: Labelled) -> Labelled:
        return _longer(given, dim, coords, ahead).isel({dim: window})

    maps = reconstruct(
        longer(obs),
        model,
        covariates=covariates,
        mask=mask,
        error_variance=None if variances is None else longer(variances),
        error=error,
        ensemble=ensemble,
        seed=seed,
        dims=dims,
        periodic=periodic,
        batch_size=batch_size,
        device=device,
        progress=progress,
    )
    lasting = companions.drop_vars(
        [n for n, one in companions.variables.items() if dim in one.dims]
    )
    return put_back(maps.isel({dim: slice(-ahead, None)}).isel({dim: slice(0, steps)}), lasting)


def _time_axis(grid: Grid, mask: xr.DataArray | None, problems: Problems) -> str:
    """Dimension of a time axis that can be gone on with."""
    if "time" not in grid.roles or grid["time"].size < 2:
        problems.add("there is no time axis to go on with", "name it, dims={'time': ...}")
        raise InputError(problems.found)
    dim = grid.axes.dim("time")
    if grid["time"].descending:
        problems.add(f"{grid['time'].name!r} runs backwards", f"obs.sortby({grid['time'].name!r})")
    if grid["time"].period is not None:
        what = f"periodic: {grid['time'].name!r} closes on itself, and a forecast goes on after it"
        problems.add(what, f"leave {grid['time'].name!r} out of periodic")
    if isinstance(mask, xr.DataArray) and dim in mask.dims:
        problems.add("mask changes in time", "give one that holds at later times too")
    problems.raise_if_any()
    return dim


def _longer_coords(
    obs: Labelled, dim: str, name: str, steps: int, problems: Problems
) -> dict[str, xr.Variable]:
    """Coordinates of the longer axis: that of the times, and the labels of its dimension.

    The two may be one, or the dimension has labels of its own, or none at all.
    """
    coords = {
        label: xr.Variable(dim, np.concatenate([obs[label].to_numpy(), later]), obs[label].attrs)
        for label in dict.fromkeys([name, dim])
        if label in obs.coords and (later := later_times(obs[label], steps, problems)).size
    }
    problems.raise_if_any()
    return coords


def _longer(obs: Labelled, dim: str, coords: dict[str, xr.Variable], steps: int) -> Labelled:
    """Add times without observations."""
    size = obs.sizes[dim]
    numbered = obs.drop_vars(dim, errors="ignore").assign_coords({dim: np.arange(size)})
    longer = numbered.reindex({dim: np.arange(size + steps)}).drop_vars(dim)
    return longer.assign_coords(coords)
