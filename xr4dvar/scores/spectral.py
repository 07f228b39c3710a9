"""The spectral score of time and longitude, and the scales that it says are resolved.

Source: data challenge 2020a, SSH mapping (NATL60): power over (time, lon) for each latitude,
mean over latitude, score = 1 - PSD(error) / PSD(truth), resolved where the score is 0.5 or more.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

import numpy as np
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.labels.coordinates import Coordinate
from xr4dvar.labels.grid import Grid
from xr4dvar.scores.resolution import effective_resolution
from xr4dvar.types import FloatArray, Role

#: Two positive frequencies below Nyquist, the least in which a crossing can be found.
_SHORTEST = 5


def positive_power(plane: FloatArray) -> FloatArray:
    """Power of (time, x) planes at positive frequencies, constant removed, Hann window.

    Parameters
    ----------
    plane : ndarray (..., time, x)
        Evenly sampled along both axes.

    Returns
    -------
    ndarray (..., (n_time - 1) // 2, (n_x - 1) // 2)
        Squared modulus, frequencies ascending; zero and Nyquist are left out. Of the two
        directions in which a wave can travel it is the one of the challenge, towards smaller x.

    Examples
    --------
    >>> positive_power(np.ones((6, 8))).shape
    (2, 3)
    """
    n_time, n_x = plane.shape[-2:]
    window = _hann(n_time)[:, None] * _hann(n_x)
    anomaly = plane - plane.mean(axis=(-2, -1), keepdims=True)
    spectrum = np.fft.fft(np.fft.rfft(window * anomaly, axis=-1), axis=-2)
    positive = spectrum[..., 1 : (n_time + 1) // 2, 1 : (n_x + 1) // 2]
    return positive.real**2 + positive.imag**2


def spectral_score(
    reconstruction: xr.DataArray,
    truth: xr.DataArray,
    *,
    grid: Grid,
    mean: Collection[Hashable] = (),
) -> xr.DataArray:
    """Return 1 - PSD(error) / PSD(truth) by period and wavelength.

    Parameters
    ----------
    reconstruction, truth : DataArray
        On the same grid, complete: a gap makes the score of its (time, x) planes NaN. With dask,
        each task takes whole (time, x) planes: the input is rechunked along time and x, and
        split along the other dimensions to dask's usual chunk size.
    grid : Grid
        Of the reconstruction; the spectra run over its time and x axes, both evenly spaced.
    mean : collection of hashable
        Dimensions over which the spectra are averaged before the division, latitude as a rule;
        those that a spectrum does not have are passed over.

    Returns
    -------
    DataArray (..., period, wavelength)
        From the longest period and wavelength to the shortest; one is perfect, below 0.5 counts
        as not resolved. Lazy if the input is.

    Raises
    ------
    InputError
        If there is no time or x axis, or one is uneven or shorter than five points.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, make_grid
    >>> rng = np.random.default_rng(0)
    >>> truth = xr.DataArray(rng.normal(size=(16, 4, 16)), dims=("time", "lat", "lon"))
    >>> grid = make_grid(truth, find_axes(truth))
    >>> score = spectral_score(0.5 * truth, truth, grid=grid, mean=["lat"])
    >>> bool(np.allclose(score, 0.75))
    True
    """
    if problem := spectral_problem(grid):
        raise InputError([problem])
    time, x = grid.axes.dim("time"), grid.axes.dim("x")
    # the direction of travel must not depend on how the field is stored
    flips = {
        axis_dim: slice(None, None, -1)
        for axis_dim, axis in ((time, grid["time"]), (x, grid["x"]))
        if axis.descending
    }
    truth = truth.astype("float64")
    error = reconstruction.astype("float64") - truth
    error_power = _mean_power(error.isel(flips), time, x, mean)
    truth_power = _mean_power(truth.isel(flips), time, x, mean)
    score: xr.DataArray = xr.apply_ufunc(
        _one_minus_ratio, error_power, truth_power, dask="parallelized", output_dtypes=[float]
    )
    score = score.transpose(..., "period", "wavelength").assign_coords(
        period=_lengths(grid["time"], "period"), wavelength=_lengths(grid["x"], "wavelength")
    )
    score = score.rename("spectral_score")
    score.attrs = {"long_name": "1 - PSD(error) / PSD(truth)", "units": "1"}
    return score


def resolution(score: xr.DataArray, level: float = 0.5) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the smallest resolved wavelength and period of a `spectral_score`.

    Parameters
    ----------
    score : DataArray (..., period, wavelength)
    level : float, default 0.5

    Returns
    -------
    lambda_x, lambda_t : DataArray
        See `effective_resolution` for the definition of the crossing.

    Examples
    --------
    >>> wavelength = xr.DataArray([4.0, 2.0, 1.0], dims="wavelength")
    >>> period = xr.DataArray([9.0, 6.0, 3.0], dims="period")
    >>> score = xr.where(wavelength >= 2, 1.0, 0.0) * xr.where(period >= 6, 1.0, 0.0)
    >>> coords = {"period": period, "wavelength": wavelength}
    >>> x, t = resolution(score.transpose().assign_coords(coords))
    >>> float(x), float(t)
    (1.5, 4.5)
    """
    lambda_x, lambda_t = xr.apply_ufunc(
        effective_resolution,
        score,
        score.period.variable,
        score.wavelength.variable,
        input_core_dims=[["period", "wavelength"], ["period"], ["wavelength"]],
        output_core_dims=[[], []],
        kwargs={"level": level},
        vectorize=True,
        dask="parallelized",
        output_dtypes=[float, float],
    )
    return lambda_x, lambda_t


def spectral_problem(grid: Grid) -> tuple[str, str] | None:
    """Say why there are no spectra on a grid, and what helps; None if nothing is wrong."""
    if not {"time", "x"} <= set(grid.roles):
        what = "spectral scores need an axis of time and one of longitude"
        return what, 'name them, as in dims={"time": "t", "lon": "i"}'
    roles: tuple[Role, ...] = ("time", "x")
    for role in roles:
        dim, axis = grid.axes.dim(role), grid[role]
        if axis.size < _SHORTEST:
            what = f"{dim} has {axis.size} points, spectral scores need at least {_SHORTEST}"
            return what, f"score a longer range of {dim}"
        if not axis.uniform:
            steps = np.diff(axis.values)
            even = ".resample({}='1D').mean()" if axis.units == "day" else ".interp({}=...)"
            return (
                f"{dim} is not evenly spaced (steps from {steps.min():g} to {steps.max():g}), "
                "spectral scores need one step",
                f"put both fields on an even axis, as with {even.format(dim)}",
            )
    return None


def _mean_power(
    field: xr.DataArray, time: Hashable, x: Hashable, mean: Collection[Hashable]
) -> xr.DataArray:
    if field.chunks is not None:
        rest = {dim: "auto" for dim in field.dims if dim not in (time, x)}
        field = field.chunk({time: -1, x: -1, **rest})
    sizes = {"period": (field.sizes[time] - 1) // 2, "wavelength": (field.sizes[x] - 1) // 2}
    power: xr.DataArray = xr.apply_ufunc(
        positive_power,
        field,
        input_core_dims=[[time, x]],
        output_core_dims=[["period", "wavelength"]],
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": sizes},
    )
    # time and x are gone, and a truth without members has no dimension of members
    return power.mean([dim for dim in mean if dim in power.dims], skipna=False)


def _one_minus_ratio(error: FloatArray, truth: FloatArray) -> FloatArray:
    """Where the truth has no power, no error is a score of one and any error minus infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = error / truth
    return 1.0 - np.where((error == 0) & (truth == 0), 0.0, ratio)


def _hann(n: int) -> FloatArray:
    """Periodic Hann window, as `scipy.signal.get_window("hann", n)`."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)


def _lengths(axis: Coordinate, name: str) -> xr.Variable:
    """Return the periods or wavelengths of the positive frequencies along an axis."""
    span = axis.size * axis.spacing
    attrs = {"long_name": name, "units": axis.units}
    return xr.Variable((name,), span / np.arange(1, (axis.size + 1) // 2), attrs)
