"""Random numbers that follow from a cell's place, however an array is cut into chunks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xr4dvar.types import FloatArray

__all__ = ["cell_noise", "cell_uniform"]


def cell_noise(key: Sequence[int], indices: Sequence[NDArray[np.integer]]) -> FloatArray:
    """Standard normal numbers, one for each cell, all independent.

    Parameters
    ----------
    key : sequence of int
        What tells one draw of all cells from another: a seed, the number of a member, ...
    indices : sequence of numpy.ndarray of int
        The place of each cell along each dimension; they broadcast.

    Returns
    -------
    numpy.ndarray of float64, of the shape that the indices broadcast to

    Notes
    -----
    The bits are those of SplitMix64 applied to key and places in turn (Steele et al. 2014,
    https://doi.org/10.1145/2714064.2660195): no number depends on which others are drawn.

    Examples
    --------
    >>> from xr4dvar.cell_noise import cell_noise
    >>> whole = cell_noise([7], np.ogrid[0:3, 0:4])
    >>> part = cell_noise([7], np.ogrid[1:3, 2:4])
    >>> bool((part == whole[1:, 2:]).all())
    True
    """
    from scipy.special import ndtri

    return np.asarray(ndtri(cell_uniform(key, indices)))


def cell_uniform(key: Sequence[int], indices: Sequence[NDArray[np.integer]]) -> FloatArray:
    """Numbers evenly spread between 0 and 1, one for each cell, all independent.

    Parameters
    ----------
    key, indices
        See `cell_noise`.

    Examples
    --------
    >>> bool((abs(cell_uniform([7], np.ogrid[0:3, 0:4]) - 0.5) < 0.5).all())
    True
    """
    state = np.zeros((1,), np.uint64)
    with np.errstate(over="ignore"):  # arithmetic is that of the remainders
        for number in key:
            state = _mixed(state ^ np.uint64(number % 2**64))
        for index in indices:
            state = _mixed(state ^ index.astype(np.uint64))
    # the upper 53 bits, in the middle of their interval: never 0 or 1
    return np.asarray(((state >> np.uint64(11)) + 0.5) * 2.0**-53)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
