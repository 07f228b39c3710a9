"""Training data made of plain arrays."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from xr4dvar.contract.training_data import TrainingData
from xr4dvar.labels import Normalisation, find_axes, make_grid
from xr4dvar.training.hiding import hide

DIMS = ("time", "y", "x")
#: First points of the axes differ, so that they cannot be mistaken for each other.
FIRST = {"time": 100.0, "y": 20.0, "x": 3.0}


def grid_of(shape, dims=DIMS):
    """A grid of unit steps."""
    sizes = dict(zip(dims, shape, strict=True))
    coords = {dim: FIRST[dim] + np.arange(size) for dim, size in sizes.items() if dim in FIRST}
    obs = xr.DataArray(np.broadcast_to(0.0, shape), dims=dims, coords=coords)
    return make_grid(obs, find_axes(obs))


def make_data(*variables, target=None, dims=DIMS, train=None, validation=None, share=0.25):
    """Training data of one or several variables, each with the same dims."""
    arrays = [*variables, *(target or [])]
    grid = grid_of(variables[0].shape, dims)
    names = tuple(f"v{n}" for n in range(len(variables)))
    times = grid["time"].size if "time" in grid.roles else 1
    means, spreads = ([float(f(v)) for v in variables] for f in (np.nanmean, np.nanstd))
    return TrainingData(
        read=lambda index: [array[index] for array in arrays],
        shape=variables[0].shape,
        names=names,
        grid=grid,
        normalisation=Normalisation(names, tuple(means), tuple(spreads)),
        supervised=target is not None,
        train=train or (0, times),
        validation=validation or (0, times),
        hide=partial(hide, shape="random", share=share),
    )


def gappy(*shape, seed=0, share=0.6):
    """Values that tell their place (time, y, x in ten thousands, hundreds, units), with gaps."""
    places = np.indices(shape)
    values = 10_000.0 * places[-3] + 100.0 * places[-2] + places[-1]
    observed = np.random.default_rng(seed).random(shape) < share
    return np.where(observed, values, np.nan)
