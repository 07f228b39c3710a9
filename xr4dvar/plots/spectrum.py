"""The spectral score: which wavelengths and periods a reconstruction resolves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xr4dvar import scores
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels.axes import find_axes
from xr4dvar.labels.grid import make_grid
from xr4dvar.plots import style
from xr4dvar.scores.checks import check_complete, check_fields
from xr4dvar.types import DimsMapping

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

_LEVEL = 0.5
_LEVELS = np.linspace(0, 1, 11)


def plot_spectral_score(
    reconstruction: xr.DataArray | Mapping[str, xr.DataArray],
    truth: xr.DataArray,
    *,
    dims: DimsMapping | None = None,
) -> Figure:
    """Draw 1 - PSD(error) / PSD(truth) by wavelength and period, one panel a reconstruction.

    The contour of 0.5 of each is in all panels; dashed lines mark its smallest wavelength and
    period, lambda_x and lambda_t of `xr4dvar.score`.

    Parameters
    ----------
    reconstruction : DataArray or mapping of str to DataArray
        One, or several by name: ``{"OI": oi, "4DVarNet": maps}``. Complete fields.
    truth : DataArray
        On the same grid.
    dims : mapping, optional
        Which dimension is which axis, where names and attributes do not tell.

    Returns
    -------
    matplotlib.figure.Figure
        With one axes a reconstruction and a colour bar.

    Raises
    ------
    InputError
        If grids or units differ, an axis is uneven or a field has gaps.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = xr.DataArray(rng.normal(size=(16, 4, 16)), dims=("time", "lat", "lon"))
    >>> figure = plot_spectral_score({"OI": 0.9 * truth}, truth)
    >>> figure.axes[0].get_title()
    'OI'
    """
    style.pyplot()
    named = style.by_name(reconstruction)
    if not named:
        raise InputError([("nothing to draw", 'pass {"name": reconstruction}')])
    style.check_arrays({**named, "truth": truth})
    spectra = {name: _spectrum(name, field, truth, dims) for name, field in named.items()}
    figure = style.figure((3.1 * len(named) + 1.0, 3.4), "constrained")
    panels = figure.subplots(1, len(named), sharex=True, sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, named, strict=True):
        image = _draw(panel, spectra, name)
    panels[0].set_ylabel(style.label(next(iter(spectra.values())).period))
    if len(named) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    label = next(iter(spectra.values())).attrs["long_name"]
    figure.colorbar(image, ax=panels, label=label, extend="min")
    return figure


def _spectrum(
    name: str, field: xr.DataArray, truth: xr.DataArray, dims: DimsMapping | None
) -> xr.DataArray:
    axes = find_axes(field, dims)
    problems = Problems()
    check_fields(field, truth, axes, problems)
    problems.raise_if_any()
    grid = make_grid(field, axes)
    score = scores.spectral_score(field, truth, grid=grid, mean=field.dims).compute()
    if bool(score.isnull().any()):
        check_complete({name: field.compute(), "truth": truth.compute()}, ["spectra"], problems)
        problems.raise_if_any()
    return score


def _draw(panel: Panel, spectra: dict[str, xr.DataArray], name: str) -> Any:
    wavelength, period = (spectra[name][axis] for axis in ("wavelength", "period"))
    plane = wavelength.values, period.values
    shown = np.clip(spectra[name].values, -1, 1)  # no infinity: contours cannot draw it
    image = panel.contourf(*plane, shown, levels=_LEVELS, cmap="cividis", extend="min")
    for number, (other, spectrum) in enumerate(spectra.items()):
        colour = style.COLORS[number % len(style.COLORS)]
        width = 2.5 if other == name else 1.2
        border = scores.without_islands(spectrum.values, _LEVEL)
        if border.min() < _LEVEL < border.max():
            panel.contour(*plane, border, levels=[_LEVEL], colors=[colour], linewidths=width)
        panel.plot([], [], color=colour, linewidth=2, label=other)
    panel.set(xscale="log", yscale="log", xlabel=style.label(wavelength))
    style.set_title(panel, name, columns=len(spectra))
    for axis in (panel.xaxis, panel.yaxis):
        _plain_ticks(axis)
    _mark(panel, spectra[name])
    return image


def _mark(panel: Panel, score: xr.DataArray) -> None:
    """Draw lambda_x and lambda_t as dashed lines, with their values."""
    lambda_x, lambda_t = scores.resolution(score, _LEVEL)
    if np.isnan(lambda_x.item()):
        panel.text(0.04, 0.04, "nothing resolved", color="white", transform=panel.transAxes)
        return
    line: dict[str, Any] = {"color": "white", "linestyle": "--", "linewidth": 1.0}
    panel.axvline(lambda_x.item(), **line)
    panel.axhline(lambda_t.item(), **line)
    units = [style.unit(score[axis]) for axis in ("wavelength", "period")]
    words = [
        f"$\\lambda_{axis}$ = {value.item():#.3g} {unit}".rstrip().replace(" °", "°")
        for axis, value, unit in zip("xt", (lambda_x, lambda_t), units, strict=True)
    ]
    panel.text(0.04, 0.04, "\n".join(words), color="white", transform=panel.transAxes)


def _plain_ticks(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
