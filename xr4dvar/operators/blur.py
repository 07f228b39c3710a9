"""A field seen through an instrument or a product that smooths it: deconvolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from xr4dvar.arguments import check_choice, check_mapping
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.labels.roles import by_role
from xr4dvar.labels.units import UserLength, parse_along
from xr4dvar.operators.cells import Cells
from xr4dvar.operators.operator import Operator
from xr4dvar.operators.weights import DEGREE, bound_weights, cell_widths, seen_rows
from xr4dvar.registry import register
from xr4dvar.types import BoolArray, FloatArray, Role

__all__ = ["Blur"]

Kernel = Literal["gaussian", "box"]

#: Standard deviations of a Gaussian, and half widths of a box, that a kernel reaches.
REACH: dict[str, float] = {"gaussian": 4.0, "box": 0.5}
#: Rows of y share weights along x while their lengths differ by less than this share.
SAME_ROWS = 2e-3


@register
@dataclass(frozen=True)
class Blur(Operator):
    r"""Weighted means of the cells around, such as those of a footprint or a smoothing filter.

    .. math:: H(x)_i = \sum_j w_{ij} x_j, \qquad w_{ij} \propto a_j\, k(d_{ij}), \quad
              \sum_j w_{ij} = 1

    with the kernel k along each axis and the width a of a cell. At the edges of the domain the
    field goes on mirrored, half a cell beyond the last one; round a circle it goes on. Cells
    outside ``mask=`` count for nothing.

    Parameters
    ----------
    length : mapping of str to length
        Of the kernel along each dimension that is blurred, in the units of the axis or as a text,
        ``{"lat": "30 km", "lon": "30 km"}``, ``{"time": "2D"}``: the standard deviation of a
        Gaussian, the full width of a box. Distances in km along longitude are those of each row.
    kernel : {"gaussian", "box"}
        ``exp(-d**2 / (2 length**2))``, or the same weight within half a length.

    Examples
    --------
    >>> ds = xv.datasets.gulfstream_twin().isel(time=slice(0, 9))
    >>> blur = xv.operators.Blur(length={"lat": 0.3, "lon": 0.3})
    >>> oi = xv.OptimalInterpolation(
    ...     length={"time": "7D", "lat": 1.0, "lon": 1.0}, variance=0.05, error_variance=1e-4,
    ...     mean=0.3, operator=blur)
    >>> maps = ds.ssh.fourdvar.reconstruct(oi)  # sharper than what is given
    >>> bool(maps.std() > ds.ssh.std())
    True
    """

    length: Mapping[str, UserLength]
    kernel: Kernel = "gaussian"

    def check(self, grid: Grid, names: Sequence[str], problems: Problems) -> None:
        """Note lengths that are none, or too long for the domain."""
        check_choice("kernel", self.kernel, get_args(Kernel), problems)
        if not check_mapping("length", self.length, "{'lat': '30 km'}", problems):
            return
        with problems.collect():
            given = by_role(self.length, grid.axes, "length")
            for role, value in given.items():
                self._check_axis(role, value, grid, problems)

    def _check_axis(self, role: Role, value: UserLength, grid: Grid, problems: Problems) -> None:
        axis, label = grid[role], f"length along {grid[role].name!r}"
        if axis.named or axis.size == 1:
            what = "holds names, not places" if axis.named else "has one cell"
            problems.add(f"{axis.name!r} {what}: no blur along it", "leave it out of length")
            return
        pair = parse_along(value, role, grid, label, problems)
        if pair is None or self.kernel not in get_args(Kernel):
            return
        longest = float(np.max(_in_units(pair, role, grid)))
        extent = axis.period or float(axis.values[-1] - axis.values[0]) + axis.spacing
        if REACH[self.kernel] * longest > extent:
            problems.add(
                f"{label} is {value!r}: the kernel reaches {REACH[self.kernel] * longest:g} "
                f"{axis.units}, the domain is {extent:g} long",
                "give a shorter length, or a larger domain",
            )

    def reach(self, grid: Grid) -> dict[Role, int]:
        """Cells within four standard deviations of a Gaussian, or half a box.

        Where lengths along x are those of each row, also y, without more cells of it.
        """
        share, lengths = REACH[self.kernel], self._lengths(grid)
        rows: dict[Role, int] = {"y": 0} if np.ndim(lengths.get("x", 0.0)) else {}
        return rows | {
            role: int(np.ceil(share * np.max(length) / np.diff(grid[role].values).min())) + 1
            for role, length in lengths.items()
        }

    def bind(self, cells: Cells) -> Any:
        """Give the weights of the cells of a patch."""
        return bound_weights(self._weights(cells), cells)

    def seen(self, cells: Cells) -> BoolArray | None:
        """Cells whose kernel lies inside the patch, but for a thousandth of its weight."""
        return seen_rows(self._weights(cells), cells)

    def _lengths(self, grid: Grid) -> dict[Role, FloatArray]:
        """Lengths in the units of each axis; of x, one for each row of y where they differ."""
        problems, found = Problems(), {}
        for role, value in by_role(self.length, grid.axes, "length").items():
            pair = parse_along(value, role, grid, f"length along {grid[role].name!r}", problems)
            if pair is not None:
                found[role] = _in_units(pair, role, grid)
        problems.raise_if_any()
        return found

    def _weights(self, cells: Cells) -> dict[Role, Any]:
        """Weights (n, n) of the cells of a patch along each axis, as of `bound_weights`."""
        found: dict[Role, Any] = {}
        for role, length in self._lengths(cells.grid).items():
            if np.ndim(length) == 0:
                found[role] = self._matrix(role, float(length), cells)
                continue
            own = np.rint(np.log(length[cells.index("y")]) / SAME_ROWS)
            ends = np.flatnonzero(np.diff(own, append=np.nan)) + 1
            starts = np.concatenate([[0], ends[:-1]])
            found[role] = [
                (slice(a, b), self._matrix(role, float(np.exp(SAME_ROWS * own[a])), cells))
                for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
            ]
        return found

    def _matrix(self, role: Role, length: float, cells: Cells) -> FloatArray:
        """Weights of all cells of an axis, its mirror images with them, for those of a patch."""
        axis, widths = cells.grid[role], cell_widths(cells.grid[role])
        rows = axis.values[cells.index(role), np.newaxis]
        low, high = axis.values[0] - widths[0] / 2, axis.values[-1] + widths[-1] / 2
        if axis.period is not None:
            images = [axis.values + n * axis.period for n in (-1, 0, 1)]
        else:
            images = [axis.values, 2 * low - axis.values, 2 * high - axis.values]
        total = np.zeros((len(rows), axis.size))
        for places in images:
            total += _kernel(self.kernel, rows - places, length, widths)
        found: FloatArray = total / total.sum(1, keepdims=True)
        return found


def _kernel(kernel: Kernel, distance: FloatArray, length: float, widths: FloatArray) -> FloatArray:
    """Weights of cells at some distances from the middle of a kernel."""
    if kernel == "gaussian":
        weight: FloatArray = widths * np.exp(-0.5 * (distance / length) ** 2)
        return weight
    ends = np.stack([distance - widths / 2, distance + widths / 2])
    low, high = np.clip(ends, -length / 2, length / 2)
    inside: FloatArray = high - low
    return inside


def _in_units(pair: tuple[float, str], role: Role, grid: Grid) -> FloatArray:
    """A length in the unit of its axis; km along longitude, one for each row of y."""
    value, unit = pair
    if unit == grid[role].units:
        return np.asarray(value)
    if role == "y":
        return np.asarray(value / DEGREE)
    if "y" not in grid.roles:
        return np.asarray(value / DEGREE)
    found: FloatArray = value / (DEGREE * np.cos(np.deg2rad(grid["y"].values)).clip(min=0.01))
    return found
