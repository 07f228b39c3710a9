"""The verb `forecast`: what comes after the last observation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from xr4dvar.arguments import check_count
from xr4dvar.errors import InputError, Problems
from xr4dvar.inputs import as_variances, read_inputs
from xr4dvar.labels import Grid
from xr4dvar.methods import Method
from xr4dvar.model import Model
from xr4dvar.reconstruction import reconstruct
from xr4dvar.types import DimsMapping, Labelled

__all__ = ["forecast"]


def forecast(
    obs: Labelled,
    model: Model | Method,
    steps: int,
    *,
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
    with dynamics, the model run on from the analysis (and its errors or members with it); with a
    network, what it has learned of such ends.

    Parameters
    ----------
    obs : DataArray or Dataset
        Observations up to now, on an evenly spaced time axis.
    model : Model or Method
        See `reconstruct`.
    steps : int
        How many times, in steps of the time axis.
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
        There is no even time axis to go on with, or as in `reconstruct`.

    Examples
    --------
    >>> ds = xv.datasets.lorenz63(windows=1, steps=200, observed=("x", "y", "z"))
    >>> known, later = ds.isel(time=slice(170)), ds.truth.isel(time=slice(170, None))
    >>> method = xv.FourDVar(xv.Lorenz63(dt=0.01), error_variance=2.0, climate=500)
    >>> ahead = xv.forecast(known.obs, method, steps=30)
    >>> bool((ahead.time == later.time).all()), bool(((ahead - later) ** 2).mean() < 5)
    (True, True)
    """
    problems = Problems()
    check_count("steps", steps, problems)
    variances = as_variances(error_variance, obs, problems)
    inputs, _ = read_inputs(
        obs,
        {"error_variance": variances},
        mask=mask,
        dims=dims,
        periodic=periodic,
        problems=problems,
    )
    time = _time_axis(inputs.grid, mask, problems)
    longer = {time: _longer(obs[time], steps)}
    maps = reconstruct(
        obs.reindex(longer),
        model,
        mask=mask,
        error_variance=None if variances is None else variances.reindex(longer),
        error=error,
        ensemble=ensemble,
        seed=seed,
        dims=dims,
        periodic=periodic,
        batch_size=batch_size,
        device=device,
        progress=progress,
    )
    return maps.isel({time: slice(-steps, None)})


def _time_axis(grid: Grid, mask: xr.DataArray | None, problems: Problems) -> str:
    """Name of a time axis that can be gone on with."""
    if "time" not in grid.roles or grid["time"].size < 2:
        problems.add("there is no time axis to go on with", "name it, dims={'time': ...}")
        raise InputError(problems.found)
    time = grid["time"]
    if not time.uniform:
        what = f"{time.name!r} is not evenly spaced: the next times cannot be told"
        problems.add(what, f"put the observations on an even axis, obs.reindex({time.name}=...)")
    if time.descending:
        problems.add(f"{time.name!r} runs backwards", f"obs.sortby({time.name!r})")
    if mask is not None and time.name in mask.dims:
        problems.add("mask changes in time", "give one that holds at later times too")
    problems.raise_if_any()
    return time.name


def _longer(time: xr.DataArray, steps: int) -> xr.DataArray:
    """The coordinate and the times after it, of the same kind: dates, durations or numbers."""
    values = time.to_numpy()
    step = (values[-1] - values[0]) / (len(values) - 1)
    ahead = np.array([values[-1] + n * step for n in range(1, steps + 1)])
    if values.dtype.kind in "iu":
        ahead = ahead.round()
    both = np.concatenate([values, ahead.astype(values.dtype)])
    return xr.DataArray(both, dims=time.dims, attrs=time.attrs)
