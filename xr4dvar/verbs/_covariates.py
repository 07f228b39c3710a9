"""Covariates of a call: who takes them, and their fields on the grid of the observations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xr4dvar.covariates.reading import KnownFields, check_known, read_covariates
from xr4dvar.errors import Problems
from xr4dvar.labels import Normalisation, Summary, summarise
from xr4dvar.model import Model
from xr4dvar.types import Labelled
from xr4dvar.verbs._inputs import Inputs

__all__ = ["known_fields", "statistics", "with_covariates"]


def _takes_covariates(method: Any) -> bool:
    """Whether a method, or the one that it starts from, looks at covariates."""
    while method is not None:
        if getattr(method, "takes_covariates", False):
            return True
        method = getattr(method, "background", None)
    return False


def known_fields(
    given: Any, obs: Labelled, inputs: Inputs, method: object, problems: Problems
) -> KnownFields:
    """Covariates to fit with.

    Parameters
    ----------
    given, obs, method
        See `fit`.
    inputs : Inputs
    problems : Problems
        Gets covariates of a method that takes none, and whatever is wrong with them.
    """
    if given is not None and not _takes_covariates(method):
        what = f"{type(method).__name__} takes no covariates"
        problems.add(what, "leave them out, or use FourDVarNet")
        return KnownFields()
    return read_covariates(given, obs, inputs.grid, problems)


def with_covariates(
    inputs: Inputs, given: Any, obs: Labelled, model: object, problems: Problems
) -> Inputs:
    """The inputs with the covariates that a model was fitted with.

    Parameters
    ----------
    inputs : Inputs
    given, obs, model
        See `reconstruct`.
    problems : Problems
        Gets covariates that are missing, or that the model does not know.
    """
    while isinstance(model, Model) and not model.covariates:
        model = model.background
    names, computed = (model.covariates, model.computed) if isinstance(model, Model) else ({}, ())
    own = Problems()
    found = read_covariates(given, obs, inputs.grid, own, computed)
    found = check_known(names, found, given, own)
    problems.found.extend(own.found)
    return replace(inputs, covariates=found.fields)


def statistics(
    found: KnownFields, fields: Sequence[Any], problems: Problems
) -> tuple[Normalisation, tuple[bool, ...]]:
    """Mean and spread of covariates, and which have missing values, in one pass over them.

    Parameters
    ----------
    found : KnownFields
    fields : sequence of array
        Theirs, in memory or lazy.
    problems : Problems
        Gets covariates without a value, or with infinite ones.
    """
    summaries = summarise(list(zip(found.names, fields, strict=True)))
    gappy = []
    for summary, one in zip(summaries, fields, strict=True):
        name = repr(summary.name)
        if summary.count == 0:
            problems.add(f"covariate {name} has no value, all is missing", "leave it out")
        if summary.infinite:
            fix = f"mark them as missing, field.where(np.isfinite(field)) of {name}"
            problems.add(f"covariate {name} has {summary.infinite} infinite values", fix)
        gappy.append(summary.count < math.prod(one.shape))
    spreads = [replace(one, std=_spread(one)) for one in summaries]
    return Normalisation.from_summaries(spreads), tuple(gappy)


def _spread(summary: Summary) -> float:
    """What a field is divided by: of one that is the same everywhere, 1."""
    return summary.std if summary.std > 1e-10 * abs(summary.mean) else 1.0
