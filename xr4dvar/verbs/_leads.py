"""Models that were fitted to forecast: what they take, and what they are given."""

from __future__ import annotations

from typing import Any

from xr4dvar.arguments import check_count, is_count
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.model import Model

__all__ = ["check_forecast", "check_leads", "check_window"]


def check_leads(leads: int, method: Any, grid: Grid, problems: Problems) -> None:
    """Note leads that a method does not take, or that leave nothing of its windows."""
    if not is_count(leads, 0):
        check_count("leads", leads, problems)
        return
    if not leads:
        return
    if not getattr(method, "takes_leads", False):
        what = f"{type(method).__name__} does not learn to forecast"
        problems.add(what, "leave leads= out, or use FourDVarNet")
    elif "time" not in grid.roles:
        problems.add("leads are given, and there is no time axis", "name it, dims={'time': ...}")
    elif (patch := method.patch_sizes(grid)["time"]) <= leads:
        what = f"leads is {leads}, and a window holds {patch} times"
        dim = grid.axes.dim("time")
        problems.add(what, f'use fewer, or a longer one, patch={{"{dim}": {2 * leads}}}')


def check_window(model: object, grid: Grid, problems: Problems) -> None:
    """Note data that are not one window of a model that forecasts."""
    if not (isinstance(model, Model) and model.leads and "time" in grid.roles):
        return
    patch = model.method.windows(grid, model.parameters)["time"].patch
    if grid["time"].size != patch:
        what = f"the model was fitted to forecast {model.leads} times from {patch - model.leads}"
        fix = "obs.fourdvar.forecast(model, steps), or fit without leads= to map what is observed"
        problems.add(what, fix)


def check_forecast(model: Model, steps: int, grid: Grid, problems: Problems) -> slice:
    """Note more steps than a model forecasts, and data that are too short for it.

    Returns
    -------
    slice
        The times that it needs, of an axis with all its leads at the end.
    """
    patch = model.method.windows(grid, model.parameters)["time"].patch
    seen = patch - model.leads
    if steps > model.leads:
        what = f"steps is {steps}, and the model was fitted to forecast {model.leads} times"
        problems.add(what, f"use at most {model.leads}, or fit with leads={steps}")
    if grid["time"].size < seen:
        what = f"the model forecasts from {seen} times, the data have {grid['time'].size}"
        problems.add(what, "give as many, empty ones too, or fit with a smaller patch=")
    return slice(-patch, None)
