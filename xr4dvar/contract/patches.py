"""What goes through the door of a method: numbers of patches, and what comes out of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xr4dvar.types import FloatArray, IntArray, Role

__all__ = ["Curves", "Patches", "Points"]


@dataclass(frozen=True)
class Patches:
    """Numbers of n patches, in the data's own units, with every axis ascending.

    Parameters
    ----------
    y : numpy.ndarray, shape (n, V, T, Y, X)
        Observations of V variables, NaN where there is none.
    coordinates : mapping of role to numpy.ndarray, shape (n, size)
        Positions along each axis that is there, in the grid's units.
    background : numpy.ndarray, shape (n, V, T, Y, X), optional
        The map of the method's background method.
    error_variance : numpy.ndarray, shape (n, V, T, Y, X), optional
        Variance of the observation error, in the data's units squared.
    origins : numpy.ndarray of int, shape (n, dims), optional
        The first cell of each patch in the whole array: what is drawn for it follows from that.
    closed : mapping of role to int
        Cells of the axes that close on themselves, after which the first one comes again.
    operator : Bound, optional
        The observation operator of the n patches, where observations are not the field itself.
    covariates : numpy.ndarray, shape (n, C, T, Y, X), optional
        Fields that are known and not mapped, NaN where one is missing.
    """

    y: FloatArray
    coordinates: Mapping[Role, FloatArray]
    background: FloatArray | None = None
    error_variance: FloatArray | None = None
    origins: IntArray | None = None
    closed: Mapping[Role, int] = field(default_factory=dict)
    operator: Any = None
    covariates: FloatArray | None = None


@dataclass(frozen=True)
class Points:
    """Scattered observations of one variable, in the data's own units.

    Parameters
    ----------
    positions : numpy.ndarray, shape (n, 3)
        Time, y and x of each, in the grid's units; 0 along an axis that the grid lacks.
    values : numpy.ndarray, shape (n,)
        All finite.
    error_variance : numpy.ndarray, shape (n,), optional
        Variance of the observation error, in the data's units squared.
    """

    positions: FloatArray
    values: FloatArray
    error_variance: FloatArray | None = None


@dataclass(frozen=True)
class Curves:
    """How the costs of n patches go down.

    Parameters
    ----------
    terms : mapping of str to numpy.ndarray, shape (n, steps + 1)
        What each term of the cost is before and after each step, by its name.
    gradient_norms : numpy.ndarray, shape (n, steps + 1)
        Of the cost, which is their sum.
    """

    terms: Mapping[str, FloatArray]
    gradient_norms: FloatArray
