"""What every verb does first: find the axes, check all labels, take the numbers out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels import (
    Grid,
    check_aligned,
    check_domain,
    domain_field,
    find_axes,
    make_grid,
    to_fields,
)
from xr4dvar.types import DimsMapping, Labelled

__all__ = ["Inputs", "is_dask", "read_inputs"]


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
        Cells that are wanted.
    """

    grid: Grid
    names: list[str]
    fields: list[Any]
    domain: Any | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every field."""
        return tuple(self.fields[0].shape)


def read_inputs(
    obs: Labelled,
    others: dict[str, Labelled | None],
    *,
    mask: xr.DataArray | None,
    dims: DimsMapping | None,
    periodic: Iterable[str],
) -> tuple[Inputs, dict[str, list[Any]]]:
    """Check the labels of the observations and of all that goes with them.

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
    grid = make_grid(obs, find_axes(obs, dims), periodic)
    given = {what: other for what, other in others.items() if other is not None}
    problems = Problems()
    with problems.collect():
        fields = to_fields(obs, grid)
    check_aligned(obs, given, problems)
    if mask is not None:
        check_domain(mask, obs, problems)
    problems.raise_if_any()
    names = [name for name, _ in fields]
    extra = {what: _fields_of(other, obs, grid) for what, other in given.items()}
    domain = None if mask is None else domain_field(mask, obs, grid)
    return Inputs(grid, names, [field for _, field in fields], domain), extra


def _fields_of(other: Labelled, obs: Labelled, grid: Grid) -> list[Any]:
    if isinstance(obs, xr.Dataset) and isinstance(other, xr.Dataset):
        other = other[list(obs.data_vars)]
    return [field for _, field in to_fields(other, grid)]


def is_dask(fields: Sequence[Any]) -> bool:
    """Whether any field is lazy."""
    return any(not isinstance(field, np.ndarray) for field in fields)
