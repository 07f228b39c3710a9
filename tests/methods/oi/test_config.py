"""Optimal interpolation through the verb: the textbook formula, on every kind of grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.covariance import Separable, Spherical, Sum
from xr4dvar.labels import find_axes, make_grid
from xr4dvar.methods.oi import windows
from xr4dvar.testing import raise_if_dask_computes

LENGTH = {"time": "3D", "lat": 2.0, "lon": 3.0}


def gappy(shape=(6, 9, 10), seed=0, share=0.3, lon=10.0, days=None):
    generator = np.random.default_rng(seed)
    days = np.arange(shape[0]) if days is None else np.asarray(days)
    smooth = np.add.outer(
        np.sin(days), np.add.outer(np.cos(np.arange(shape[1])), np.zeros(shape[2]))
    )
    values = smooth + 0.3 * generator.normal(size=shape)
    obs = xr.DataArray(
        np.where(generator.random(shape) < share, values, np.nan),
        dims=("time", "lat", "lon"),
        name="ssh",
        attrs={"units": "m", "standard_name": "sea_surface_height"},
        coords={
            "time": np.datetime64("2020-01-01", "ns") + days.astype("m8[D]"),
            "lat": 40.0 + np.arange(shape[1]),
            "lon": lon + np.arange(shape[2]),
        },
    )
    return obs


def dense(obs, covariance, error, mean):
    """Analysis and standard deviation of its error, from the formula."""
    days = ((obs.time - obs.time[0]) / np.timedelta64(1, "D")).values
    axes = [torch.tensor(a, dtype=torch.float64) for a in (days, obs.lat.values, obs.lon.values)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    values = torch.tensor(obs.values.ravel(), dtype=torch.float64)
    seen = values.isfinite()
    error = torch.as_tensor(np.broadcast_to(error, obs.shape).ravel().copy())[seen]
    cross = covariance.between(places, places[seen])
    gain = torch.linalg.solve(cross[seen] + torch.diag(error), cross.T).T
    maps = mean + gain @ (values[seen] - mean)
    variance = covariance.variance - (gain * cross).sum(1)
    return maps.reshape(obs.shape).numpy(), variance.sqrt().reshape(obs.shape).numpy()


TWO = Sum((Separable((3.0, 2.0, 3.0), variance=1.5), Separable((1.0, 1.0, 1.0), variance=0.5)))
CASES = {
    "gaussian": (
        {"length": LENGTH, "variance": 2.0},
        Separable((3.0, 2.0, 3.0), variance=2.0),
    ),
    "matern": (
        {"length": LENGTH, "variance": 2.0, "family": "matern32"},
        Separable((3.0, 2.0, 3.0), "matern32", 2.0),
    ),
    "two scales": (
        {"length": [LENGTH, {"time": "1D", "lat": 1.0}], "variance": [1.5, 0.5]},
        TWO,
    ),
    "sphere": (
        {"length": {"time": "3D", "lat": "200 km"}, "variance": 2.0},
        Spherical((3.0, 200.0), variance=2.0),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("each", [False, True])
def test_is_the_dense_solve(case, each):
    settings, covariance = CASES[case]
    obs = gappy()
    oi = xv.OptimalInterpolation(**settings, error_variance=0.1, mean=0.4)
    error, given = 0.1, None
    if each:  # of every observation its own, over three orders of magnitude
        error = 10 ** np.random.default_rng(2).uniform(-2, 1, obs.shape)
        given = obs.copy(data=np.where(obs.notnull(), error, np.nan))
    result = xv.reconstruct(obs, oi, error_variance=given, error=True, progress=False)
    maps, deviation = dense(obs, covariance, error, 0.4)
    np.testing.assert_allclose(result.ssh, maps, atol=2e-3)
    np.testing.assert_allclose(result.ssh_error, deviation, atol=2e-3 if case != "sphere" else 0.03)


def test_irregular_time_and_descending_latitude_change_nothing_but_the_places():
    obs = gappy(days=[0, 1, 4, 5, 11, 12])
    oi = xv.OptimalInterpolation(length=LENGTH, variance=2.0, error_variance=0.1, mean=0.0)
    expected, _ = dense(obs, Separable((3.0, 2.0, 3.0), variance=2.0), 0.1, 0.0)
    np.testing.assert_allclose(xv.reconstruct(obs, oi, progress=False), expected, atol=2e-3)
    turned = obs.isel(lat=slice(None, None, -1)).transpose("lon", "time", "lat")
    result = xv.reconstruct(turned, oi, error=True, progress=False)
    back = result.transpose(*obs.dims).sortby("lat")
    np.testing.assert_allclose(back.ssh, expected, atol=2e-3)
    assert result.ssh_error.dims == turned.dims


def test_error_says_how_wrong_the_maps_are():
    """Truths drawn from the prior: the map errs by what it says, and more where nothing is."""
    model = Separable((3.0, 2.0, 3.0), variance=2.0)
    obs = gappy((6, 20, 20), share=0.05)
    axes = [torch.arange(n, dtype=torch.float64) for n in obs.shape]
    root = model.root(tuple(axes))
    generator = torch.Generator().manual_seed(0)
    oi = xv.OptimalInterpolation(length=LENGTH, variance=2.0, error_variance=0.3, mean=0.0)
    squares = []
    for _ in range(20):
        truth = root.apply(torch.randn(len(root.spectrum), generator=generator)).numpy()
        noise = 0.3**0.5 * torch.randn(truth.shape, generator=generator).numpy()
        made = obs.copy(data=np.where(obs.notnull(), truth + noise, np.nan))
        both = xv.reconstruct(made, oi, error=True, progress=False)
        squares.append((both.ssh.values - truth) ** 2)
    ratio = np.mean(squares) / float((both.ssh_error**2).mean())
    assert ratio == pytest.approx(1.0, abs=0.06)
    far = both.ssh_error.values > np.median(both.ssh_error)
    assert np.mean(squares, 0)[far].mean() > 1.3 * np.mean(squares, 0)[~far].mean()


def test_error_of_chunks_is_lazy_and_that_of_the_whole():
    obs = gappy((40, 12, 12)).astype("float32")
    oi = xv.OptimalInterpolation(length=LENGTH, variance=2.0, error_variance=0.1, mean=0.0)
    expected = xv.reconstruct(obs, oi, error=True, progress=False)
    with raise_if_dask_computes():
        lazy = xv.reconstruct(obs.chunk(time=20), oi, error=True)
    assert lazy.ssh.chunks == lazy.ssh_error.chunks == obs.chunk(time=20).chunks
    computed = lazy.compute(scheduler="sync")
    for name in ("ssh", "ssh_error"):
        np.testing.assert_allclose(computed[name], expected[name], atol=1e-6)
    assert lazy.ssh_error.attrs == expected.ssh_error.attrs
    plain = xv.reconstruct(obs, oi, progress=False)
    np.testing.assert_array_equal(expected.ssh, plain)
    assert lazy.ssh_error.dtype == np.float32


def test_each_variable_and_member_has_its_own_error():
    obs = xr.concat([gappy(seed=0), gappy(seed=1, share=0.1)], "member")
    both = xr.Dataset({"u": obs, "v": 2 * obs.where(obs.lat > 44)})
    oi = xv.OptimalInterpolation(length=LENGTH, variance=1.0, error_variance=0.1)
    result = xv.reconstruct(both, oi, error=True, mask=both.lat > 41, progress=False)
    assert set(result) == {"u", "v", "u_error", "v_error"}
    alone = xv.reconstruct(
        both.v.isel(member=1), oi, error=True, mask=both.lat > 41, progress=False
    )
    np.testing.assert_allclose(result.v_error.isel(member=1), alone.v_error, atol=1e-6)
    assert bool(result.u_error.where(both.lat <= 41).isnull().all())
    assert float(result.u_error.isel(member=1).mean()) > float(result.u_error.isel(member=0).mean())


@pytest.mark.parametrize("worst", [0.0, -0.5])
@pytest.mark.parametrize("chunks", [None, {"time": 3}])
def test_an_error_variance_must_be_positive_where_observed(worst, chunks):
    obs = gappy()
    variance = xr.full_like(obs, 0.1)
    variance = variance.where(obs.notnull(), worst)  # of no matter where nothing is observed
    oi = xv.OptimalInterpolation(length=LENGTH)
    xv.reconstruct(obs, oi, error_variance=variance, progress=False)
    seen = np.argwhere(obs.notnull().values)[0]
    variance[tuple(seen)] = worst
    if chunks:
        obs, variance = obs.chunk(chunks), variance.chunk(chunks)
    with pytest.raises(xv.InputError, match=rf"error_variance of 'ssh' is {worst:g} at 1 "):
        xv.reconstruct(obs, oi, error_variance=variance, progress=False).compute()


@pytest.mark.parametrize("method", [xv.LinearInterpolation(), xv.FourDVarNet()])
def test_methods_that_do_not_know_their_error_say_so(method):
    with pytest.raises(xv.InputError, match=f"{type(method).__name__} does not know the error"):
        xv.reconstruct(gappy(), method, error=True)


def test_a_taken_name_is_refused():
    both = xr.Dataset({"u": gappy(), "u_error": gappy()})
    with pytest.raises(xv.InputError, match="'u_error', the name of the error of 'u', is taken"):
        xv.reconstruct(both, xv.OptimalInterpolation(length=LENGTH), error=True)


def grid_of(shape, spacing=0.25, periodic=False, uneven=False):
    time = np.datetime64("2000-01-01", "ns") + np.arange(shape[0]).astype("m8[D]")
    lat = np.linspace(-89.875, 89.875, shape[1]) if periodic else 30 + spacing * np.arange(shape[1])
    coords = {"time": time, "lat": lat, "lon": spacing * np.arange(shape[2])}
    empty = xr.DataArray(np.broadcast_to(np.float32(0), shape), coords=coords, dims=list(coords))
    return make_grid(empty, find_axes(empty), ("lon",) if periodic else ())


@pytest.mark.parametrize(
    ("shape", "periodic", "length"),
    [
        ((3653, 100, 100), False, {"time": "9D", "lat": 1.4}),
        ((3653, 720, 1440), True, {"time": "10D", "lat": 1.0}),
        ((30, 720, 1440), True, {"time": "10D", "lat": "100 km"}),
        ((3653, 720, 1440), True, {"time": "10D", "lat": "150 km"}),
        ((3653, 5, 5), False, {"time": "9D", "lat": 1.4}),
    ],
)
def test_windows_fit_into_memory_and_are_long_enough(shape, periodic, length):
    grid = grid_of(shape, periodic=periodic)
    oi = xv.OptimalInterpolation(length=length)
    parameters = oi.known(grid, ["ssh"])
    found = oi.windows(grid, parameters)
    cells = np.prod([window.patch for window in found.values()])
    assert cells <= windows.WINDOW_CELLS
    [term] = parameters.settings["variables"][0]["terms"]
    for role, window in found.items():
        size = grid[role].size
        assert window.patch <= size
        if window.patch < size:
            wide = term[role] / (111.2 if term["metric"] and role != "time" else 1.0)
            assert window.patch * grid[role].spacing >= 12 * wide
            assert (window.patch - window.stride) * grid[role].spacing >= 4 * wide
    if term["metric"]:  # a matrix of latitudes for each wavenumber
        assert found["y"].patch <= 400


def test_windows_give_the_map_of_the_whole_domain(monkeypatch):
    """Cut in every direction: the difference is a few hundredths of the error of the map."""
    obs = gappy((50, 45, 45), share=0.08)
    length = {"time": "3D", "lat": 2.0, "lon": 2.0}
    oi = xv.OptimalInterpolation(length=length, variance=1.0, error_variance=0.1, mean=0.0)
    monkeypatch.setattr(windows, "WINDOW_LENGTHS", 1000.0)
    assert obs.fourdvar.plan(oi).model_calls == 1
    whole = xv.reconstruct(obs, oi, progress=False)
    monkeypatch.undo()
    monkeypatch.setattr(windows, "WINDOW_CELLS", 1000)
    monkeypatch.setattr(windows, "SMALL_CELLS", 0)
    assert obs.fourdvar.plan(oi).model_calls > 8
    difference = xv.reconstruct(obs, oi, progress=False) - whole
    # the error of such a map, from its middle alone: it is a lot of work for all
    middle = obs.isel(time=slice(15, 35), lat=slice(15, 30), lon=slice(15, 30))
    error = float(xv.reconstruct(middle, oi, error=True, progress=False).ssh_error[5:15].mean())
    assert float(np.sqrt((difference**2).mean())) < 0.03 * error
    assert float(np.abs(difference).max()) < 0.5 * error


@pytest.mark.parametrize("length", [{"lat": 8.0, "lon": 20.0}, "900 km"])
@pytest.mark.parametrize("turn", [0, 7, 30])
def test_a_periodic_map_has_no_seam(length, turn, monkeypatch):
    """However the circle is turned and cut, the map is that of the whole circle at once."""
    generator = np.random.default_rng(0)
    lon, lat = np.arange(0.0, 360.0, 5.0), np.arange(-20.0, 21.0, 5.0)
    values = np.where(generator.random((9, 72)) < 0.3, generator.normal(size=(9, 72)), np.nan)
    obs = xr.DataArray(values, dims=("lat", "lon"), coords={"lat": lat, "lon": lon}, name="adt")
    oi = xv.OptimalInterpolation(length=length, variance=1.0, error_variance=0.2, mean=0.0)

    def analysis(turn):
        turned = obs.roll(lon=turn).assign_coords(lon=lon)
        maps = xv.reconstruct(turned, oi, periodic=("lon",), error=True, progress=False)
        return maps.roll(lon=-turn).assign_coords(lon=lon)

    whole = analysis(0)
    closed = float(np.abs(whole.adt.isel(lon=0) - whole.adt.isel(lon=-1)).mean())
    assert closed < 2 * float(np.abs(whole.adt.diff("lon")).mean())
    np.testing.assert_allclose(analysis(turn).adt, whole.adt, atol=2e-4)
    monkeypatch.setattr(windows, "WINDOW_CELLS", 100)
    monkeypatch.setattr(windows, "METRIC_SIDE", 100)
    assert xv.plan(obs, oi, periodic=("lon",)).model_calls > 1
    cut = analysis(turn)
    error = float(whole.adt_error.mean())
    assert float(np.sqrt(((cut.adt - whole.adt) ** 2).mean())) < 0.03 * error
    relative = cut.adt_error / whole.adt_error - 1
    assert float(np.sqrt((relative**2).mean())) < 0.03


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ({"time": "3D", "lat": "100 km", "lon": "200 km"}, "give one distance for both"),
        ({"time": "3D", "lat": "100 km", "lon": 2.0}, "mixes km and degrees"),
        ({"time": 3.0, "lat": 1.0}, "has no unit"),
        ({"lat": 1.0}, "along 'time' is missing"),
        ({"time": "3D", "lat": -1.0}, "give a positive, finite length"),
    ],
)
def test_lengths_that_make_no_sense_are_refused(length, message):
    with pytest.raises(xv.InputError, match=message):
        xv.reconstruct(gappy(), xv.OptimalInterpolation(length=length))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "cubic"}, "family 'cubic' is unknown"),
        ({"variance": [1.0, 2.0]}, "2 variances for 1 lengths"),
        ({"variance": -1.0}, "variance is -1"),
        ({"error_variance": 0.0}, "error_variance is 0"),
        ({"mean": "median"}, "mean is 'median'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(xv.InputError, match=message):
        xv.reconstruct(gappy(), xv.OptimalInterpolation(**{"length": LENGTH, **settings}))


def test_without_lengths_it_must_be_fitted():
    with pytest.raises(xv.InputError, match="has to be fitted"):
        xv.reconstruct(gappy(), xv.OptimalInterpolation())


def test_far_from_data_the_map_is_the_mean_and_the_error_the_prior():
    obs = gappy((3, 45, 10)).where(lambda o: o.lat < 45)
    for mean, expected in ((7.0, 7.0), ("constant", float(obs.mean()))):
        oi = xv.OptimalInterpolation(length=LENGTH, variance=4.0, error_variance=0.1, mean=mean)
        result = xv.reconstruct(obs, oi, error=True, progress=False).sel(lat=slice(70, None))
        np.testing.assert_allclose(result.ssh, expected, atol=1e-4)
        np.testing.assert_allclose(result.ssh_error, 2.0, atol=1e-4)


def test_nothing_observed_in_a_window_is_no_failure():
    obs = gappy((80, 6, 6)).where(lambda o: o.time < o.time[20])
    result = xv.reconstruct(obs, xv.OptimalInterpolation(length=LENGTH), progress=False)
    assert int(result.isnull().sum()) == 0
