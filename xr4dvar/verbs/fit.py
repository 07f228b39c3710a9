"""The verb `fit`: labelled observations (and the truth, where there is one) in, a model out."""

from __future__ import annotations

from collections.abc import Iterable
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
from xr4dvar.contract.observing import check_reach
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.covariates.reading import Given, KnownFields
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid, check_same_units, variables_signature, without_companions
from xr4dvar.methods import FitOptions, Method, Parameters, check_method, check_periods
from xr4dvar.model import Model
from xr4dvar.observations import Observations
from xr4dvar.options import OPTIONS
from xr4dvar.progress import wanted
from xr4dvar.training.hiding import HiddenShape, hider
from xr4dvar.types import DimsMapping, Labelled
from xr4dvar.verbs._covariates import known_fields
from xr4dvar.verbs._inputs import Inputs, check_device, grid_signature, read_inputs
from xr4dvar.verbs._kinds import as_labelled, with_places
from xr4dvar.verbs._leads import check_leads
from xr4dvar.verbs._patch_work import engine_of
from xr4dvar.verbs._periods import find_periods
from xr4dvar.verbs._placing import on_grid
from xr4dvar.verbs._states import as_operator_gives, as_state, named_as, state_variables
from xr4dvar.verbs._training_data import gathered

__all__ = ["fit"]


def fit(
    obs: Labelled | Observations | xr.DataTree,
    method: Method,
    target: Labelled | None = None,
    *,
    validation: slice | float = 0.15,
    grid: Labelled | None = None,
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
    obs : DataArray, Dataset, Observations or DataTree
        Observations on a grid, NaN where there is none; in memory or in chunks. A Dataset holds
        several variables on the same dimensions. Kinds that do not share a grid are `Observations`,
        on that of the target; nodes of a tree are kinds, as ``operators.Stacked`` of the method
        says.
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
    grid : DataArray or Dataset, optional
        The grid of the maps, where `obs` is `Observations` of kinds that have none, and there is no
        target.
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
    is_method = check_method("method", method, problems)
    whole = target if grid is None else grid
    obs, method, placed = as_labelled(
        obs, method, whole, dims=dims, periodic=periodic, problems=problems
    )
    if grid is not None and (placed is None or target is not None):
        what = "grid is given, and " + ("obs has one" if placed is None else "the target has one")
        problems.add(what, "leave it out: it is for Observations without a target")
    obs, _ = without_companions(obs)
    check_share("hidden", hidden, problems)
    check_choice("hidden_shape", hidden_shape, get_args(HiddenShape), problems)
    _check_options(options, is_method and _learns(method), problems)
    obs = as_operator_gives(obs, method)
    obs, _, observed = on_grid(
        obs, method, target, dims=dims, periodic=periodic, problems=problems, name="target"
    )
    states = state_variables(obs, method, problems)
    like = as_state(obs, states)
    if states or placed is not None:
        target = named_as(like, target)
    inputs, extra = read_inputs(
        obs, {} if states else {"target": target}, mask=mask, dims=dims, periodic=periodic,
        problems=problems, observed=observed,
    )  # fmt: skip
    inputs = with_places(replace(inputs, states=states), placed)
    if states:
        _, extra = read_inputs(
            like, {"target": target}, mask=mask, dims=dims, periodic=periodic, problems=problems
        )
    if target is not None:
        check_same_units(like, "target", target, problems)
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
    data = gathered(
        inputs, extra.get("target", []), known, method, (train, held_out), validation,
        hider(hidden_shape, hidden), learns=_learns(method), leads=leads,
    )  # fmt: skip
    about = {"variables": variables_signature(obs), "grid": grid_signature(inputs)}
    return _fit(method, data, options, {**about, "states": states}, known)


def _fit(
    method: Method,
    data: TrainingData,
    options: FitOptions,
    about: dict[str, Any],
    known: KnownFields,
) -> Model:
    """Fit the background first, then the method on top of it."""
    background = None
    if method.background is not None:
        background = _fit(method.background, data, options, about, known)
    engine = None
    if background is not None:
        engine = engine_of(background, options.device)
    parameters: Parameters = method.fit(data, options, engine)
    if not getattr(method, "takes_covariates", False):
        known = KnownFields()
    leads = data.leads if getattr(method, "takes_leads", False) else 0
    return Model(
        method, parameters, seed=options.seed, background=background, covariates=known.names,
        computed=known.computed, leads=leads, **about,
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
