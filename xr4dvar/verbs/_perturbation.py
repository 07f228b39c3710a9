"""Members of an ensemble from any method: its maps of observations with noise added to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xr4dvar.arguments import as_numbers
from xr4dvar.cell_noise import cell_noise
from xr4dvar.errors import InputError
from xr4dvar.model import Model
from xr4dvar.types import FloatArray
from xr4dvar.verbs._inputs import Inputs, is_dask

__all__ = ["VARIANCE", "check_variance", "observation_variance", "perturbed"]

#: What is to be given as the variance of the observation errors, for advice.
VARIANCE = "..., a number or a field in the data's units squared"


def observation_variance(model: Model, inputs: Inputs) -> list[FloatArray]:
    """What a method says the variance of the observation errors is, for each field.

    Parameters
    ----------
    model : Model
        Its method may have an ``error_variance``: one number, or one for each variable, or for
        each component of series.
    inputs : Inputs

    Returns
    -------
    list of numpy.ndarray
        In the data's units squared; they broadcast to the fields.

    Raises
    ------
    InputError
        The method has none.
    """
    count, size = len(inputs.names), inputs.shape[-1]
    name = type(model.method).__name__
    held = f"which {name} does not hold"
    given = getattr(model.method, "error_variance", None)
    if isinstance(given, Mapping):
        given = [given[field] for field in inputs.names]
    each = as_numbers(given)
    if each is not None and np.isfinite(each).all():
        # what an estimate has found it to be
        factors = model.parameters.settings.get("variance_factors", {})
        each = np.asarray(each * factors.get("error_variance", 1.0))  # of one number no scalar
        if each.ndim == 0:
            return [each] * count
        if each.shape == (count,):
            return list(each[:, np.newaxis])
        if each.shape == (count * size,):
            return list(each.reshape(count, size))
        held = f"which {name} holds as a matrix"
    what = f"members need the variance of each observation's error, {held}"
    raise InputError([(what, f"give error_variance={VARIANCE}")])


def perturbed(
    inputs: Inputs, variances: Sequence[Any], members: int, seed: int
) -> Iterator[list[Any]]:
    """Give the fields of each member, with independent noise on every observation.

    What is drawn for a cell follows from the seed, the member and the cell's place.
    """
    for member in range(members):
        yield [
            _with_noise(field, variance, (seed, member, v), name)
            for v, (field, variance, name) in enumerate(
                zip(inputs.fields, variances, inputs.names, strict=True)
            )
        ]


def check_variance(variance: FloatArray, y: FloatArray, name: str) -> None:
    """Raise where an observation has no variance, or one that is not positive."""
    used = variance[np.isfinite(y)]
    bad = used[~(used > 0)]
    if bad.size:
        what = f"error_variance of {name!r} is {bad[0]:g} at {bad.size} observations"
        fix = "give a positive variance wherever there is an observation"
        raise InputError([(what, fix)])


def _with_noise(field: Any, variance: Any, key: Sequence[int], name: str) -> Any:
    if not is_dask([field, variance]):
        return _noisy(field, variance, [(0, size) for size in field.shape], key, name)
    import dask.array as da

    field = da.asarray(field)
    variance = da.broadcast_to(da.asarray(variance), field.shape).rechunk(field.chunks)

    return da.map_blocks(
        _noisy_block, field, variance, key=key, variable=name, dtype=field.dtype, meta=field._meta
    )


def _noisy_block(
    y: FloatArray,
    variance: FloatArray,
    *,
    key: Sequence[int],
    variable: str,
    block_info: Any = None,
) -> FloatArray:
    return _noisy(y, variance, block_info[0]["array-location"], key, variable)


def _noisy(
    y: FloatArray,
    variance: FloatArray,
    places: Sequence[tuple[int, int]],
    key: Sequence[int],
    name: str,
) -> FloatArray:
    """Observations at some places of the whole array, plus noise; no data stay none."""
    variance = np.broadcast_to(variance, y.shape)
    check_variance(variance, y, name)
    noise = cell_noise(key, np.ogrid[tuple(slice(*place) for place in places)])
    return np.asarray(y + np.sqrt(variance) * noise, dtype=y.dtype)
