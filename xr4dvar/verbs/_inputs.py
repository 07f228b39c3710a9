"""What every verb does first: find the axes, check all labels, take the numbers out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from xr4dvar.arguments import check_number, is_number, is_word, shown
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import (
    Grid,
    check_aligned,
    check_domain,
    check_places,
    check_variance_units,
    decoded,
    domain_field,
    find_axes,
    make_grid,
    to_fields,
    without_companions,
)
from xr4dvar.labels.alignment import sizes_of
from xr4dvar.operators.operator import Operator
from xr4dvar.types import DimsMapping, Labelled

__all__ = [
    "Inputs",
    "as_variances",
    "check_device",
    "check_labelled",
    "check_names_of_axes",
    "check_numbers",
    "grid_signature",
    "is_dask",
    "read_inputs",
]


@dataclass(frozen=True)
class Inputs:
    """Numbers of the observations in canonical order, and the grid they are on.

    Parameters
    ----------
    grid : Grid
    names : list of str
    fields : list of array (batch..., time, y, x)
        numpy or dask, one a variable.
    domain : array of bool, optional
        Cells that are wanted; the fields are NaN elsewhere.
    covariates : sequence of array
        Fields that are known and not mapped.
    operator : Operator, optional
        That of the method, with the places of the observations.
    states : mapping of str to str
        Names and units of the variables that are mapped, where these are others than are observed.
    """

    grid: Grid
    names: list[str]
    fields: list[Any]
    domain: Any | None = None
    covariates: Sequence[Any] = ()
    states: Mapping[str, str] = field(default_factory=dict)
    operator: Operator | None = None

    @property
    def state_names(self) -> list[str]:
        """Variables that are mapped."""
        return list(self.states) or self.names

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every field."""
        return tuple(self.fields[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64 where any field is, else float32: what patches are stitched in."""
        return np.result_type(*(values.dtype for values in self.fields))


def read_inputs(
    obs: Labelled,
    others: dict[str, Labelled | None],
    *,
    mask: xr.DataArray | None,
    dims: DimsMapping | None,
    periodic: Iterable[str],
    problems: Problems | None = None,
    observed: Grid | None = None,
) -> tuple[Inputs, dict[str, list[Any]]]:
    """Check the labels of the observations and of all that goes with them.

    Parameters
    ----------
    obs, mask, dims, periodic
        See `fit`.
    others : dict of str to DataArray, Dataset or None
        Target, error variance, ...: on the grid of `obs`.
    problems : Problems, optional
        What was found wrong before; raised together with what is found here, if anything is.
    observed : Grid, optional
        The grid of the observations, where `obs` holds each in the cell that stands for it: that
        may lie outside of `mask`.

    Returns
    -------
    Inputs
    dict of str to list of array
        The fields of each of `others` that is not None.

    Raises
    ------
    InputError
        With every problem of axes, coordinates, types and alignment.
    """
    problems = Problems() if problems is None else problems
    before = len(problems.found)
    given = {what: other for what, other in others.items() if other is not None}
    for what, value in {"obs": obs, **given}.items():
        check_labelled(what, value, problems)
    check_names_of_axes(dims, periodic, problems)
    if len(problems.found) > before:
        raise InputError(problems.found)
    given = {what: _of_variables(obs, other) for what, other in given.items()}
    grid = _grid(obs, dims, periodic, problems)
    fields: dict[str, list[tuple[str, Any]]] = {}
    check_aligned(obs, given, problems)
    if mask is not None:
        check_domain(mask, obs, problems)
    if "error_variance" in given:
        check_variance_units(obs, given["error_variance"], problems)
    if grid is not None:
        fields = _all_fields(obs, given, grid, problems)
        if isinstance(mask, xr.DataArray):
            mask = decoded("mask", mask, problems)
            given = given | {"mask": mask}
        check_places(obs, given, grid.axes.coordinates.values(), problems)
    if grid is None or len(problems.found) > before:
        raise InputError(problems.found)
    domain = None if mask is None else domain_field(mask, obs, grid)
    names = [name for name, _ in fields["obs"]]
    elsewhere = ("obs", "error_variance") if observed is not None else ()
    numbers = {
        what: [one if what in elsewhere else _within(domain, one) for _, one in pairs]
        for what, pairs in fields.items()
    }
    grid = replace(grid, observed=observed)
    return Inputs(grid, names, numbers.pop("obs"), domain), numbers


def grid_signature(inputs: Inputs) -> dict[str, Any]:
    """`Grid.signature`, with that of the observations under ``"observed"`` where it is another."""
    signature = inputs.grid.signature()
    if inputs.grid.observed is not None:
        signature["observed"] = inputs.grid.observed.signature()
    return signature


def check_numbers(inputs: Inputs, problems: Problems, *, empty: bool = False) -> None:
    """Note variables in memory without any value, or with infinite ones. dask is left alone.

    Where `empty`, nothing but missing values is let pass.
    """
    for name, values in zip(inputs.names, inputs.fields, strict=True):
        if not isinstance(values, np.ndarray):
            continue
        pieces = values if values.ndim > 1 else [values]  # one at a time: little memory
        if not empty and not any(bool(np.isfinite(piece).any()) for piece in pieces):
            problems.add(
                f"{name!r} has no value, all is missing",
                "check the variable, the selection and the mask",
            )
        if infinite := sum(int(np.isinf(piece).sum()) for piece in pieces):
            problems.add(
                f"{name!r} has {infinite} infinite values",
                "mark them as missing, obs.where(np.isfinite(obs))",
            )


def as_variances(error_variance: Any, obs: Any, problems: Problems) -> Any:
    """The variances of the observation errors on the grid of `obs`: one number is that of all.

    Anything but a number comes back as it is, to be checked as a field.
    """
    if isinstance(error_variance, bool) or not isinstance(error_variance, Real):
        return error_variance
    check_number("error_variance", error_variance, problems)
    if isinstance(obs, xr.DataArray):
        return _constant(obs, error_variance)
    if isinstance(obs, xr.Dataset):
        return xr.Dataset({name: _constant(array, error_variance) for name, array in obs.items()})
    return None


def _constant(like: xr.DataArray, value: Real) -> xr.DataArray:
    """One number on the grid of an array, in its chunks, and in memory in no place of its own."""
    number = np.float64(value if is_number(value) else np.nan)  # what is none was refused
    constant = like.copy(data=np.broadcast_to(number, like.shape))
    if like.chunks is not None:
        constant = xr.full_like(like, number, dtype=np.float64)
    constant.attrs = {}  # units among them, which are not those of a variance
    return constant


def check_device(device: object, problems: Problems, *, here: bool = True) -> None:
    """Note a device that torch does not know or, if it is to compute here, that is not there.

    What dask computes later may run on other machines, which have their own devices.
    """
    if is_word(device, "auto"):
        return
    from xr4dvar.training.device import choose_device, known_device

    with problems.collect():
        (choose_device if here else known_device)(device)


def is_dask(fields: Sequence[Any]) -> bool:
    """Whether any field is lazy."""
    return any(not isinstance(field, np.ndarray) for field in fields)


def check_labelled(what: str, value: object, problems: Problems) -> None:
    """Note what is no DataArray or Dataset."""
    if isinstance(value, xr.DataArray | xr.Dataset):
        return
    fix = f"give {what} as a DataArray or a Dataset"
    if what == "obs" and type(value).__name__ in ("Observations", "DataTree"):
        fix = "fit, reconstruct and map_points alone take several kinds of observations"
    if isinstance(value, np.ndarray) and what == "obs":
        fix = f"label it, xr.DataArray({what}, dims=..., coords=...)"
    elif what != "obs":
        fix = f"{fix}, for example {_EXAMPLES.get(what, 'xr.zeros_like(obs)')}"
    problems.add(f"{what} is a {type(value).__name__}, not a DataArray or Dataset", fix)


_EXAMPLES = {
    "target": "obs.copy(data=target)",
    "error_variance": "obs_error**2, or one number for all",
}


def check_names_of_axes(dims: object, periodic: object, problems: Problems) -> None:
    """Note names of axes that are no mapping of texts, or no texts."""
    if not (dims is None or isinstance(dims, Mapping)):
        problems.add(
            f"dims is {shown(dims)}, not a mapping",
            'name the axes, dims={"time": "t", "lat": "row"}',
        )
    listed = isinstance(periodic, Collection) and getattr(periodic, "ndim", 1) > 0
    if not listed or not all(isinstance(name, str) for name in list(periodic)):  # type: ignore[call-overload]
        fix = 'name the axes that close, periodic=("lon",)'
        problems.add(f"periodic is {shown(periodic)}", fix)


def _grid(
    obs: Labelled, dims: DimsMapping | None, periodic: Iterable[str], problems: Problems
) -> Grid | None:
    try:
        return make_grid(obs, find_axes(obs, dims), periodic)
    except InputError as error:
        problems.found.extend(error.problems)
        return None


def _of_variables(obs: Labelled, other: Labelled) -> Labelled:
    """What goes with the variables of the observations: all, where both are not Datasets."""
    if not (isinstance(obs, xr.Dataset) and isinstance(other, xr.Dataset)):
        return other
    names = [name for name in obs.data_vars if name in other.data_vars]
    return without_companions(other[names])[0] if names else other


def _all_fields(
    obs: Labelled, others: Mapping[str, Labelled], grid: Grid, problems: Problems
) -> dict[str, list[tuple[str, Any]]]:
    """Fields of all that can be read; `check_aligned` reports the rest."""
    fields = {}
    for what, value in {"obs": obs, **others}.items():
        if type(value) is type(obs) and set(sizes_of(value)) == set(sizes_of(obs)):
            before = len(problems.found)
            value = decoded(what, value, problems)
            if len(problems.found) == before:
                fields[what] = _fields_of(what, value, grid, problems)
    return fields


def _fields_of(what: str, value: Labelled, grid: Grid, problems: Problems) -> list[tuple[str, Any]]:
    try:
        return to_fields(value, grid)
    except InputError as error:
        for problem, fix in error.problems:
            problems.add(problem if what == "obs" else f"{what}: {problem}", fix)
    return []


def _within(domain: Any | None, values: Any) -> Any:
    """The field with NaN outside of the domain: what land was filled with is no observation."""
    if domain is None:
        return values
    missing = values.dtype.type(np.nan)
    if not is_dask([domain, values]):
        return np.where(domain, values, missing)
    import dask.array as da

    return da.where(domain, values, missing)
