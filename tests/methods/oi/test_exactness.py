"""Optimal interpolation through the verbs is the dense closed form, in float64."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.covariance import FAMILIES, Separable, Spherical, gridded
from xr4dvar.methods.oi import engine as oi_solve
from xr4dvar.testing import raise_if_dask_computes

START = np.datetime64("2020-01-01", "ns")


def dates(days):
    return START + np.rint(np.asarray(days) * 86_400e9).astype("m8[ns]")


def spaced(kind, n, step):
    """An even axis, one of two spacings, or an irregular one."""
    if kind == "even":
        return step * np.arange(n)
    steps = np.where(np.arange(n - 1) < n // 2, 1.8, 0.2)
    if kind == "irregular":
        steps = np.random.default_rng(0).uniform(0.2, 1.8, n - 1)
    return np.round(step * np.concatenate([[0.0], np.cumsum(steps)]), 6)


def scene(kind, what):
    """Axes (None where there is none), lengths of a prior, and the covariance they mean."""
    if what == "time":
        return (spaced(kind, 150, 0.25), None, None), {"time": "1D"}, ((1.0, 1.0, 1.0), None)
    lat, lon = 30 + spaced(kind, 15, 0.25), spaced(kind, 14, 0.25)
    if what == "plane":
        return (None, lat, lon), {"lat": 1.0, "lon": 1.2}, ((1.0, 1.0, 1.2), None)
    if what == "sphere":
        even = 0.25 * np.arange(14)
        return (None, 60 + 0.25 * np.arange(15), even), {"lat": "100 km"}, (None, 100.0)
    days = spaced(kind, 5, 1.0)
    length = {"time": "3D", "lat": 1.0, "lon": 1.2}
    return (days, lat[:8], lon[:9]), length, ((3.0, 1.0, 1.2), None)


def closed_form(model, places, values, ratio, at):
    """Map and standard deviation of its error."""
    system = model.between(places, places) + ratio * torch.eye(len(places), dtype=torch.float64)
    cross = model.between(places, at)
    gain = torch.linalg.solve(system, cross)
    variance = (1.0 - (gain * cross).sum(0)).clamp(min=0.0)
    return (gain.T @ values).numpy(), variance.sqrt().numpy()


@pytest.mark.parametrize("ratio", [1e-1, 1e-4, 1e-8])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["even", "two spacings", "irregular"])
@pytest.mark.parametrize("what", ["time", "plane", "all three", "sphere"])
def test_both_verbs_are_the_closed_form(what, kind, family, ratio):
    axes, length, (lengths, metric) = scene(kind, what)
    model = Separable(lengths, family) if lengths else Spherical((1.0, metric), family)
    names = ("time", "lat", "lon")
    own = [np.zeros(1) if a is None else a for a in axes]
    cells = torch.cartesian_prod(*(torch.tensor(a, dtype=torch.float64) for a in own))
    coords = {n: (dates(a) if n == "time" else a) for n, a in zip(names, axes, strict=True)
              if a is not None}  # fmt: skip
    generator = np.random.default_rng(1)
    chosen = np.sort(generator.permutation(len(cells))[: int(0.4 * len(cells))])
    noise = ratio**0.5 * generator.normal(size=len(chosen))
    values = torch.tensor(np.sin(cells[chosen].numpy().sum(1)) + noise)
    expected = closed_form(model, cells[chosen], values, ratio, cells)
    field = np.full(len(cells), np.nan)
    field[chosen] = values
    grid = xr.DataArray(field.reshape([len(a) for a in coords.values()]), coords, list(coords), "x")
    oi = xv.OptimalInterpolation(
        length=length, variance=1.0, error_variance=ratio, mean=0.0, family=family
    )
    maps = xv.reconstruct(grid, oi, error=True, progress=False)
    stacked = grid.stack(obs=list(coords)).dropna("obs").reset_index("obs")
    points = xv.map_points(stacked, oi, grid, error=True)
    # the closed form itself is right to 1e-6 where its matrix has a condition number of 1e10
    for found in (maps, points):
        np.testing.assert_allclose(found.x.values.ravel(), expected[0], rtol=0, atol=3e-6)
        np.testing.assert_allclose(found.x_error.values.ravel(), expected[1], rtol=0, atol=1e-5)


def field(n=4000, seed=3):
    """Smooth numbers on a long, gappy axis."""
    x = np.arange(n)
    values = np.sin(x / 9) + 0.3 * np.cos(x / 23)
    seen = np.random.default_rng(seed).random(n) < 0.5
    return xr.DataArray(np.where(seen, values, np.nan), dims="x", coords={"x": x * 1.0}, name="w")


@pytest.mark.parametrize("factor", [1.0, 6e19, 1e-17])
@pytest.mark.parametrize("offset", [0.0, 980123.4])
def test_no_offset_and_no_unit_costs_digits(offset, factor):
    obs = field(300)
    oi = xv.OptimalInterpolation(length=12.0)
    plain = xv.reconstruct(obs, oi, progress=False)
    other = xv.reconstruct((obs + offset) * factor, oi, progress=False) / factor - offset
    assert float(np.abs(other - plain).max()) < 1e-15 * offset * 10 + 1e-9
    small = xv.reconstruct((obs * factor).astype("float32"), oi, progress=False)
    assert small.dtype == np.float32
    np.testing.assert_allclose(small / np.float32(factor), plain, atol=1e-5)


def test_milliseconds_are_milliseconds():
    n = 60
    values = np.sin(np.arange(n) / 4)
    seen = np.random.default_rng(0).random(n) < 0.4
    time = np.datetime64("2024-05-01", "ns") + np.arange(n) * np.timedelta64(1_000_000, "ns")
    obs = xr.DataArray(np.where(seen, values, np.nan), dims="time", coords={"time": time}, name="w")
    oi = xv.OptimalInterpolation(
        length={"time": "4ms"}, variance=0.5, error_variance=1e-4, mean=0.0
    )
    t = torch.zeros(n, 3, dtype=torch.float64)
    t[:, 0] = torch.arange(n)
    expected, _ = closed_form(
        Separable((4.0, 1.0, 1.0)), t[seen], torch.tensor(values[seen]), 2e-4, t
    )
    # dates are days in float64, whose last digit is a ten-thousandth of a millisecond here
    np.testing.assert_allclose(xv.reconstruct(obs, oi, progress=False), expected, atol=2e-3)


def test_an_hour_is_no_day_where_the_spacing_changes():
    for days in (np.r_[0:60, 60 + np.arange(48) / 24], np.r_[np.arange(48) / 24, 2:32]):
        values = np.sin(days / 2)
        seen = np.random.default_rng(0).random(len(days)) < 0.5
        obs = xr.DataArray(
            np.where(seen, values, np.nan), dims="time", coords={"time": dates(days)}, name="w"
        )
        oi = xv.OptimalInterpolation(
            length={"time": "1D"}, variance=1.0, error_variance=0.05, mean=0.0
        )
        t = torch.zeros(len(days), 3, dtype=torch.float64)
        t[:, 0] = torch.tensor(days)
        expected = closed_form(
            Separable((1.0, 1.0, 1.0)), t[seen], torch.tensor(values[seen]), 0.05, t
        )
        found = xv.reconstruct(obs, oi, error=True, progress=False)
        np.testing.assert_allclose(found.w, expected[0], atol=1e-8)
        np.testing.assert_allclose(found.w_error, expected[1], atol=1e-8)


def test_windows_of_a_long_axis_are_the_whole():
    obs = field()
    oi = xv.OptimalInterpolation(length=12.0, variance=1.0, error_variance=0.01, mean=0.0)
    assert obs.rename(x="time").fourdvar.plan(
        xv.OptimalInterpolation(length={"time": 12.0}, variance=1.0, error_variance=0.01, mean=0.0)
    ).model_calls > 1  # fmt: skip
    whole = xv.reconstruct(obs, oi, progress=False)
    cut = xv.reconstruct(
        obs.rename(x="time"),
        xv.OptimalInterpolation(length={"time": 12.0}, variance=1.0, error_variance=0.01, mean=0.0),
        progress=False,
    )
    np.testing.assert_allclose(cut, whole, atol=1e-3)


@pytest.mark.parametrize("chunks", [None, {"time": 30}])
def test_what_is_not_given_is_that_of_all_data(chunks):
    """A window without an observation has the mean of all, with the error of the prior."""
    generator = np.random.default_rng(0)
    obs = xr.DataArray(
        290 + 2.0 * generator.normal(size=(120, 5, 5)),
        dims=("time", "lat", "lon"),
        coords={"time": dates(np.arange(120)), "lat": np.arange(5.0), "lon": np.arange(5.0)},
        name="sst",
    )
    obs[30:90] = np.nan
    length = {"time": "2D", "lat": 0.5, "lon": 0.5}
    given = obs if chunks is None else obs.chunk(chunks)
    with raise_if_dask_computes():
        oi = xv.OptimalInterpolation(length=length)
        maps = xv.reconstruct(given, oi, error=True, progress=False)
    middle = maps.isel(time=60, lat=2, lon=2).compute()
    assert float(middle.sst) == pytest.approx(float(obs.mean()), abs=1e-6)
    prior = float(obs.std()) / 1.05**0.5  # the rest is the error of the observations
    assert float(middle.sst_error) == pytest.approx(prior, rel=1e-6)
    fitted = xv.fit(obs, xv.OptimalInterpolation(length=length), validation=0.01)
    same = xv.reconstruct(obs, fitted, progress=False)
    assert float(np.abs(maps.sst.compute() - same).max()) < 0.05 * prior


def test_errors_are_in_the_units_of_the_data():
    oi = xv.OptimalInterpolation(length=12.0)
    for factor in (0.1, 1.0, 100.0):
        found = xv.reconstruct(factor * field(300)[::2], oi, error=True, progress=False).w_error
        assert float(found.max()) < factor
        assert float(found.max()) > 0.01 * factor


@pytest.mark.parametrize("name", ["time", "lat"])
def test_an_axis_that_closes_closes_in_the_covariance(name):
    """Twelve months, the first and the last missing: the year goes on."""
    months = np.arange(12.0)
    truth = 10 * np.cos(2 * np.pi * months / 12)
    obs = xr.DataArray(truth, dims="m", coords={"m": months}, name="c")
    obs = obs.where((obs.m > 0) & (obs.m < 11))
    length = {name: 3.0}
    oi = xv.OptimalInterpolation(length=length, variance=50.0, error_variance=0.1, mean=0.0)
    dims = {name: "m"}
    found = xv.reconstruct(obs, oi, dims=dims, periodic=("m",), progress=False)
    chord = 12 / np.pi * np.abs(np.sin(np.pi * (months[:, None] - months) / 12))
    prior = 50 * np.exp(-((chord / 3) ** 2))
    seen = obs.notnull().values
    gain = np.linalg.solve(prior[seen][:, seen] + 0.1 * np.eye(10), prior[seen])
    np.testing.assert_allclose(found, gain.T @ truth[seen], atol=1e-8)
    turned = obs.roll(m=5).assign_coords(m=months)
    again = xv.reconstruct(turned, oi, dims=dims, periodic=("m",), progress=False)
    np.testing.assert_allclose(again.roll(m=-5).values, found.values, atol=1e-8)


def test_what_double_precision_cannot_tell_is_refused():
    oi = xv.OptimalInterpolation(length=12.0, variance=1.0, error_variance=1e-30, mean=0.0)
    with pytest.raises(xv.InputError, match="less than 1e-10 of the prior variance"):
        xv.reconstruct(field(300), oi, progress=False)


def test_a_map_that_does_not_converge_is_warned_of_with_the_size(caplog, monkeypatch):
    monkeypatch.setattr(gridded, "FEW", 0)
    monkeypatch.setattr(gridded, "MANY", 0)
    monkeypatch.setattr(oi_solve, "analyse", partial(gridded.analyse, max_iterations=3))
    oi = xv.OptimalInterpolation(length=12.0, variance=1.0, error_variance=1e-9, mean=0.0)
    with caplog.at_level(logging.WARNING, "xr4dvar"):
        xv.reconstruct(field(900), oi, progress=False)
    assert "may be wrong by" in caplog.text
    caplog.clear()
    monkeypatch.undo()
    xv.reconstruct(field(900), oi, progress=False)
    assert not caplog.records


def test_what_was_found_is_told():
    ds = xv.datasets.gulfstream_twin().isel(time=slice(20), lat=slice(30), lon=slice(30))
    model = xv.fit(ds.ssh_nadir4, xv.OptimalInterpolation(scales=1), target=ds.ssh)
    [variable] = model.parameters.settings["variables"]
    text = f"error variance {variable['error_variance']:.3g}"
    assert text in repr(model)
    maps = xv.reconstruct(ds.ssh_nadir4, model, progress=False)
    assert text in maps.attrs["xr4dvar_found"]
    assert f"y {variable['terms'][0]['y']:.3g}" in repr(model)


@pytest.mark.parametrize("size", [1400, 1390, 2000])
def test_windows_of_a_long_series_are_the_whole(size):
    """Whatever the last window, which is moved back to the end of the axis, overlaps with."""
    days = 0.25 * np.arange(size)
    seen = np.sort(np.random.default_rng(1).permutation(size)[: size // 3])
    everywhere = torch.zeros(size, 3, dtype=torch.float64)
    everywhere[:, 0] = torch.as_tensor(days)
    places = everywhere[seen]
    values = torch.as_tensor(np.random.default_rng(2).normal(size=len(seen)))
    obs = xr.DataArray(np.full(size, np.nan), {"time": dates(days)}, "time", "x")
    obs[seen] = values.numpy()
    oi = xv.OptimalInterpolation(length={"time": "1D"}, variance=1.0, error_variance=0.01, mean=0.0)
    maps = xv.reconstruct(obs, oi, error=True, progress=False)
    expected, error = closed_form(Separable((1.0, 1.0, 1.0)), places, values, 0.01, everywhere)
    assert (np.abs(maps.x - expected) <= 0.01 * error + 1e-6).all()
    np.testing.assert_allclose(maps.x_error, error, atol=0.02)
