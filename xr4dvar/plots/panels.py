"""Observations, reconstructions, truth and errors at one time, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xr4dvar.errors import InputError, Problems
from xr4dvar.labels.axes import find_axes
from xr4dvar.labels.roles import Axes
from xr4dvar.plots import style
from xr4dvar.plots.moment import at_moment, choose_moment, in_words
from xr4dvar.scores.checks import check_same_grid
from xr4dvar.types import DimsMapping, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

#: Inches squared of a panel: wide domains get wide panels, tall ones tall panels.
_AREA = 8.5
#: Observations of a smaller share of the sea than this are drawn larger than their cells.
_SPARSE = 0.15


def plot_panels(
    *,
    observations: xr.DataArray | None = None,
    reconstruction: xr.DataArray | Mapping[str, xr.DataArray] | None = None,
    truth: xr.DataArray | None = None,
    time: Any = None,
    dims: DimsMapping | None = None,
) -> Figure:
    """Draw observations, reconstructions, truth and errors at one time.

    One column a reconstruction, its error (reconstruction minus truth) below it; observations
    and truth on the left. All fields share one range of colours, all errors another, symmetric
    one; both leave out the outermost 2 %. Shapes are kept, but of a domain that is more than 2.5
    times as high as wide, or 3.3 times as wide as high, such as a swath: it is stretched.

    Parameters
    ----------
    observations : DataArray, optional
        With gaps; where few cells are seen they are drawn larger than they are.
    reconstruction : DataArray or mapping of str to DataArray, optional
        One, or several by name: ``{"OI": oi, "4DVarNet": maps}``.
    truth : DataArray, optional
        With it come the errors and their RMSE (of the time shown, all cells alike).
    time : label, optional
        Which time to show, one that all fields have; a day, such as ``"2012-11-12"``, is the only
        time of that day, or its midnight. Default: the middle one.
    dims : mapping, optional
        Which dimension is which axis, where names and attributes do not tell.

    Returns
    -------
    matplotlib.figure.Figure
        With one axes a panel and two colour bars. Cells that are missing in the reconstructions
        (or in the truth, if there are none), such as land, are light grey.

    Raises
    ------
    InputError
        If nothing is given, or something else than DataArrays; if there is no such time (the
        nearest is named), an axis is not found, or more than time and two axes are left.

    Examples
    --------
    >>> truth = xr.DataArray(
    ...     np.random.default_rng(0).normal(size=(3, 8, 9)),
    ...     dims=("time", "lat", "lon"),
    ...     coords={"time": xr.date_range("2012-10-22", periods=3)},
    ...     attrs={"long_name": "sea level", "units": "m"},
    ... )
    >>> figure = plot_panels(observations=truth.where(truth > 1), reconstruction=0.9 * truth)
    >>> [panel.get_title() for panel in figure.axes[:2]]
    ['observations', 'reconstruction']
    """
    style.pyplot()
    named = style.by_name(reconstruction)
    left = {"observations": observations, "truth": truth}
    given = {**named, **{name: field for name, field in left.items() if field is not None}}
    maps, axes, when = _at_one_time(given, time, dims)
    errors = {name: maps[name] - maps["truth"] for name in named} if truth is not None else {}
    x, y = style.horizontal(next(iter(maps.values())), axes)
    columns = [[name for name in left if name in maps], *([name] for name in named)]
    columns = [column for column in columns if column]
    rows = 2 if errors or len(columns[0]) == 2 else 1
    figure = _figure(rows, len(columns), x, y)
    grid = figure.subplots(rows, len(columns), sharex=True, sharey=True, squeeze=False)
    _draw(figure, grid, columns, maps, errors, x, y)
    figure.suptitle(when)
    return figure


def _figure(rows: int, columns: int, x: xr.DataArray, y: xr.DataArray) -> Figure:
    ratio = style.ratio(x, y)
    width = np.sqrt(_AREA / ratio)
    size = width * columns + 1.4, (width * ratio + 0.3) * rows + 0.7
    return style.figure(size, "compressed")


def _draw(
    figure: Figure,
    grid: Any,
    columns: list[list[str]],
    maps: dict[str, xr.DataArray],
    errors: dict[str, xr.DataArray],
    x: xr.DataArray,
    y: xr.DataArray,
) -> None:
    # the field that says most about itself speaks for all, the truth before "seen by altimeters"
    candidates = reversed(list(maps.values()))
    labelled = max(candidates, key=lambda field: len({"units", "long_name"} & set(field.attrs)))
    unit = style.unit(labelled)
    colours, error_colours = _colours(maps, errors)
    land = _land(maps)
    for column, names in enumerate(columns):
        for row, panel in enumerate(grid[:, column]):
            if row < len(names):
                paint = _observed if names[row] == "observations" else _filled
                fields = paint(panel, x, y, maps[names[row]].values, land, colours)
                style.set_title(panel, names[row], columns=len(columns))
            elif names[0] in errors:
                error = errors[names[0]]
                faults = _filled(panel, x, y, error.values, land, error_colours)
                title = f"error (RMSE {_rms(error)} {unit}".rstrip() + ")"
                style.set_title(panel, title, columns=len(columns))
            else:
                panel.set_axis_off()
    _label_axes(grid, x, y)
    _colour_bar(figure, fields, grid[0] if errors else grid, maps, style.label(labelled))
    if errors:
        label = f"error ({unit})" if unit else "error"
        _colour_bar(figure, faults, grid[1], errors, label)


def _colours(
    maps: dict[str, xr.DataArray], errors: dict[str, xr.DataArray]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the colours that all fields share, and those that all errors share."""
    low, high, signed = style.limits(field.values for field in maps.values())
    bound = style.error_limit(error.values for error in errors.values()) if errors else 1.0
    return (
        {"cmap": "RdBu_r" if signed else "viridis", "vmin": low, "vmax": high},
        # signed fields have the red and blue: errors must not look like them
        {"cmap": "PuOr_r" if signed else "RdBu_r", "vmin": -bound, "vmax": bound},
    )


