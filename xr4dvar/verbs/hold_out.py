"""The verb `hold_out`: hide some of what was observed, to be scored on it."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from xr4dvar.arguments import check_choice, check_seed, check_share
from xr4dvar.errors import Problems
from xr4dvar.labels import from_fields, put_back, without_companions
from xr4dvar.training.hiding import hide
from xr4dvar.types import BoolArray, DimsMapping, Labelled
from xr4dvar.verbs._inputs import Inputs, is_dask, read_inputs

__all__ = ["hold_out"]


def hold_out(
    obs: Labelled,
    share: float = 0.1,
    *,
    shape: Literal["random", "patches"] = "patches",
    seed: int = 0,
    dims: DimsMapping | None = None,
) -> tuple[Labelled, Labelled]:
    """Hide a share of the observations, so that maps from the others can be scored on them.

    Parameters
    ----------
    obs : DataArray or Dataset
        Observations, NaN where there is none. Where they are is read at once; the values of dask
        arrays stay lazy.
    share : float
        Share of the observed cells of each variable to hide.
    shape : {"patches", "random"}
        Hide in patches of the size of small clouds, or cell by cell. A cell hidden alone has
        observed neighbours, which flatters every method.
    seed : int
        The same seed hides the same cells.
    dims : mapping, optional
        See `fit`.

    Returns
    -------
    shown, hidden : DataArray or Dataset
        `obs` without the hidden observations, and nothing but them.

    Raises
    ------
    InputError
        The axes are not found, or an argument cannot be used.

    Examples
    --------
    >>> obs = xv.datasets.gulfstream_twin().sst_cloudy.isel(time=slice(0, 20))
    >>> shown, hidden = xv.hold_out(obs, share=0.2)
    >>> round(float(hidden.count() / obs.count()), 3)
    0.2
    >>> maps = xv.reconstruct(shown, xv.LinearInterpolation())
    >>> rmse = xv.score(maps, hidden, metrics="rmse").rmse
    """
    problems = Problems()
    check_share("share", share, problems)
    check_choice("shape", shape, ("random", "patches"), problems)
    check_seed(seed, problems)
    obs, companions = without_companions(obs)
    inputs, _ = read_inputs(obs, {}, mask=None, dims=dims, periodic=(), problems=problems)
    problems.raise_if_any()
    chosen = _chosen(_observed(inputs), np.random.default_rng(seed), shape, share)
    arrays = [one.reshape(inputs.shape).astype(np.float32) for one in chosen]
    hidden = from_fields(arrays, obs, inputs.grid) > 0
    shown, held = obs.where(~hidden), obs.where(hidden)
    return put_back(shown, companions), put_back(held, companions)


def _observed(inputs: Inputs) -> BoolArray:
    """Where there are observations, (V, batch, T, Y, X)."""
    fields = [np.isfinite(field) for field in inputs.fields]
    if is_dask(fields):
        from dask.base import compute

        fields = list(compute(*fields))
    sizes = dict(zip(inputs.grid.roles, inputs.grid.shape, strict=True))
    entries = math.prod(inputs.shape[: len(inputs.shape) - len(sizes)])
    axes = [sizes.get(role, 1) for role in ("time", "y", "x")]
    return np.stack(fields).reshape(len(fields), entries, *axes)


def _chosen(
    observed: BoolArray,
    generator: np.random.Generator,
    shape: Literal["random", "patches"],
    share: float,
) -> BoolArray:
    entries = range(observed.shape[1])
    hidden = [hide(observed[:, n], generator, shape=shape, share=share) for n in entries]
    return np.stack(hidden, axis=1)
