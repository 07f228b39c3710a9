"""Distances along an axis, and correlation functions of a scaled distance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor

from xr4dvar.errors import InputError

#: A correlation function: distance divided by the length in, correlation out.
Family: TypeAlias = Callable[[Tensor], Tensor]


def distance(difference: Tensor, period: float | None = None) -> Tensor:
    """Absolute differences; chords of a circle of the given circumference for a periodic axis."""
    if period is None:
        return difference.abs_()
    return (period / math.pi) * torch.sin(math.pi * difference / period).abs_()


def gaussian(distance: Tensor) -> Tensor:
    """Gaussian correlation ``exp(-d**2)``, as in the SSH mapping challenges.

    There is no factor 1/2: a length here is ``sqrt(2)`` times the length of ``exp(-d**2 / 2)``,
    which most Gaussian-process packages use.

    Parameters
    ----------
    distance : Tensor
        Distance divided by the correlation length, any shape, not negative.

    Returns
    -------
    Tensor
        Correlation, same shape.

    Examples
    --------
    >>> import torch
    >>> round(float(gaussian(torch.tensor(1.0))), 4)
    0.3679
    """
    return torch.exp(-(distance**2))


def matern12(distance: Tensor) -> Tensor:
    """Matern correlation of order 1/2, ``exp(-d)``: continuous, not differentiable fields."""
    return torch.exp(-distance)


def matern32(distance: Tensor) -> Tensor:
    """Matern correlation of order 3/2: fields that are differentiable once."""
    scaled = math.sqrt(3.0) * distance
    return (1.0 + scaled) * torch.exp(-scaled)


def matern52(distance: Tensor) -> Tensor:
    """Matern correlation of order 5/2: fields that are differentiable twice."""
    scaled = math.sqrt(5.0) * distance
    return (1.0 + scaled + scaled**2 / 3.0) * torch.exp(-scaled)


#: The correlation functions by name. All are positive definite in up to three dimensions.
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "gaussian": gaussian,
        "matern12": matern12,
        "matern32": matern32,
        "matern52": matern52,
    }
)


def find_family(name: str) -> Family:
    """Look a correlation function up by its name.

    Parameters
    ----------
    name : str
        A key of `FAMILIES`.

    Returns
    -------
    callable
        The correlation function.

    Raises
    ------
    InputError
        If there is no family of that name.

    Examples
    --------
    >>> find_family("matern32").__name__
    'matern32'
    """
    if name not in FAMILIES:
        raise InputError(
            [(f"unknown covariance family {name!r}", f"use one of {', '.join(FAMILIES)}")]
        )
    return FAMILIES[name]
