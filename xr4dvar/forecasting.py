"""The verb `forecast`: what comes after the last observation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from xr4dvar.arguments import check_count
from xr4dvar.errors import InputError, Problems
from xr4dvar.inputs import read_inputs
from xr4dvar.labels import Grid, put_back, without_companions
from xr4dvar.labels.indexes import text_of_index
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
    error, ensemble, seed, dims, periodic, batch_size, device, progress
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
    obs, companions = without_companions(obs)
    problems = Problems()
    check_count("steps", steps, problems)
    inputs, _ = read_inputs(obs, {}, mask=mask, dims=dims, periodic=periodic, problems=problems)
    dim = _time_axis(inputs.grid, mask, problems)
    longer = _with_times_ahead(obs, dim, inputs.grid["time"].name, steps)
    maps = reconstruct(
        longer,
        model,
        mask=mask,
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
    return put_back(maps.isel({dim: slice(-steps, None)}), lasting)


def _time_axis(grid: Grid, mask: xr.DataArray | None, problems: Problems) -> str:
    """Dimension of a time axis that can be gone on with."""
    if "time" not in grid.roles or grid["time"].size < 2:
        problems.add("there is no time axis to go on with", "name it, dims={'time': ...}")
        raise InputError(problems.found)
    time, dim = grid["time"], grid.axes.dim("time")
    if not time.uniform:
        what = f"{time.name!r} is not evenly spaced: the next times cannot be told"
        indexed = text_of_index(dim, time.name)
        problems.add(
            what, f"put the observations on an even axis, {indexed}.reindex({time.name}=...)"
        )
    if time.descending:
        problems.add(f"{time.name!r} runs backwards", f"obs.sortby({time.name!r})")
    if time.period is not None:
        what = f"periodic: {time.name!r} closes on itself, and a forecast goes on after its end"
        problems.add(what, f"leave {time.name!r} out of periodic")
    if mask is not None and dim in mask.dims:
        problems.add("mask changes in time", "give one that holds at later times too")
    problems.raise_if_any()
    return dim


def _with_times_ahead(obs: Labelled, dim: str, name: str, steps: int) -> Labelled:
    """The observations on a longer time axis, whatever its coordinate is called."""
    if name not in obs.coords:
        longer: Labelled = obs.pad({dim: (0, steps)})
        return longer
    if name == dim:
        return obs.reindex({dim: _longer(obs[dim], steps)})
    # the coordinate takes the place of the index, if there is one, and gives it back
    counted = dim in obs.coords and obs.coords[dim].dtype.kind in "iufmM"
    longer = obs.drop_vars(dim, errors="ignore").swap_dims({dim: name})
    longer = longer.reindex({name: _longer(longer[name], steps)}).swap_dims({name: dim})
    if counted:
        longer = longer.assign_coords({dim: _longer(obs[dim], steps)})
    return longer


def _longer(time: xr.DataArray, steps: int) -> xr.DataArray:
    """The coordinate and the times after it, of the same kind: dates, durations or numbers."""
    values = time.to_numpy()
    step = (values[-1] - values[0]) / (len(values) - 1)
    ahead = np.array([values[-1] + n * step for n in range(1, steps + 1)])
    if values.dtype.kind in "iu":
        ahead = ahead.round()
    both = np.concatenate([values, ahead.astype(values.dtype)])
    return xr.DataArray(both, dims=time.dims, attrs=time.attrs)
