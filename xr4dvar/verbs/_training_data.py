"""What a method learns from: the numbers of a fit, their statistics, and how they are read."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from xr4dvar.contract.observing import binder_of
from xr4dvar.contract.training_data import Covariates, TrainingData
from xr4dvar.covariates.reading import KnownFields
from xr4dvar.errors import Problems
from xr4dvar.labels import Normalisation, check_values, summarise
from xr4dvar.methods import Method
from xr4dvar.training.hiding import Hide
from xr4dvar.verbs._covariates import statistics
from xr4dvar.verbs._inputs import Inputs, is_dask
from xr4dvar.verbs._periods import Period, hold_entries

__all__ = ["gathered"]

log = logging.getLogger("xr4dvar")

#: Data of up to so many bytes are read once; larger ones block by block.
IN_MEMORY = 2 * 2**30


def gathered(
    inputs: Inputs,
    target: list[Any],
    known: KnownFields,
    method: Method,
    periods: tuple[Period, Period],
    validation: slice | float,
    hide: Hide,
    *,
    learns: bool,
    leads: int,
) -> TrainingData:
    """Check the values, and say how to read them.

    Parameters
    ----------
    inputs : Inputs
    target : list of array
        Its fields; empty where there is none.
    known : KnownFields
        Covariates.
    method : Method
        Its operator is bound.
    periods : tuple
        Of training and of validation.
    validation, hide, leads
        See `fit`.
    learns : bool
        Whether there must be values to validate on.
    """
    fields = _loaded([*inputs.fields, *target])
    covariates = _covariates(known)
    train, held_out = periods
    named = {"training": train} | ({"validation": held_out} if learns else {})
    normalisation = _normalisation(inputs, fields, named)
    entries = None
    if train == held_out:  # too short to be cut
        entries = hold_entries(inputs.shape, inputs.grid, validation)
        _log_what_validates(inputs, train, entries)
    return TrainingData(
        read=_reader(fields),
        shape=inputs.shape,
        names=inputs.names,
        grid=inputs.grid,
        normalisation=normalisation,
        supervised=bool(target),
        train=train,
        validation=held_out,
        hide=hide,
        train_entries=entries and entries[0],
        validation_entries=entries and entries[1],
        binder=binder_of(method, inputs.grid, inputs.domain, inputs.operator),
        covariates=covariates,
        leads=leads,
        states=tuple(inputs.states),
    )


def _covariates(known: KnownFields) -> Covariates | None:
    """Covariates to learn with: their values are checked in one pass."""
    if not known.names:
        return None
    problems = Problems()
    fields = _loaded(known.fields)
    normalisation, gappy = statistics(known, fields, problems)
    problems.raise_if_any()
    return Covariates(_reader(fields), normalisation, gappy)


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
    """Statistics of the observations or, of other variables than these, of the target.

    One pass over all fields, which also checks the values.

    Each of the periods must hold some.
    """
    problems = Problems()
    time_axis = len(inputs.shape) - len(inputs.grid.shape) if "time" in inputs.grid.roles else None
    names = [*inputs.names, *(f"target {name}" for name in inputs.state_names)]
    steps = {name: slice(*period) for name, period in periods.items()}
    summaries = summarise(list(zip(names, fields, strict=False)), time_axis)
    check_values(summaries, problems, steps if time_axis is not None else None)
    problems.raise_if_any()
    cells = math.prod(inputs.shape)
    for summary in summaries[len(inputs.names) :]:
        if summary.count < cells:
            share = 100 * (1 - summary.count / cells)
            log.info("%s is missing at %.3g %% of the cells: used where it is", summary.name, share)
    others = bool(inputs.states) and len(summaries) > len(inputs.names)
    count = len(inputs.names)
    return Normalisation.from_summaries(summaries[count:] if others else summaries[:count])


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
