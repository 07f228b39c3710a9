"""Surface currents in geostrophic balance with sea surface height."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xr4dvar.arguments import is_number, shown
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.labels.coordinates import Coordinate
from xr4dvar.labels.variance_units import same_units
from xr4dvar.operators.cells import Cells
from xr4dvar.operators.operator import Operator
from xr4dvar.operators.weights import DEGREE, bound_weights, seen_rows
from xr4dvar.registry import register
from xr4dvar.types import BoolArray, FloatArray, Role

__all__ = ["Geostrophic"]

log = logging.getLogger("xr4dvar")

#: Acceleration of gravity, m/s2, and the Earth's rate of rotation, 1/s.
GRAVITY, ROTATION = 9.81, 7.2921e-5
#: Degrees from the equator within which currents are not in balance with heights.
EQUATOR = 5.0
#: Metres of the units of an axis.
METRES = {"km": 1e3, "m": 1.0, "degree": 1e3 * DEGREE}


@register
@dataclass(frozen=True)
class Geostrophic(Operator):
    r"""Eastward and northward surface currents of a sea surface height.

    .. math:: u = -\frac{g}{f} \frac{\partial h}{\partial y}, \qquad
              v = \frac{g}{f} \frac{\partial h}{\partial x}

    by centred differences, one-sided at the edges of the grid, with heights in m and currents in
    m/s. Not observed are currents next to land, and within 5 degrees of the equator, where f goes
    to 0. Velocities of drifters hold more than that (wind-driven, inertial and tidal currents): it
    counts as their error.

    Parameters
    ----------
    height, eastward, northward : str
        Names of h, the variable of the state, and of u and v, those of the observations.
    latitude : float, optional
        Degrees north, of f everywhere; for planes in km or m. Not given: f of each latitude.

    References
    ----------
    Bretherton et al. 1976, https://doi.org/10.1016/0011-7471(76)90001-2

    Examples
    --------
    >>> y, x = 30 + 0.25 * np.arange(40), 0.25 * np.arange(40)
    >>> zero = xr.DataArray(np.zeros((40, 40)), coords={"lat": y, "lon": x}, dims=("lat", "lon"))
    >>> drifters = xr.Dataset({"u": zero.where(zero.lat == 35), "v": zero.where(zero.lat == 35)})
    >>> drifters["u"] = drifters.u + 0.5  # m/s to the east at 35 N
    >>> oi = xv.OptimalInterpolation(
    ...     length={"lat": 1.0, "lon": 1.0}, variance=0.05, error_variance=0.01, mean=0.0,
    ...     operator=xv.operators.Geostrophic())
    >>> ssh = drifters.fourdvar.reconstruct(oi).ssh
    >>> bool(ssh.sel(lat=34) .mean() > ssh.sel(lat=36).mean())  # higher to the right of the flow
    True
    """

    height: str = "ssh"
    eastward: str = "u"
    northward: str = "v"
    latitude: float | None = None

    def states(self, names: Sequence[str]) -> tuple[str, ...]:
        """The height, of which currents are observed."""
        return (self.height,)

    def fields(self, names: Sequence[str]) -> tuple[str, ...]:
        """The two currents, whatever the pair is called."""
        return self.eastward, self.northward

    def check(self, grid: Grid, names: Sequence[str], problems: Problems) -> None:
        """Note what is not observed, and grids on which it cannot be."""
        if sorted(names) != sorted(self.fields(names)):
            have = ", ".join(map(repr, names))
            what = f"Geostrophic observes {self.eastward!r} and {self.northward!r}, not {have}"
            problems.add(what, "name them, Geostrophic(eastward=..., northward=...)")
        if not all(isinstance(name, str) for name in (self.height, *self.fields(names))):
            problems.add("height, eastward and northward are names", "give texts, height='ssh'")
        latitude = self.latitude
        usable = is_number(latitude) and EQUATOR <= abs(latitude or 0.0) <= 90
        if latitude is not None and not usable:
            fix = f"give degrees north, at least {EQUATOR:g} from the equator"
            problems.add(f"latitude is {shown(latitude)}", fix)
            return
        if not {"y", "x"} <= set(grid.roles) or grid.curvilinear:
            what = "2-D coordinates" if grid.curvilinear else "no axes y and x"
            problems.add(f"the grid has {what}: Geostrophic takes y and x apart", _INTERPOLATE)
            return
        for role in ("y", "x"):
            self._check_axis(grid[role], problems)
        if latitude is None and grid["y"].sphere != "latitude":
            fix = "give one for all, Geostrophic(latitude=...)"
            problems.add(f"{grid['y'].name!r} is no latitude, from which f follows", fix)
        elif latitude is None and (near := int((np.abs(grid["y"].values) < EQUATOR).sum())):
            log.warning(
                "%d rows of %r lie within %g degrees of the equator: their currents are not used",
                near, grid["y"].name, EQUATOR,
            )  # fmt: skip

    @staticmethod
    def _check_axis(axis: Coordinate, problems: Problems) -> None:
        if axis.units not in METRES:
            what = f"{axis.name!r} is in {axis.units}, no length"
            problems.add(what, f"set its attrs['units'] to degrees, km or m, {axis.name!r}")
        if axis.size < 2:
            problems.add(f"{axis.name!r} has one cell: no gradient", "give at least two")
        elif axis.size < 3 and axis.period is not None:
            problems.add(f"{axis.name!r} closes after {axis.size} cells", "give at least three")

    def check_units(self, units: Mapping[str, str], problems: Problems) -> dict[str, str]:
        """Note currents that are not in m/s; heights are in m."""
        for name, own in units.items():
            if own and not same_units(own, "m s-1"):
                what = f"{name!r} is in {own!r}, and Geostrophic gives m/s"
                problems.add(what, "convert it; if only the spelling differs, attrs['units']='m/s'")
        return {self.height: "m"}

    def reach(self, grid: Grid) -> dict[Role, int]:
        """One cell to either side."""
        return {"y": 1, "x": 1}

    def bind(self, cells: Cells) -> Any:
        """Give the differences of the cells of a patch."""
        from xr4dvar.operators.layers import Layered

        open_water = Cells(cells.grid, cells.starts, cells.sizes)
        return Layered([(0, bound_weights(w, open_water)) for w in self._weights(cells)], 1)

    def seen(self, cells: Cells) -> BoolArray | None:
        """Cells (2, T, Y, X) whose neighbours are there, and sea, away from the equator."""
        found = []
        for axis, weights in enumerate(self._weights(cells), start=1):
            seen = seen_rows(weights, cells)
            found.append(_sea(cells, axis) if seen is None else seen & _sea(cells, axis))
        whole: BoolArray = np.stack(found)
        return whole

    def _weights(self, cells: Cells) -> tuple[dict[Role, FloatArray], dict[Role, FloatArray]]:
        """Weights (n, cells of the axis) along y and x of either current."""
        grid, rows = cells.grid, cells.index("y")
        given = grid["y"].values if self.latitude is None else self.latitude
        latitudes = np.broadcast_to(given, grid["y"].size)
        away = np.abs(latitudes) >= EQUATOR
        coriolis = 2 * ROTATION * np.sin(np.deg2rad(latitudes))
        balance: FloatArray = np.where(away, GRAVITY / np.where(away, coriolis, 1.0), 0.0)
        width: FloatArray = METRES[grid["x"].units] * np.ones(grid["y"].size)
        if grid["x"].units == "degree":
            width = width * np.cos(np.deg2rad(grid["y"].values))
        north = _differences(grid["y"])[rows] / METRES[grid["y"].units]
        east = _differences(grid["x"])[cells.index("x")]
        eastward: dict[Role, FloatArray] = {"y": -balance[rows, np.newaxis] * north}
        northward: dict[Role, FloatArray] = {"y": np.diag(balance / width)[rows], "x": east}
        return eastward, northward


_INTERPOLATE = "interpolate to a grid of latitude and longitude, or of a plane"


def _differences(axis: Coordinate) -> FloatArray:
    """Centred differences (n, n) per unit of the axis, one-sided at its ends."""
    values, size = axis.values, axis.size
    matrix = np.zeros((size, size))
    if axis.period is None:
        found: FloatArray = np.asarray(np.gradient(np.eye(size), values, axis=0))
        return found
    for n in range(size):
        before, after = (n - 1) % size, (n + 1) % size
        width = (values[after] - values[before]) % axis.period
        matrix[n, after], matrix[n, before] = 1 / width, -1 / width
    return matrix


def _sea(cells: Cells, axis: int) -> BoolArray:
    """Cells that hold a state, as their neighbours along an axis (1: y, 2: x) do."""
    if cells.domain is None:
        return np.ones(cells.shape, dtype=bool)
    sea = np.broadcast_to(cells.domain, cells.shape)
    edge = [(0, 0)] * 3
    edge[axis] = (1, 1)
    wide = np.pad(sea, edge, mode="edge")
    size = sea.shape[axis]
    before, after = (wide.take(range(n, n + size), axis) for n in (0, 2))
    found: BoolArray = sea & before & after
    return found
