"""The verb `cost_curve`: how the cost of each window goes down, as a labelled Dataset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import xarray as xr

from xr4dvar.contract.engine import can
from xr4dvar.contract.observing import operator_of
from xr4dvar.errors import Problems
from xr4dvar.labels import without_companions
from xr4dvar.methods import Curves, Method
from xr4dvar.model import Model
from xr4dvar.operators.operator import is_mask
from xr4dvar.options import OPTIONS
from xr4dvar.types import DimsMapping, FloatArray, Labelled
from xr4dvar.verbs._inputs import Inputs, as_variances, check_device, check_numbers, read_inputs
from xr4dvar.verbs._patch_work import Output, PatchWork, engine_of
from xr4dvar.verbs._placing import on_grid
from xr4dvar.verbs._run import BATCH_CELLS, Run, make_plan
from xr4dvar.verbs._states import as_operator_gives, state_variables
from xr4dvar.verbs.reconstruct import (
    as_model,
    can_be_empty,
    check_takes_error_variance,
    with_provenance,
)

__all__ = ["cost_curve"]

_ATTRS = {
    "cost": {"long_name": "cost before and after each step of the solver", "units": "1"},
    "cost_of_term": {"long_name": "what each term adds to the cost", "units": "1"},
    "gradient_norm": {
        "long_name": "Euclidean norm of the gradient of the cost",
        "comment": "with respect to what the solver looks for, in its own units",
    },
}


def cost_curve(
    obs: Labelled,
    model: Model | Method,
    *,
    grid: Labelled | None = None,
    mask: xr.DataArray | None = None,
    error_variance: Labelled | float | None = None,
    dims: DimsMapping | None = None,
    periodic: Iterable[str] = (),
    device: str | None = None,
) -> xr.Dataset:
    """Say how the cost of each window goes down while it is reconstructed.

    For methods that minimise a cost without learned steps. Of `FourDVar` it is the cost of the
    last of its descents, that with the model error as given, from the first guess whose minimum
    is kept; of `Variational` the whole descent from its background. The last cost is that of the
    map that `reconstruct` gives. All is computed now, arrays in chunks too.

    Parameters
    ----------
    obs, model, grid, mask, error_variance, dims, periodic, device
        See `reconstruct`.

    Returns
    -------
    Dataset
        ``cost``, ``cost_of_term`` (along ``term``: ``"observations"`` and ``"background"``,
        ``"model"``, ``"prior"`` or ``"code"``) and ``gradient_norm``, along the dimensions of
        `obs` that are not axes (such as ``window``), with their coordinates, and ``step``: 0
        before the first, up to where the last window has settled. The cost is half a sum of
        squares in units of the standard errors. The norm is that of the gradient with respect to
        what is looked for: all states of a window in the data's units (`FourDVar`, weak
        constraint) or the first of them (strong constraint), the state in units of the data's
        spread or the code (`Variational`).

    Raises
    ------
    InputError
        The method minimises no cost, or cuts what is one entry of `obs` into several patches; and
        with every way in which the data do not fit the model.

    Examples
    --------
    >>> ds = xv.datasets.lorenz63(windows=2, observed=("x", "y", "z"))
    >>> method = xv.FourDVar(xv.Lorenz63(dt=0.01), error_variance=2.0, climate=500)
    >>> curve = xv.cost_curve(ds.obs, method)
    >>> curve.cost.dims
    ('window', 'step')
    >>> bool((curve.cost.diff("step") <= 0).all())
    True
    """
    obs, _ = without_companions(obs)
    problems = Problems()
    method = model.method if isinstance(model, Model) else model
    obs = as_operator_gives(obs, method)
    variance = as_variances(error_variance, obs, problems)
    obs, variance, observed = on_grid(
        obs, method, grid, error_variance=variance, dims=dims, periodic=periodic,
        problems=problems,
    )  # fmt: skip
    inputs, extra = read_inputs(
        obs, {"error_variance": variance}, mask=mask, dims=dims, periodic=periodic,
        problems=problems, observed=observed,
    )  # fmt: skip
    inputs = replace(inputs, states=state_variables(obs, method, problems))
    device = OPTIONS["device"] if device is None else device
    check_device(device, problems)
    check_numbers(inputs, problems, empty=can_be_empty(model))
    with problems.collect():
        model = as_model(obs, model, inputs)
        if error_variance is not None:
            check_takes_error_variance(model, problems)
        _check(obs, model, inputs, problems)
    problems.raise_if_any()
    if is_mask(operator_of(model.method)):  # else land is part of what is observed
        inputs = replace(inputs, domain=None)
    run = Run(inputs, None, device, progress=False)
    work, fields = run.prepared(model, extra.get("error_variance", []), Output())
    curves = _curves(work, [np.asarray(field) for field in fields])
    call = f"cost_curve(obs, {type(model.method).__name__})"
    curve = _labelled(curves, obs, inputs)
    return curve.assign_attrs(with_provenance(curve, obs, model, call).attrs)


def _check(obs: Labelled, model: Model, inputs: Inputs, problems: Problems) -> None:
    """Note a method without a cost, and one that does not see all of an entry at once."""
    name = type(model.method).__name__
    if not can(model.method, "curves"):
        what = f"{name} minimises no cost by steps that are not learned"
        problems.add(what, "use FourDVar, or Variational with any prior but a Denoiser")
    for dim in ("step", "term"):
        if dim in obs.dims or dim in obs.coords:
            what = f"{dim!r}, a dimension of a curve, is there already"
            problems.add(what, f"rename it, obs.rename({dim}=...)")
    patch = make_plan(model, inputs).patch_shape
    for dim, seen, size in zip(inputs.grid.axes.dims, patch, inputs.shape, strict=True):
        if dim not in inputs.grid.axes.batch and seen < size:
            what = f"{name} sees {seen} of the {size} steps of {dim!r} at once: they have no cost"
            problems.add(what, f"select so many, obs.isel({dim}=slice({seen}))")


def _curves(work: PatchWork, fields: list[FloatArray]) -> Curves:
    """Of all entries (entries..., steps + 1), up to where the last has settled."""
    shape = fields[0].shape
    batch, cells = shape[: len(shape) - len(work.grid.shape)], work.grid.shape
    entries = np.indices(batch).reshape(len(batch), int(np.prod(batch))).T
    origins = np.pad(entries, ((0, 0), (0, len(cells))))
    patches = [field.reshape(-1, *(1 for _ in batch), *cells) for field in fields]
    engine = engine_of(work.model, work.device)
    size = max(1, BATCH_CELLS // int(np.prod(cells)))
    found = []
    for n in range(0, len(origins), size):
        part = slice(n, n + size)
        given = work.given([field[part] for field in patches], origins[part])
        with work.naming(origins[part]):
            found.append(engine.curves(given))
    terms = {name: np.concatenate([one.terms[name] for one in found]) for name in found[0].terms}
    norms = np.concatenate([one.gradient_norms for one in found])
    costs = np.stack(list(terms.values())).sum(0)
    changing = np.flatnonzero((costs != costs[:, -1:]).any(0))
    kept = int(changing.max(initial=-1)) + 2

    def cut(values: FloatArray) -> FloatArray:
        return values[:, :kept].reshape(*batch, -1)

    return Curves({name: cut(values) for name, values in terms.items()}, cut(norms))


def _labelled(curves: Curves, obs: Labelled, inputs: Inputs) -> xr.Dataset:
    each = np.stack(list(curves.terms.values()))
    batch = inputs.grid.axes.batch
    coords = {name: c.variable for name, c in obs.coords.items() if set(c.dims) <= set(batch)}
    steps = xr.Variable("step", np.arange(each.shape[-1]), {"long_name": "steps of the solver"})
    terms = xr.Variable("term", list(curves.terms), {"long_name": "terms of the cost"})
    dims = (*batch, "step")
    variables = {
        "cost": (dims, each.sum(0), _ATTRS["cost"]),
        "cost_of_term": (("term", *dims), each, _ATTRS["cost_of_term"]),
        "gradient_norm": (dims, curves.gradient_norms, _ATTRS["gradient_norm"]),
    }
    return xr.Dataset(variables, coords | {"step": steps, "term": terms})
