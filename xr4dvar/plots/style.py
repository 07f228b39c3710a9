"""What the pictures share: matplotlib on demand, labels, limits, aspect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from textwrap import fill
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xr4dvar.errors import InputError, Problems
from xr4dvar.labels.angles import degrees_factor
from xr4dvar.labels.evidence import is_latitude_or_longitude
from xr4dvar.labels.roles import Axes
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

#: Land, and whatever else no field has.
LAND = "0.85"
#: Okabe and Ito's colours for lines, told apart by colour-blind readers too.
COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: Least and greatest height over width of a panel.
_RATIOS = 0.3, 2.5
#: Inches beside the panels: labels and colour bar; and width of a letter in font sizes.
_MARGIN, _LETTER = 1.4, 0.6
_JOINT = "\N{NO-BREAK SPACE}"

_UNITS = {
    "degrees_east": "°E",
    "degrees_north": "°N",
    "degree_celsius": "°C",
    "degrees_celsius": "°C",
    "celsius": "°C",
    "degc": "°C",
    "degree": "°",
    "degrees": "°",
}
#: Zero is the middle of the colours if the shorter side has at least this share of the longer.
_SIGNED = 0.25


def pyplot() -> ModuleType:
    """Return `matplotlib.pyplot`, or say how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('plots need matplotlib; fix: pip install "xr4dvar[plot]"') from error
    return plt


def figure(size: tuple[float, float], layout: str) -> Figure:
    """Return a new figure of pyplot's, of so many inches."""
    plt = pyplot()
    from xr4dvar.plots.figure import ShownOnce

    made: Figure = plt.figure(figsize=size, layout=layout, FigureClass=ShownOnce)
    return made


def by_name(reconstruction: object) -> dict[str, Any]:
    """Return reconstructions by name, whether one or several are given."""
    if reconstruction is None:
        return {}
    # a Dataset passes for a mapping, but holds other quantities, not other maps of the same
    if isinstance(reconstruction, xr.Dataset) or not isinstance(reconstruction, Mapping):
        return {"reconstruction": reconstruction}
    if reserved := {"observations", "truth"} & set(reconstruction):
        names = f"reconstructions cannot be called {sorted(reserved)}"
        raise InputError([(names, "give them other names")])
    return dict(reconstruction)


def check_arrays(fields: Mapping[str, object]) -> None:
    """Refuse all that is no DataArray, by name."""
    problems = Problems()
    for name, field in fields.items():
        if isinstance(field, xr.Dataset):
            found = list(field.data_vars)
            what = f"{name} is a Dataset, of {', '.join(map(repr, found)) or 'no variables'}"
            variable = repr(found[0]) if found else "..."
            problems.add(what, f"draw one variable at a time, {name}[{variable}]")
        elif not isinstance(field, xr.DataArray):
            what = f"{name} is a {type(field).__name__}, not a DataArray"
            problems.add(what, "label it, xr.DataArray(..., dims=..., coords=...)")
    problems.raise_if_any()


def label(array: xr.DataArray) -> str:
    """Return what an axis or colour bar says: long name and unit, as attributes give them."""
    name = "" if array.name is None else array.name
    words = array.attrs.get("long_name", array.attrs.get("standard_name", name))
    text = str(words).replace("_", " ")
    return f"{text} ({unit(array)})".lstrip() if unit(array) else text


def unit(array: xr.DataArray) -> str:
    """Return the unit as it is printed, nothing for plain numbers."""
    text = str(array.attrs.get("units", "1"))
    return "" if text == "1" else _UNITS.get(text.lower().replace(" ", "_"), text)


def set_title(panel: Panel, title: str, columns: int) -> None:
    """Set a title in as many lines as it takes not to run over the next of so many columns."""
    points = 72 * (panel.figure.bbox.width / panel.figure.dpi - _MARGIN) / columns
    letters = points / (_LETTER * float(panel.title.get_fontsize()))
    # what is in brackets stays together
    joined = re.sub(r"\(.*?\)", lambda found: found[0].replace(" ", _JOINT), title)
    panel.set_title(fill(joined, max(int(letters), 1)).replace(_JOINT, " "))


def limits(fields: Iterable[FloatArray]) -> tuple[float, float, bool]:
    """Return low, high and whether the fields are signed: robust, symmetric if signed."""
    low, high = _percentiles(fields, (2, 98))
    signed = low < 0 < high and min(-low, high) >= _SIGNED * max(-low, high)
    if signed:
        high = max(-low, high)
        low = -high
    if low == high:
        low, high = low - 0.5, high + 0.5
    return low, high, signed


def error_limit(errors: Iterable[FloatArray]) -> float:
    """Return a bound that 98 % of the errors keep."""
    (bound,) = _percentiles((np.abs(error) for error in errors), (98,))
    return bound or 1.0


def _percentiles(fields: Iterable[FloatArray], shares: tuple[int, ...]) -> list[float]:
    values = np.concatenate([np.ravel(field) for field in fields])
    values = values[np.isfinite(values)]
    return [float(q) for q in np.percentile(values, shares)] if values.size else [0.0] * len(shares)


def extend(fields: Iterable[FloatArray], low: float, high: float) -> str:
    """Which ends of the colour bar are exceeded, in matplotlib's words."""
    values = [field[np.isfinite(field)] for field in fields]
    below = any((value < low).any() for value in values)
    above = any((value > high).any() for value in values)
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]


def horizontal(field: xr.DataArray, axes: Axes) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the x and y coordinates to draw a (y, x) field on; cell numbers if there are none."""
    x, y = (
        field[axes.coordinates[role]] if role in axes.coordinates else field[axes.dim(role)]
        for role in ("x", "y")
    )
    return x, y


def _true_aspect(x: xr.DataArray, y: xr.DataArray) -> float | str:
    """Return the aspect that keeps all shapes: by the cosine of latitude, or equal for lengths."""
    if is_latitude_or_longitude("y", y):
        factor = degrees_factor(y, Problems()) or 1.0
        return float(1 / np.cos(np.deg2rad(factor * y.mean().item())))
    same = x.attrs.get("units") == y.attrs.get("units")
    return "equal" if same else "auto"


def aspect(x: xr.DataArray, y: xr.DataArray) -> float | str:
    """Return the aspect that keeps shapes, or "auto" for a domain that is much too high or wide."""
    low, high = _RATIOS
    return _true_aspect(x, y) if low <= _true_ratio(x, y) <= high else "auto"


def ratio(x: xr.DataArray, y: xr.DataArray) -> float:
    """Return height over width of a panel: that of the data, within bounds."""
    return float(np.clip(_true_ratio(x, y), *_RATIOS))


def _true_ratio(x: xr.DataArray, y: xr.DataArray) -> float:
    shape = _true_aspect(x, y)
    if isinstance(shape, str) and shape == "auto":
        return 0.8
    spans: Any = [float(c.max() - c.min()) or 1.0 for c in (x, y)]
    stretch = 1.0 if isinstance(shape, str) else shape
    return float(spans[1] * stretch / spans[0])
