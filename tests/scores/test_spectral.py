"""The spectral score: against a written-out transform, known filters and known noise."""

from __future__ import annotations

from collections.abc import Callable

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.labels import find_axes, make_grid
from xr4dvar.scores import positive_power, resolution, spectral_score
from xr4dvar.testing import raise_if_dask_computes

N_TIME, N_LAT, N_LON = 48, 60, 64
STEP = 0.25  # degree


def fields(values: np.ndarray) -> xr.DataArray:
    n_time, n_lat, n_lon = values.shape
    coords = {
        "time": xr.date_range("2012-10-22", periods=n_time),
        "lat": 30 + 0.1 * np.arange(n_lat),
        "lon": -65 + STEP * np.arange(n_lon),
    }
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords)


def scored(reconstruction: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    grid = make_grid(reconstruction, find_axes(reconstruction))
    return spectral_score(reconstruction, truth, grid=grid, mean=["lat"])


def filtered(values: np.ndarray, transfer: np.ndarray) -> np.ndarray:
    spectrum = np.fft.fftn(values, axes=(0, 2))
    return np.fft.ifftn(spectrum * transfer[:, None, :], axes=(0, 2)).real


def frequencies(n_time: int, n_lon: int) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.fftfreq(n_time)[:, None], np.fft.fftfreq(n_lon, STEP)[None]


@pytest.mark.parametrize("shape", [(7, 9), (8, 10), (8, 9)])
def test_power_is_the_windowed_fourier_sum(shape: tuple[int, int]) -> None:
    n_t, n_x = shape
    plane = np.random.default_rng(0).normal(3.0, 1.0, size=shape)
    t, x = np.arange(n_t), np.arange(n_x)
    window = np.outer(
        0.5 - 0.5 * np.cos(2 * np.pi * t / n_t), 0.5 - 0.5 * np.cos(2 * np.pi * x / n_x)
    )
    power = positive_power(plane)
    assert power.shape == ((n_t - 1) // 2, (n_x - 1) // 2)
    for k in range(power.shape[0]):
        for m in range(power.shape[1]):
            wave = np.exp(-2j * np.pi * ((k + 1) * t[:, None] / n_t + (m + 1) * x / n_x))
            direct = abs(((plane - plane.mean()) * window * wave).sum()) ** 2
            assert power[k, m] == pytest.approx(direct, rel=1e-9)


def test_axes_are_wavelengths_and_periods() -> None:
    truth = fields(np.random.default_rng(0).normal(size=(10, 3, 9)))
    score = scored(0.5 * truth, truth)
    np.testing.assert_allclose(score.period, 10 / np.arange(1, 5))
    np.testing.assert_allclose(score.wavelength, 9 * STEP / np.arange(1, 5))
    assert score.period.attrs["units"] == "day"
    assert score.wavelength.attrs["units"] == "degree"
    np.testing.assert_allclose(score, 0.75)  # |1 - 0.5|^2 of the power is missing everywhere


def test_low_pass_filter_is_crossed_where_its_transfer_says() -> None:
    """1 - |1 - T|^2 = 1/2 where T = 1 - sqrt(1/2), in both directions."""
    rng = np.random.default_rng(5)
    truth = rng.normal(size=(N_TIME, 2 * N_LAT, N_LON))
    f_t, f_x = frequencies(N_TIME, N_LON)
    reach_t, reach_x = 0.12, 0.6
    transfer = np.exp(-((f_t / reach_t) ** 2) - (f_x / reach_x) ** 2)
    lambda_x, lambda_t = resolution(scored(fields(filtered(truth, transfer)), fields(truth)))
    # along one axis the other still counts, at its lowest frequency
    fall = -np.log(1 - np.sqrt(0.5))
    cut_x = reach_x * np.sqrt(fall - (f_t[1, 0] / reach_t) ** 2)
    cut_t = reach_t * np.sqrt(fall - (f_x[0, 1] / reach_x) ** 2)
    assert lambda_x.item() == pytest.approx(1 / cut_x, rel=0.03)
    assert lambda_t.item() == pytest.approx(1 / cut_t, rel=0.05)


def test_white_error_is_crossed_where_the_truth_has_twice_its_power() -> None:
    rng = np.random.default_rng(6)
    f_t, f_x = frequencies(N_TIME, N_LON)
    reach_t, reach_x, noise = 0.15, 0.7, 0.2
    amplitude = np.exp(-0.5 * (f_t / reach_t) ** 2 - 0.5 * (f_x / reach_x) ** 2)
    truth = filtered(rng.normal(size=(N_TIME, 4 * N_LAT, N_LON)), amplitude)
    error = noise * rng.normal(size=truth.shape)
    lambda_x, lambda_t = resolution(scored(fields(truth + error), fields(truth)))
    fall = -np.log(2 * noise**2)
    cut_x = reach_x * np.sqrt(fall - (f_t[1, 0] / reach_t) ** 2)
    cut_t = reach_t * np.sqrt(fall - (f_x[0, 1] / reach_x) ** 2)
    assert lambda_x.item() == pytest.approx(1 / cut_x, rel=0.04)
    assert lambda_t.item() == pytest.approx(1 / cut_t, rel=0.04)


def test_perfect_and_unrelated_fields() -> None:
    rng = np.random.default_rng(0)
    truth, other = (fields(rng.normal(size=(N_TIME, N_LAT, N_LON))) for _ in range(2))
    perfect = [value.item() for value in resolution(scored(truth, truth))]
    assert perfect == pytest.approx([N_LON * STEP / (N_LON // 2 - 1), N_TIME / (N_TIME // 2 - 1)])
    assert np.isnan(resolution(scored(other, truth))[0])


def test_storage_order_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    truth = fields(rng.normal(size=(12, 4, 14)).cumsum(0).cumsum(2))
    reconstruction = truth.rolling(time=3, lon=3, center=True, min_periods=1).mean()
    expected = scored(reconstruction, truth)
    for change in ({"lon": slice(None, None, -1)}, {"time": slice(None, None, -1)}):
        xr.testing.assert_allclose(
            scored(reconstruction.isel(change), truth.isel(change)), expected
        )
    turned = reconstruction.transpose("lon", "lat", "time")
    xr.testing.assert_allclose(scored(turned, truth), expected)


def test_members_keep_their_dimension_and_a_truth_without_them_is_shared() -> None:
    rng = np.random.default_rng(0)
    truth = fields(rng.normal(size=(12, 4, 14)))
    both = xr.concat([0.5 * truth, 0.9 * truth], "member")
    score = scored(both, truth)
    assert score.dims == ("member", "period", "wavelength")
    np.testing.assert_allclose(score.isel(member=1), 0.99)


def test_gaps_give_nan_not_numbers() -> None:
    truth = fields(np.random.default_rng(0).normal(size=(12, 4, 14)))
    gappy = truth.where((truth.lat != truth.lat[1]) | (truth.lon != truth.lon[2]))
    assert np.isnan(scored(gappy, truth)).all()


def test_no_power_in_the_truth() -> None:
    truth = fields(np.zeros((12, 4, 14)))
    assert (scored(truth, truth) == 1).all()
    noise = fields(np.random.default_rng(0).normal(size=(12, 4, 14)))
    assert (scored(noise, truth) == -np.inf).all()


@pytest.mark.parametrize("chunks", [{"time": 5, "lat": 3, "lon": 4}, {"lat": 2}])
def test_lazy_equals_eager(chunks: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    truth = fields(rng.normal(size=(12, 6, 14)))
    reconstruction = truth + 0.3 * fields(rng.normal(size=truth.shape))
    with raise_if_dask_computes():
        lazy = scored(reconstruction.chunk(chunks), truth.chunk(chunks))
    assert isinstance(lazy.data, da.Array)
    xr.testing.assert_allclose(lazy, scored(reconstruction, truth), rtol=1e-12)


def test_whole_planes_do_not_gather_all_latitudes() -> None:
    """Chunked along time only, a long series must not end in one block."""
    truth = fields(np.zeros((40, 50, 60))).chunk(time=10)
    with dask.config.set({"array.chunk-size": "200kiB"}):
        score = scored(truth, truth)
    layers = score.data.__dask_graph__().layers
    blocks = [len(layer) for name, layer in layers.items() if "positive_power" in name]
    # 50 latitudes of 40 x 60 float64, 19 kB each: at most ten fit
    assert blocks
    assert min(blocks) >= 5


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: f.isel(time=[0, 1, 2, 4, 5, 6, 9]), "time is not evenly spaced"),
        (lambda f: f.isel(lon=[0, 1, 2, 3, 5, 6]), r"lon is not evenly spaced.*\.interp\(lon="),
        (lambda f: f.isel(time=slice(4)), "time has 4 points"),
        (lambda f: f.isel(time=0), "need an axis of time"),
    ],
)
def test_axes_that_have_no_spectrum(
    change: Callable[[xr.DataArray], xr.DataArray], text: str
) -> None:
    truth = change(fields(np.random.default_rng(0).normal(size=(12, 4, 14))))
    with pytest.raises(InputError, match=text):
        scored(truth, truth)
