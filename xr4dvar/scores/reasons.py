"""Why a score cannot be had, or is NaN, and what helps."""

from __future__ import annotations

from collections.abc import Hashable

import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.grid import Grid
from xr4dvar.scores.checks import check_complete
from xr4dvar.scores.spectral import spectral_problem

#: The scores that need spectra.
SPECTRAL = ("lambda_x", "lambda_t")
#: Where these are NaN, and what else than a lack of pairs may be the reason.
_UNPAIRED = {
    "mu": ", or the truth is zero",
    "sigma": ", or the truth is zero",
    "r_score": ", or the truth is constant",
}


def unable(grid: Grid, over: list[Hashable]) -> dict[str, tuple[str, str]]:
    """Return the scores that the grid or `dim` does not allow, with why and the fix."""
    unable = {}
    if grid.axes.time not in over or len(over) < 2:
        what = f"sigma compares time steps, each over other dimensions, and dim is {over}"
        unable["sigma"] = what, "leave dim out, or name time and more"
    spectral = spectral_problem(grid)
    if spectral is None and not {grid.axes.time, grid.axes.x} <= set(over):
        what = f"spectral scores run over {grid.axes.time} and {grid.axes.x}, and dim is {over}"
        spectral = what, "leave dim out"
    return unable if spectral is None else unable | dict.fromkeys(SPECTRAL, spectral)


def refuse(
    names: list[str], unable: dict[str, tuple[str, str]], fields: dict[str, xr.DataArray]
) -> None:
    """Raise for scores that were asked for by name and cannot be had."""
    problems = Problems()
    for problem in dict.fromkeys(unable[name] for name in names if name in unable):
        problems.add(*problem)
    if spectral := [name for name in names if name in SPECTRAL and name not in unable]:
        check_complete(fields, spectral, problems)
    problems.raise_if_any()


def undefined(
    result: xr.Dataset, reconstruction: xr.DataArray, truth: xr.DataArray
) -> dict[str, tuple[str, str]]:
    """Return the scores that are NaN, with why and what helps, as far as is known now."""
    in_memory = [str(name) for name, score in result.items() if score.chunks is None]
    missing = [name for name in in_memory if bool(result[name].isnull().any())]
    why = {}
    for name in missing:
        if name not in SPECTRAL:
            what = f"NaN where no cell has a value in both fields{_UNPAIRED.get(name, '')}"
            why[name] = what, "check the times, the mask and the selection"
    spectral = [name for name in SPECTRAL if name in result]
    gaps = Problems()
    if spectral:
        check_complete({"reconstruction": reconstruction, "truth": truth}, spectral, gaps)
    if gaps.found:
        what, fix = ("; ".join(texts) for texts in zip(*gaps.found, strict=True))
        return why | dict.fromkeys(spectral, (what, fix))
    what = "no large scale has a spectral score of 0.5: none is resolved"
    fix = "see plotting.plot_spectral_score"
    return why | dict.fromkeys([name for name in spectral if name in missing], (what, fix))


def in_words(reasons: dict[str, tuple[str, str]]) -> str:
    """Return one line for each score."""
    return "\n".join(f"{name}: {what}; fix: {fix}" for name, (what, fix) in reasons.items())
