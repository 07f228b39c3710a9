"""The verb `reconstruct`: gappy observations and a model in, complete fields out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from os import PathLike

import xarray as xr

from xr4dvar.arguments import check_count, check_flag, check_progress, check_seed
from xr4dvar.contract.engine import can
from xr4dvar.contract.observing import check_reach
from xr4dvar.covariates.reading import Given
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import (
    Grid,
    annotate,
    as_members,
    check_error_names,
    check_same_grid,
    check_same_variables,
    from_fields,
    in_order,
    put_back,
    variables_signature,
    with_errors,
    without_companions,
)
from xr4dvar.methods import Describes, Method, check_method, check_periods, knows_states
from xr4dvar.model import Model
from xr4dvar.observations import Observations
from xr4dvar.options import OPTIONS
from xr4dvar.types import DimsMapping, Labelled
from xr4dvar.verbs._covariates import with_covariates
from xr4dvar.verbs._inputs import (
    Inputs,
    as_variances,
    check_device,
    check_numbers,
    grid_signature,
    is_dask,
    read_inputs,
)
from xr4dvar.verbs._kinds import (
    as_labelled,
    errors_of_kinds,
    with_places,
)
from xr4dvar.verbs._leads import check_window
from xr4dvar.verbs._patch_work import Output
from xr4dvar.verbs._perturbation import VARIANCE, observation_variance
from xr4dvar.verbs._placing import on_grid
from xr4dvar.verbs._run import Run, takes_error_variance
from xr4dvar.verbs._states import as_operator_gives, as_state, state_variables

__all__ = [
    "as_model",
    "can_be_empty",
    "check_error",
    "check_model_periods",
    "check_takes_error_variance",
    "reconstruct",
    "with_provenance",
]


def reconstruct(
    obs: Labelled | Observations | xr.DataTree,
    model: Model | Method,
    *,
    grid: Labelled | None = None,
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
    """Complete gappy fields.

    Arrays in memory are solved now, patch by patch; arrays in chunks give a lazy result with
    the same chunks, of which nothing has been computed. Each patch is solved once.

    Parameters
    ----------
    obs : DataArray, Dataset, Observations or DataTree
        Observations, NaN where there is none, as `model` was fitted for. Variables of a Dataset
        that CF names as companions of others, such as bounds, are left alone.
    model : Model or Method
        What `fit` returned, or a method that needs no fit, such as
        ``OptimalInterpolation(length=...)``.
    grid : DataArray or Dataset, optional
        The grid of the maps, where the method's operator observes another one
        (`operators.BlockMean`) or has places of its own (`Observations`): dimensions and
        coordinates; its data are not looked at.
    covariates : DataArray, Dataset, or a sequence of these, optional
        The fields that the model was fitted with (`Model.covariates`), on the grid of the maps, or
        of more times and cells; those that it computes by itself need not be given.
    mask : DataArray of bool, optional
        True for cells that are wanted (sea), on some or all dimensions of `obs`; what was
        observed at the others is not used, and they are missing in the result. With `grid` it is
        on that.
    error_variance : float, DataArray or Dataset, optional
        Variance of each observation's error, in the data's units squared (other known units are
        refused): one number for all, or on the grid of `obs`; for methods that weigh observations
        by it (`OptimalInterpolation`, also as a background, `FourDVar`, `CycledFourDVar`,
        `Variational`), and for the members of any.
    error : bool
        Also give the standard deviation of the error of each map, for methods that know it
        (`OptimalInterpolation`, `FourDVar`, `CycledFourDVar`, `DataAssimilationNetwork`, and
        `Variational` where a code is what is looked for).
    ensemble : int, optional
        Give that many members of what the truth may be, along a first dimension ``member``, in
        place of one map. `FourDVar` and `Variational` draw from the posterior (randomised maximum
        likelihood). Any other method maps observations with noise of their errors added
        (`error_variance`, here or of the method): the spread is then what the noise does to the
        maps, less than their error where there are few observations.
    seed : int
        What is drawn for the members follows from it, however the data are chunked.
    dims, periodic
        See `fit`.
    batch_size : int, optional
        Patches handed to the method at once.
    device : str, optional
        See `fit`.
    progress : bool, optional
        Show a bar while arrays in memory are solved; default: `set_options`.

    Returns
    -------
    DataArray or Dataset
        Dimensions, order, coordinates, attributes, float type and chunks of `obs` (with `grid`
        its coordinates, and chunks that follow from those of `obs`); CF ``history``
        and ``xr4dvar_*`` attributes say how it was made. With ``error=True`` a Dataset, in which
        the error of a map ``ssh`` is ``ssh_error``, in the same units; where patches overlap it
        is blended as the maps are.

    Raises
    ------
    InputError
        With every way in which the data do not fit the model.

    Examples
    --------
    >>> obs = xv.datasets.gulfstream_twin().ssh_nadir4.isel(time=slice(0, 20)).chunk(time=10)
    >>> oi = xv.OptimalInterpolation(length={"time": "7D", "lat": 1.0, "lon": 1.0})
    >>> maps = xv.reconstruct(obs, oi)
    >>> maps.chunks == obs.chunks
    True
    """
    problems = Problems()
    if batch_size is not None:
        check_count("batch_size", batch_size, problems)
    own = error_variance if isinstance(obs, xr.DataArray) else None
    obs, model, placed = as_labelled(
        obs, model, grid, dims=dims, periodic=periodic, problems=problems, error_variance=own
    )
    if placed is not None:
        given = None if own is not None else error_variance
        grid, error_variance = None, errors_of_kinds(placed, given, problems)
    obs, companions = without_companions(obs)
    check_flag("error", error, problems)
    check_seed(seed, problems)
    check_progress(progress, problems)
    method = model.method if isinstance(model, Model) else model
    if isinstance(model, Model):
        obs = in_order(obs, model.variables)
    obs = as_operator_gives(obs, method)
    variances = as_variances(error_variance, obs, problems)
    obs, variances, observed = on_grid(
        obs, method, grid, error_variance=variances, dims=dims, periodic=periodic,
        problems=problems,
    )  # fmt: skip
    inputs, extra = read_inputs(
        obs, {"error_variance": variances}, mask=mask, dims=dims, periodic=periodic,
        problems=problems, observed=observed,
    )  # fmt: skip
    states = state_variables(obs, method, problems)
    inputs = with_places(replace(inputs, states=states), placed)
    inputs = with_covariates(inputs, covariates, obs, model, problems)
    like = as_state(obs, states)
    device = OPTIONS["device"] if device is None else device
    check_device(device, problems, here=not is_dask([*inputs.fields, *inputs.covariates]))
    check_numbers(inputs, problems, empty=can_be_empty(model))
    with problems.collect():
        model = as_model(obs, model, inputs)
        noisy = ensemble is not None and not can(model.method, "members")
        if error_variance is not None and not noisy:
            check_takes_error_variance(model, problems)
        elif error_variance is None and noisy:
            observation_variance(model, inputs)  # raises where there is none
    check_window(model, inputs.grid, problems)
    if error is True:
        check_error(like, model, problems)
    if ensemble is not None:
        _check_ensemble(obs, ensemble, error, problems)
    problems.raise_if_any()
    run = Run(inputs, batch_size, device, progress)
    output = Output(error, ensemble or 0, seed)
    arrays = run.solve(model, extra.get("error_variance", []), output)
    count = len(inputs.state_names)
    parts = [arrays[n : n + count] for n in range(0, len(arrays), count)]
    fields = [from_fields(part, like, inputs.grid) for part in parts]
    maps = fields[0] if ensemble is None else as_members(fields)
    maps = with_provenance(maps, obs, model, f"reconstruct(obs, {type(model.method).__name__})")
    return put_back(with_errors(maps, fields[1]) if error else maps, companions)


def as_model(obs: Labelled, model: Model | Method, inputs: Inputs) -> Model:
    """Check that a model fits the data; make one of a method that needs no fit."""
    problems = Problems()
    if isinstance(model, Model):
        check_same_variables(model.variables, obs, problems)
        check_same_grid(model.grid, inputs.grid, problems)
        observed = inputs.grid.observed
        if observed is not None and "observed" in model.grid:
            check_same_grid(model.grid["observed"], observed, problems)
        if not problems.found:  # the patch is told by the axes that they share
            _check_patch(model, inputs.grid, problems)
            check_model_periods(model, inputs.grid, problems)
            check_reach(model.method, inputs.grid, model.parameters, problems)
        problems.raise_if_any()
        return model
    if isinstance(model, str | PathLike):
        problems.add(f"model is {str(model)!r}, a text", f"model = xr4dvar.load({str(model)!r})")
    elif check_method("model", model, problems):
        with problems.collect():
            model.check(inputs.grid, inputs.names)
    problems.raise_if_any()
    parameters = model.known(inputs.grid, inputs.names)
    if parameters is None:
        name = type(model).__name__
        what = f"{name} has to be fitted before it can reconstruct"
        raise InputError(
            [(what, f"model = obs.fourdvar.fit({name}(...)), then reconstruct(model)")]
        )
    check_periods(model, inputs.grid, problems, parameters)
    check_reach(model, inputs.grid, parameters, problems)
    problems.raise_if_any()
    background = None if model.background is None else as_model(obs, model.background, inputs)
    variables, grid = variables_signature(obs), grid_signature(inputs)
    return Model(model, parameters, variables, grid, background=background, states=inputs.states)


def check_model_periods(model: Model, grid: Grid, problems: Problems) -> None:
    """Note axes that do not close for a model, or for what it starts from."""
    check_periods(model.method, grid, problems, model.parameters)
    if model.background is not None:
        check_model_periods(model.background, grid, problems)


def can_be_empty(model: object) -> bool:
    """Whether a model, or a method, can do without any observation."""
    return knows_states(model.method if isinstance(model, Model) else model)


def _check_patch(model: Model, grid: Grid, problems: Problems) -> None:
    for role, window in model.method.windows(grid, model.parameters).items():
        size = grid[role].size
        if window.patch > size:
            problems.add(
                f"the model sees {window.patch} steps of {grid[role].name!r} at once, "
                f"the data have {size}",
                f"give at least {window.patch}, or fit with a smaller patch=",
            )


def check_error(obs: Labelled, model: Model | Method, problems: Problems) -> None:
    """Note a method that does not know the error of its maps, and names that are taken."""
    method = model.method if isinstance(model, Model) else model
    if not can(method, "errors"):
        own = getattr(method, "error_variance", None)
        has = can(method, "members") or own is not None
        members = "ensemble=20" if has else f"ensemble=20, error_variance={VARIANCE}"
        problems.add(
            f"{type(method).__name__} does not know the error of its maps",
            f"draw members, reconstruct(model, {members}), or use OptimalInterpolation, FourDVar "
            "or, of EOFs or an AutoEncoder, Variational with control='latent'",
        )
    check_error_names(obs, problems)


def _check_ensemble(obs: Labelled, ensemble: object, error: bool, problems: Problems) -> None:
    check_count("ensemble", ensemble, problems)
    if error is True:
        what = "error=True and ensemble= exclude each other"
        problems.add(what, 'the spread says it too: members.std("member")')
    if "member" in obs.dims or "member" in obs.coords:
        what = "'member', the dimension of an ensemble, is there already"
        problems.add(what, "rename it, obs.rename(member=...)")


def check_takes_error_variance(model: Model, problems: Problems) -> None:
    """Note error variances that are of no use."""
    if not takes_error_variance(model):
        what = "error_variance is of no use to this model"
        fix = (
            "leave it out, draw members with it, ensemble=20, or use OptimalInterpolation, or a "
            "method whose own is no matrix"
        )
        problems.add(what, fix)


def with_provenance(result: Labelled, obs: Labelled, model: Model, call: str) -> Labelled:
    """Write into the attributes how a result was made."""
    return annotate(
        result,
        obs,
        method=type(model.method).__name__,
        config=model.config["method"],
        found=model.method.described(model.parameters, model.grid["axes"])
        if isinstance(model.method, Describes)
        else None,
        digest=model.digest,
        seed=model.seed,
        call=call,
    )
