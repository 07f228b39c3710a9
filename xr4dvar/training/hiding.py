"""Hiding a share of the observations, to learn from them and to be scored on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from xr4dvar.types import BoolArray

__all__ = ["HiddenShape", "Hide", "hide", "hide_nothing", "hider"]

HiddenShape: TypeAlias = Literal["random", "patches", "mixed"]
Hide: TypeAlias = Callable[[BoolArray, np.random.Generator], BoolArray]

#: Width of hidden patches, in cells along time, y and x.
PATCH_WIDTH = (1.0, 4.0, 4.0)


def hider(shape: HiddenShape, share: float) -> Hide:
    """Give the function ``(observed, generator) -> hidden`` for a share of the observed cells."""
    return partial(hide, shape=shape, share=share)


def hide_nothing(observed: BoolArray, generator: np.random.Generator) -> BoolArray:
    """Hide no cell: for what is learned from the cost of all observations alone."""
    return np.zeros_like(observed)


def hide(
    observed: BoolArray, generator: np.random.Generator, *, shape: HiddenShape, share: float
) -> BoolArray:
    """Choose which observed cells to hide.

    Parameters
    ----------
    observed : numpy.ndarray of bool, shape (V, T, Y, X)
    generator : numpy.random.Generator
    shape : {"random", "patches", "mixed"}
        Cell by cell, in cloud-shaped patches (where a smooth random field is high), or one of
        the two, drawn at each call.
    share : float
        Share of the observed cells of each variable to hide.

    Returns
    -------
    numpy.ndarray of bool, shape (V, T, Y, X)
        True only where observed. The variables share their clouds, as gaps mostly do.

    Examples
    --------
    >>> from xr4dvar.training.hiding import hide
    >>> observed = np.ones((1, 4, 20, 20), dtype=bool)
    >>> hidden = hide(observed, np.random.default_rng(0), shape="patches", share=0.25)
    >>> float(hidden.mean())
    0.25
    """
    from scipy import ndimage

    if shape == "mixed":
        shape = "patches" if generator.random() < 0.5 else "random"
    noise = generator.standard_normal(observed.shape[1:])
    if shape == "patches":
        noise = ndimage.gaussian_filter(noise, PATCH_WIDTH, mode="wrap")
    hidden = np.zeros_like(observed)
    for v, seen in enumerate(observed):
        count = round(share * int(seen.sum()))
        if count:
            threshold = np.partition(noise[seen], -count)[-count]
            hidden[v] = seen & (noise >= threshold)
    return hidden
