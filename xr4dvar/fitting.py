"""The verb `fit`: labelled observations (and the truth, where there is one) in, a model out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.inputs import Inputs, is_dask, read_inputs
from xr4dvar.labels import (
    Normalisation,
    check_values,
    summarise,
    variables_signature,
)
from xr4dvar.methods import FitOptions, Method, Parameters
from xr4dvar.methods.hiding import HiddenShape, hider
from xr4dvar.methods.training_data import TrainingData
from xr4dvar.model import Model
from xr4dvar.options import OPTIONS
from xr4dvar.progress import wanted
from xr4dvar.types import BoolArray, DimsMapping, Labelled

__all__ = ["fit"]

#: Data of up to so many bytes are read once; larger ones block by block.
IN_MEMORY = 2 * 2**30


def fit(
    obs: Labelled,
    method: Method,
    target: Labelled | None = None,
    *,
    validation: slice | float = 0.15,
    mask: xr.DataArray | None = None,
    dims: DimsMapping | None = None,
    periodic: Iterable[str] = (),
    hidden: float = 0.2,
    hidden_shape: HiddenShape = "mixed",
    seed: int = 0,
    device: str | None = None,
    precision: str = "32-true",
    devices: int = 1,
    checkpoint: str | None = None,
    progress: bool | None = None,
) -> Model:
    """Fit a method: tune its lengths, train its networks, estimate its statistics.

    Parameters
    ----------
    obs : DataArray or Dataset
        Observations on a grid, NaN where there is none; in memory or in chunks. A Dataset holds
        several variables on the same dimensions.
    method : Method
        What to fit, such as `FourDVarNet` or `OptimalInterpolation`.
    target : DataArray or Dataset, optional
        The truth on the same grid, where it is known (NaN elsewhere). Not given: the method
        learns from the gappy data alone; a share of the observed cells is hidden from
        it and is what its maps are held against.
    validation : slice or float
        The times to validate on: labels, ``slice("2014-08-01", "2014-10-02")``, or the share at
        the end of the time axis. They are never trained on.
    mask : DataArray of bool, optional
        True for cells that are wanted (sea), on some or all dimensions of `obs`.
    dims : mapping, optional
        Names of the axes where they cannot be found, ``{"time": "t", "lat": "row"}``.
    periodic : iterable of str
        Axes that close on themselves, ``("lon",)``.
    hidden : float
        Share of the observed cells to hide where there is no target.
    hidden_shape : {"random", "patches", "mixed"}
        Hide cell by cell, in cloud-shaped patches, or both in turn.
    seed : int
        All that is random follows from it; the global generators are not touched.
    device : str, optional
        ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``; default: `set_options`.
    precision : str
        Of training, as Lightning Fabric names it: ``"32-true"``, ``"bf16-mixed"``, ...
    devices : int
        Devices to train on, through Lightning Fabric.
    checkpoint : str, optional
        File from which the same call goes on if it was cut off; it is written every epoch.
    progress : bool, optional
        Show a bar with the loss and the time left; default: `set_options`.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        With every problem of the labels, the values and the configuration.

    Examples
    --------
    >>> ds = xv.datasets.gulfstream_twin().isel(time=slice(0, 30), lat=slice(40), lon=slice(40))
    >>> model = xv.fit(ds.ssh_nadir4, xv.OptimalInterpolation(scales=1), target=ds.ssh)
    >>> maps = xv.reconstruct(ds.ssh_nadir4, model)
    """
    inputs, extra = read_inputs(obs, {"target": target}, mask=mask, dims=dims, periodic=periodic)
    problems = Problems()
    with problems.collect():
        method.check(inputs.grid, inputs.names)
    if not 0 < hidden < 1:
        problems.add(f"hidden is {hidden}", "hide a share between 0 and 1, such as 0.2")
    train, held_out = _periods(obs, inputs, validation, method, problems)
    problems.raise_if_any()
    targets = extra.get("target")
    normalisation = _normalisation(inputs, targets, train, held_out)
    data = TrainingData(
        read=_reader([*inputs.fields, *(targets or [])]),
        shape=inputs.shape,
        names=inputs.names,
        grid=inputs.grid,
        normalisation=normalisation,
        supervised=targets is not None,
        train=train,
        validation=held_out,
        hide=hider(hidden_shape, hidden),
        domain=_static_domain(inputs),
    )
    options = FitOptions(
        seed=seed,
        device=device or OPTIONS["device"],
        precision=precision,
        devices=devices,
        checkpoint=checkpoint,
        progress=wanted(OPTIONS["progress"] if progress is None else progress),
    )
    return _fit(method, data, options, variables_signature(obs))


def _fit(
    method: Method, data: TrainingData, options: FitOptions, variables: dict[str, str]
) -> Model:
    """Fit the background first, then the method on top of it."""
    background = None
    if method.background is not None:
        background = _fit(method.background, data, options, variables)
    solve = None
    if background is not None:
        solve = background.method.solver_for(background.parameters, options.device)
    parameters: Parameters = method.fit(data, options, solve)
    return Model(method, parameters, variables, data.grid.signature(), options.seed, background)


def _periods(
    obs: Labelled, inputs: Inputs, validation: slice | float, method: Method, problems: Problems
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Time indices of the training and the validation period.

    The training period is the longer of what lies before and after the validation period.
    """
    if "time" not in inputs.grid.roles:
        return (0, 1), (0, 1)
    size = inputs.grid["time"].size
    least = method.windows(inputs.grid, Parameters())["time"].patch if _learns(method) else 1
    if isinstance(validation, slice):
        name = inputs.grid.axes.dim("time")
        chosen = np.zeros(size, bool)
        chosen[obs.indexes[name].slice_indexer(validation.start, validation.stop)] = True
        if inputs.grid["time"].descending:
            chosen = chosen[::-1]
        if not chosen.any():
            problems.add(
                f"validation={validation} selects no time of obs", "choose times inside of obs"
            )
            return (0, size), (0, size)
        first, last = int(np.argmax(chosen)), int(size - np.argmax(chosen[::-1]))
    else:
        if not 0 < validation < 1:
            problems.add(f"validation is {validation}", "give a share between 0 and 1, or a slice")
        first, last = size - max(least, round(validation * size)), size
    before, after = (0, first), (last, size)
    train = before if before[1] - before[0] >= after[1] - after[0] else after
    if train[1] - train[0] < 2 * least:
        # too short to set days apart: validate on the same days, with other cells hidden
        return (0, size), (0, size)
    return train, (first, last)