def _colour_bar(
    figure: Figure, image: Any, panels: Any, shown: dict[str, xr.DataArray], label: str
) -> None:
    ends = style.extend([field.values for field in shown.values()], *image.get_clim())
    rows = np.atleast_2d(panels).shape[0] / panels.flat[0].get_gridspec().nrows
    # eleven letters an inch: a long name must not run over the next colour bar
    letters = int(11 * rows * figure.get_size_inches()[1])
    figure.colorbar(image, ax=panels, label=fill(label, letters), extend=ends)


def _filled(
    panel: Panel, x: xr.DataArray, y: xr.DataArray, values: FloatArray, land: Any, colours: Any
) -> Any:
    panel.set_facecolor(style.LAND)
    panel.set_aspect(style.aspect(x, y))  # type: ignore[arg-type]
    masked = np.ma.masked_invalid(values)
    return panel.pcolormesh(
        x.values, y.values, masked, shading="nearest", rasterized=True, **colours
    )


def _observed(
    panel: Panel, x: xr.DataArray, y: xr.DataArray, values: FloatArray, land: Any, colours: Any
) -> Any:
    seen = np.isfinite(values)
    if seen.sum() > _SPARSE * (~land).sum():  # of the sea: a clear gulf is no track
        image = _filled(panel, x, y, values, land, colours)
    else:
        image = _dots(panel, x, y, values, colours)
        panel.set_aspect(style.aspect(x, y))  # type: ignore[arg-type]
    panel.set_facecolor("white")
    grey = np.ma.masked_where(~land, np.full(land.shape, 0.0))
    panel.pcolormesh(
        x.values, y.values, grey, shading="nearest", cmap=_flat(), rasterized=True, zorder=0
    )
    return image


def _dots(panel: Panel, x: xr.DataArray, y: xr.DataArray, values: FloatArray, colours: Any) -> Any:
    """Squares larger than their cells, outlined: pale ones must show on white."""
    seen = np.isfinite(values)
    cells = np.meshgrid(x.values, y.values) if x.ndim == 1 else (x.values, y.values)
    across, up = cells[0][seen], cells[1][seen]
    points = max(2 * panel.bbox.width / panel.figure.dpi * 72 / values.shape[1], 2.0)
    options: dict[str, Any] = {"marker": "s", "linewidths": 0, "rasterized": True, "snap": False}
    panel.scatter(across, up, s=(points + 1.0) ** 2, color="0.4", **options)
    return panel.scatter(across, up, s=points**2, c=values[seen], **options, **colours)


def _flat() -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([style.LAND])


def _label_axes(grid: Any, x: xr.DataArray, y: xr.DataArray) -> None:
    """Label the lowest panel of each column and the first of each row, as far as they are drawn."""
    for column in grid.T:
        panel = [panel for panel in column if panel.axison][-1]
        panel.set_xlabel(style.label(x))
        panel.tick_params(labelbottom=True)
    for row in grid:
        panel = next(panel for panel in row if panel.axison)
        panel.set_ylabel(style.label(y))
        panel.tick_params(labelleft=True)


def _rms(error: xr.DataArray) -> str:
    value = float(np.sqrt((error.astype("float64") ** 2).mean()))
    return f"{value:#.3g}"


def _land(maps: dict[str, xr.DataArray]) -> Any:
    """Cells that no complete field has."""
    full = [field for name, field in maps.items() if name != "observations"]
    if not full:
        return np.zeros(maps["observations"].shape, bool)
    return np.all([field.isnull().values for field in full], axis=0)


def _at_one_time(
    fields: dict[str, xr.DataArray], time: Any, dims: DimsMapping | None
) -> tuple[dict[str, xr.DataArray], Axes, str]:
    """Return the fields at one time as (y, x), in memory, and that time in words."""
    if not fields:
        raise InputError([("nothing to draw", "pass observations, reconstruction or truth")])
    style.check_arrays(fields)
    first = next(iter(fields.values()))
    axes = find_axes(first, dims)
    problems = Problems()
    if axes.y is None or axes.x is None:
        problems.add("panels need two axes, y and x", 'name them: dims={"lat": ..., "lon": ...}')
    when = ""
    if axes.time is not None and (moment := choose_moment(first, axes, time, problems)) is not None:
        when = in_words(moment)
        fields = {
            name: at_moment(name, field, axes, moment, problems) for name, field in fields.items()
        }
    problems.raise_if_any()
    first_map = next(iter(fields.values()))
    for name, field in fields.items():
        if extra := [dim for dim in field.dims if dim not in (axes.y, axes.x)]:
            problems.add(f"{name} also has {extra}", f"choose one, as in .isel({extra[0]}=0)")
        else:
            check_same_grid(name, field, "the first field", first_map, problems)
    problems.raise_if_any()
    order = (axes.dim("y"), axes.dim("x"))
    maps = {name: field.transpose(*order).compute() for name, field in fields.items()}
    return maps, axes, when
