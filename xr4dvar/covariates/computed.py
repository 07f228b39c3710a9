"""Covariates that follow from the coordinates of the observations: season and place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.registry import register
from xr4dvar.types import Labelled

__all__ = ["Computed", "DayOfYear", "Position", "day_of_year", "position"]


@runtime_checkable
class Computed(Protocol):
    """Covariates that a model computes itself, at `fit` and again at `reconstruct`.

    One of your own is a registered frozen dataclass.

    Examples
    --------
    >>> from xr4dvar.covariates.computed import Computed
    >>> isinstance(xv.covariates.day_of_year(), Computed)
    True
    """

    def arrays(self, obs: Labelled, grid: Grid, problems: Problems) -> dict[str, xr.DataArray]:
        """Arrays by name, on some dimensions of the observations; problems where there are none."""


@register
@dataclass(frozen=True)
class DayOfYear:
    """Sine and cosine of the time of the year, see `day_of_year`."""

    def arrays(self, obs: Labelled, grid: Grid, problems: Problems) -> dict[str, xr.DataArray]:
        """``day_of_year_sin`` and ``day_of_year_cos``, along time."""
        name = grid.axes.coordinates.get("time")
        times = None if name is None else obs.coords[name]
        if times is None or not _holds_dates(times):
            what = "covariate day_of_year: the observations have no dates"
            problems.add(what, "leave it out, or give the season as a field")
            return {}
        day = times.dt.dayofyear - 1 + (times.dt.hour + times.dt.minute / 60) / 24
        angle = 2 * np.pi * day.astype(np.float64).variable.to_base_variable() / _year(times)
        return {
            "day_of_year_sin": xr.DataArray(np.sin(angle)),
            "day_of_year_cos": xr.DataArray(np.cos(angle)),
        }


@register
@dataclass(frozen=True)
class Position:
    """Where a cell lies along y and x, see `position`."""

    def arrays(self, obs: Labelled, grid: Grid, problems: Problems) -> dict[str, xr.DataArray]:
        """``position_y`` and ``position_x``; of a circle its sine and cosine."""
        found = {}
        for role in ("y", "x"):
            name = grid.axes.coordinates.get(role)
            if name is None or role not in grid.roles or grid[role].named:
                continue
            axis = grid[role]
            if axis.period is None:
                values = obs.coords[name].astype(np.float64).variable.to_base_variable()
                found[f"position_{role}"] = xr.DataArray(values)
                continue
            own = (
                axis.values[::-1] if axis.descending else axis.values
            )  # in the units of the period
            angle = xr.Variable(grid.axes.dim(role), 2 * np.pi * own / axis.period)
            found[f"position_{role}_sin"] = xr.DataArray(np.sin(angle))
            found[f"position_{role}_cos"] = xr.DataArray(np.cos(angle))
        if not found:
            what = "covariate position: the observations have no coordinates of y or x"
            problems.add(what, "leave it out, or obs.assign_coords(lat=..., lon=...)")
        return found


def day_of_year() -> DayOfYear:
    """Sine and cosine of the time of the year, of dates in any calendar.

    Returns
    -------
    DayOfYear
        To be given among the ``covariates`` of `fit`; `reconstruct` computes it by itself.

    Examples
    --------
    >>> obs = xv.datasets.gulfstream_twin().ssh_nadir4.isel(time=slice(20))
    >>> network = xv.FourDVarNet(background=None, training=xv.Training(steps=1))
    >>> model = obs.fourdvar.fit(network, covariates=xv.covariates.day_of_year())
    >>> list(model.covariates)
    ['day_of_year_sin', 'day_of_year_cos']
    """
    return DayOfYear()


def position() -> Position:
    """Coordinates of each cell along y and x, so that a method may differ from place to place.

    Along an axis that closes on itself they are sine and cosine.

    Returns
    -------
    Position
        To be given among the ``covariates`` of `fit`; `reconstruct` computes it by itself.

    Examples
    --------
    >>> obs = xv.datasets.gulfstream_twin().ssh_nadir4.isel(time=slice(20))
    >>> network = xv.FourDVarNet(background=None, training=xv.Training(steps=1))
    >>> list(obs.fourdvar.fit(network, covariates=xv.covariates.position()).covariates)
    ['position_y', 'position_x']
    """
    return Position()


def _holds_dates(times: xr.DataArray) -> bool:
    """Whether they are dates: of numpy, or of cftime in another calendar."""
    return times.dtype.kind == "M" or hasattr(times.values.flat[0], "calendar")


def _year(times: xr.DataArray) -> float:
    """Days of a year of the calendar, a mean of leap years and others."""
    return {"360_day": 360.0, "noleap": 365.0, "365_day": 365.0, "all_leap": 366.0}.get(
        times.dt.calendar, 365.25
    )