def _learns(method: Method) -> bool:
    return method.background is not None or hasattr(method, "training")


def _normalisation(
    inputs: Inputs, targets: Sequence[Any] | None, train: tuple[int, int], held_out: tuple[int, int]
) -> Normalisation:
    """Statistics of the observations, or of the target: one pass, which also checks the values."""
    problems = Problems()
    time_axis = len(inputs.shape) - len(inputs.grid.shape) if "time" in inputs.grid.roles else None
    named = list(zip(inputs.names, inputs.fields, strict=True))
    periods = {"training": slice(*train), "validation": slice(*held_out)}
    fields = named + [
        (f"target {name}", field) for name, field in zip(inputs.names, targets or [], strict=False)
    ]
    summaries = summarise(fields, time_axis)
    check_values(summaries, problems, periods if time_axis is not None else None)
    problems.raise_if_any()
    return Normalisation.from_summaries(summaries[: len(named)])


def _reader(fields: list[Any]) -> Any:
    """Give the function that reads a box of all fields, with one compute where they are lazy."""
    if not is_dask(fields):
        return lambda index: [field[index] for field in fields]
    from dask.base import compute

    if sum(field.nbytes for field in fields) <= IN_MEMORY:
        loaded = compute(*fields)
        return lambda index: [field[index] for field in loaded]
    return lambda index: list(compute(*(field[index] for field in fields)))


def _static_domain(inputs: Inputs) -> BoolArray | None:
    """The domain as (Y, X) or (T, Y, X), the same for all batch entries."""
    if inputs.domain is None:
        return None
    rank = len(inputs.grid.shape)
    domain = inputs.domain[(0,) * (inputs.domain.ndim - rank)]
    return np.asarray(domain)
