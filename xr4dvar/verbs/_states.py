"""Maps of other variables than are observed: heights from currents, one field from two kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xr4dvar.contract.observing import operator_of
from xr4dvar.errors import Problems
from xr4dvar.labels import in_order, variables_signature
from xr4dvar.labels.stacking import named_arrays
from xr4dvar.types import Labelled

__all__ = ["as_operator_gives", "as_state", "named_as", "state_variables"]

#: Attributes of a field that are true of another one on its grid.
_SHARED_ATTRS = ("grid_mapping", "coordinates")


def as_operator_gives(obs: Labelled, method: object) -> Labelled:
    """Put the variables of a Dataset in the order in which an operator gives them."""
    if not isinstance(obs, xr.Dataset):
        return obs
    order = operator_of(method).fields([str(name) for name in obs.data_vars])
    return in_order(obs, dict.fromkeys(order, ""))


def state_variables(obs: Any, method: object, problems: Problems) -> dict[str, str]:
    """Names and units of the variables that are mapped; empty where they are the observed ones.

    Parameters
    ----------
    obs : DataArray or Dataset
    method : Method
    problems : Problems
        Gets units in which the operator cannot observe anything.
    """
    if not isinstance(obs, xr.DataArray | xr.Dataset):
        return {}  # which `read_inputs` tells
    units, operator = variables_signature(obs), operator_of(method)
    if sorted(operator.fields(list(units))) != sorted(units):
        return {}  # which the check of the operator tells
    found = operator.check_units(units, problems)
    for name in found:
        if name in obs.coords or name in obs.dims:
            what = f"{name!r}, the variable that is mapped, is the name of a coordinate"
            problems.add(what, "name another, of={...: 'ssh'} or Geostrophic(height='ssh')")
    return {} if list(found) == list(units) else found


def as_state(obs: Labelled, states: Mapping[str, str]) -> Labelled:
    """An array, or a Dataset, whose labels are those of the maps.

    Its values are not those of the maps; of a variable that is observed itself, the rest is.
    """
    if not states:
        return obs
    known = named_arrays(obs)
    like = next(iter(known.values()))
    empty = like.copy(data=np.broadcast_to(like.dtype.type(np.nan), like.shape))
    empty.attrs = {key: like.attrs[key] for key in _SHARED_ATTRS if key in like.attrs}
    empty.encoding = {}
    made: dict[str, Any] = {}
    for name, units in states.items():
        own = known.get(name, empty)
        made[name] = own.assign_attrs(units=units) if units else own
    if isinstance(obs, xr.DataArray) and len(made) == 1:
        ((name, own),) = made.items()
        alone: xr.DataArray = own.rename(name)
        return alone
    return xr.Dataset(made, attrs=obs.attrs if isinstance(obs, xr.Dataset) else {})


def named_as(like: Labelled, other: Any) -> Any:
    """A single array as the Dataset of one that another is, by its name."""
    if isinstance(like, xr.Dataset) and isinstance(other, xr.DataArray) and len(like) == 1:
        (name,) = like.data_vars
        return other.to_dataset(name=name)
    return other
