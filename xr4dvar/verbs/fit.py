"""The verb `fit`: labelled observations (and the truth, where there is one) in, a model out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, get_args

import xarray as xr

from xr4dvar.arguments import (
    check_choice,
    check_count,
    check_folder,
    check_progress,
    check_seed,
    check_share,
    shown,
)
from xr4dvar.contract.observing import binder_of, check_reach
from xr4dvar.contract.training_data import Covariates, TrainingData
from xr4dvar.covariates.reading import Given, KnownFields
from xr4dvar.errors import Problems
from xr4dvar.labels import (
    Grid,
    Normalisation,
    check_same_units,
    check_values,
    summarise,
    variables_signature,
    without_companions,
)
from xr4dvar.methods import FitOptions, Method, Parameters, check_method, check_periods
from xr4dvar.model import Model
from xr4dvar.options import OPTIONS
from xr4dvar.progress import wanted
from xr4dvar.training.hiding import HiddenShape, Hide, hider
from xr4dvar.types import DimsMapping, Labelled
from xr4dvar.verbs._covariates import known_fields, statistics
from xr4dvar.verbs._inputs import Inputs, check_device, grid_signature, is_dask, read_inputs
from xr4dvar.verbs._leads import check_leads
from xr4dvar.verbs._patch_work import engine_of
from xr4dvar.verbs._periods import Period, find_periods, hold_entries
from xr4dvar.verbs._placing import on_grid

__all__ = ["fit"]

log = logging.getLogger("xr4dvar")

#: Data of up to so many bytes are read once; larger ones block by block.
IN_MEMORY = 2 * 2**30


def fit(
    obs: Labelled,
    method: Method,
    target: Labelled | None = None,
    *,
    validation: slice | float = 0.15,
    covariates: Given = None,
    leads: int = 0,
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
        The truth on the same grid, where it is known (NaN elsewhere); on a finer one where the
        method's operator observes a coarser (`operators.BlockMean`). Not given: the method
        learns from the gappy data alone; a share of the observed cells is hidden from
        it and is what its maps are held against.
    validation : slice or float
        The times to validate on: labels, ``slice("2014-08-01", "2014-10-02")``, or the share at
        the end of the time axis. They are never trained on; the method learns from the longer of
        what lies before and after them. Where the times are too few for a share to be set apart,
        it is one of the windows (members, ...) along the first further dimension; where there is
        none, all times serve both ends, and the log says so. Only methods that are trained need
        observations there.
    covariates : DataArray, Dataset, or a sequence of these, optional
        Fields that are known and not mapped, such as a temperature or a bathymetry, on all
        dimensions of `obs` or some, complete or with gaps; also `covariates.day_of_year` and
        `covariates.position`, which the model computes by itself. For methods that look at them
        (`FourDVarNet`). `reconstruct` asks for the same, by name.
    leads : int
        Learn to forecast so many times: the last ones of each window are not observed. Of the
        times before, a window holds ``patch["time"] - leads``. `forecast` then gives them. For
        methods that learn from windows (`FourDVarNet`).
    mask : DataArray of bool, optional
        True for cells that are wanted (sea), on some or all dimensions of `obs`; what is
        outside counts as missing.
    dims : mapping, optional
        Names of the axes where they cannot be found, ``{"time": "t", "lat": "row"}``.
    periodic : iterable of str
        Axes that close on themselves, ``("lon",)``. A method that cannot take an axis so refuses
        it, by name.
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
    problems = Problems()
    check_progress(progress, problems)
    options = FitOptions(
        seed=seed,
        device=OPTIONS["device"] if device is None else device,
        precision=precision,
        devices=devices,
        checkpoint=checkpoint,
        progress=wanted(OPTIONS["progress"] if progress is None else progress),
    )
    obs, _ = without_companions(obs)
    check_share("hidden", hidden, problems)
    check_choice("hidden_shape", hidden_shape, get_args(HiddenShape), problems)
    is_method = check_method("method", method, problems)
    _check_options(options, is_method and _learns(method), problems)
    obs, _, observed = on_grid(
        obs, method, target, dims=dims, periodic=periodic, problems=problems, name="target"
    )
    inputs, extra = read_inputs(
        obs, {"target": target}, mask=mask, dims=dims, periodic=periodic, problems=problems,
        observed=observed,
    )  # fmt: skip
    if target is not None:
        check_same_units(obs, "target", target, problems)
    known = known_fields(covariates, obs, inputs, method, problems)
    least = 1
    if is_method:
        with problems.collect():
            method.check(inputs.grid, inputs.names)
            _check_periods(method, inputs.grid, problems)
            if hasattr(method, "patch_sizes"):  # of others the windows are found by the fit
                check_reach(method, inputs.grid, Parameters(), problems)
            least = _least(method, inputs)
        with problems.collect():
            check_leads(leads, method, inputs.grid, problems)
    train, held_out = find_periods(obs, inputs.grid, validation, least, problems)
    problems.raise_if_any()
    hide = hider(hidden_shape, hidden)
    fields = _loaded([*inputs.fields, *extra.get("target", [])])
    seen = _covariates(known)
    periods = {"training": train} | ({"validation": held_out} if _learns(method) else {})
    normalisation = _normalisation(inputs, fields, periods)
    data = _gather(inputs, fields, method, normalisation, (train, held_out), validation, hide)
    data = replace(data, covariates=seen, leads=leads)
    return _fit(method, data, options, variables_signature(obs), grid_signature(inputs), known)


def _covariates(known: KnownFields) -> Covariates | None:
    """Covariates to learn with: their values are checked in one pass."""
    if not known.names:
        return None
    problems = Problems()
    fields = _loaded(known.fields)
    normalisation, gappy = statistics(known, fields, problems)
    problems.raise_if_any()
    return Covariates(_reader(fields), normalisation, gappy)


def _gather(
    inputs: Inputs,
    fields: list[Any],
    method: Method,
    normalisation: Normalisation,
    periods: tuple[Period, Period],
    validation: slice | float,
    hide: Hide,
) -> TrainingData:
    """What a method learns from, and what it is validated on."""
    entries = None
    train, held_out = periods
    if train == held_out:  # too short to be cut
        entries = hold_entries(inputs.shape, inputs.grid, validation)
        _log_what_validates(inputs, train, entries)
    return TrainingData(
        read=_reader(fields),
        shape=inputs.shape,
        names=inputs.names,
        grid=inputs.grid,
        normalisation=normalisation,
        supervised=len(fields) > len(inputs.fields),
        train=train,
        validation=held_out,
        hide=hide,
        train_entries=entries and entries[0],
        validation_entries=entries and entries[1],
        binder=binder_of(method, inputs.grid, inputs.domain),
    )


def _fit(
    method: Method,
    data: TrainingData,
    options: FitOptions,
    variables: dict[str, str],
    grid: dict[str, Any],
    known: KnownFields,
) -> Model:
    """Fit the background first, then the method on top of it."""
    background = None
    if method.background is not None:
        background = _fit(method.background, data, options, variables, grid, known)
    engine = None
    if background is not None:
        engine = engine_of(background, options.device)
    parameters: Parameters = method.fit(data, options, engine)
    if not getattr(method, "takes_covariates", False):
        known = KnownFields()
    leads = data.leads if getattr(method, "takes_leads", False) else 0
    return Model(
        method, parameters, variables, grid, options.seed, background, known.names, known.computed,
        leads,
    )  # fmt: skip


def _check_options(options: FitOptions, learns: bool, problems: Problems) -> None:
    check_seed(options.seed, problems)
    if options.checkpoint is not None:
        check_folder("checkpoint", options.checkpoint, problems)
    before = len(problems.found)
    check_count("devices", options.devices, problems)
    check_device(options.device, problems)
    precision: object = options.precision
    if not isinstance(precision, str):
        problems.add(f"precision is {shown(precision)}", "give a name, such as '32-true'")
    if len(problems.found) > before:
        return
    if learns or (options.precision, options.devices) != (FitOptions.precision, FitOptions.devices):
        from xr4dvar.training.device import make_fabric

        with problems.collect():
            make_fabric(options)


def _check_periods(method: Method, grid: Grid, problems: Problems) -> None:
    """Note axes that do not close for the method, or for what it starts from."""
    check_periods(method, grid, problems)
    if method.background is not None:
        _check_periods(method.background, grid, problems)


def _learns(method: Method) -> bool:
    """Whether it is trained on patches."""
    return method.background is not None or hasattr(method, "training")


def _least(method: Method, inputs: Inputs) -> int:
    """Time steps that a period must have for the method to learn from it."""
    if "time" not in inputs.grid.roles or not _learns(method):
        return 1
    return method.windows(inputs.grid, Parameters())["time"].patch


def _log_what_validates(
    inputs: Inputs, times: Period, entries: tuple[Period, Period] | None
) -> None:
    """Say it where it is not the end of the time axis."""
    if entries is not None:
        name, held = inputs.grid.axes.batch[0], entries[1][1] - entries[1][0]
        log.info("validated on the last %d entries of %r", held, name)
    elif times[1] > 1:
        log.warning(
            "%d times are too few to set some of them apart: validated on the times of training",
            times[1],
        )


def _normalisation(
    inputs: Inputs, fields: list[Any], periods: Mapping[str, Period]
) -> Normalisation:
    """Statistics of the observations; one pass over all fields, which also checks the values.

    Each of the periods must hold some.
    """
    problems = Problems()
    time_axis = len(inputs.shape) - len(inputs.grid.shape) if "time" in inputs.grid.roles else None
    names = [*inputs.names, *(f"target {name}" for name in inputs.names)]
    steps = {name: slice(*period) for name, period in periods.items()}
    summaries = summarise(list(zip(names, fields, strict=False)), time_axis)
    check_values(summaries, problems, steps if time_axis is not None else None)
    problems.raise_if_any()
    cells = math.prod(inputs.shape)
    for summary in summaries[len(inputs.names) :]:
        if summary.count < cells:
            share = 100 * (1 - summary.count / cells)
            log.info("%s is missing at %.3g %% of the cells: used where it is", summary.name, share)
    return Normalisation.from_summaries(summaries[: len(inputs.names)])


def _loaded(fields: list[Any]) -> list[Any]:
    """Read lazy fields once and for all, if there is room."""
    if not is_dask(fields) or sum(field.nbytes for field in fields) > IN_MEMORY:
        return fields
    from dask.base import compute

    return list(compute(*fields))


def _reader(fields: list[Any]) -> Callable[[tuple[slice, ...]], list[Any]]:
    """Give the function that reads a box of all fields, with one compute where they are lazy."""
    if not is_dask(fields):
        return lambda index: [field[index] for field in fields]
    from dask.base import compute

    return lambda index: list(compute(*(field[index] for field in fields)))
