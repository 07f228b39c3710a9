"""Currents in balance with heights, against the closed form on spheres and planes."""

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from tests.operators.grids import LON, bound, grid_of, noise
from xr4dvar.errors import InputError
from xr4dvar.labels import find_axes, make_grid
from xr4dvar.operators import Geostrophic
from xr4dvar.testing import assert_adjoint

LAT = np.array([20.0, 20.5, 21.0, 22.0, 23.0])
RADIUS = 111_195.0 * 180 / np.pi


def plane(rows=7, columns=9):
    coords = {
        "y": ("y", 10.0 * np.arange(rows), {"units": "km"}),
        "x": ("x", 8.0 * np.arange(columns), {"units": "km"}),
    }
    return xr.DataArray(np.zeros((rows, columns)), dims=("y", "x"), coords=coords)


def coriolis(latitude):
    return 2 * 7.2921e-5 * np.sin(np.deg2rad(latitude))


def test_slopes_on_a_sphere_give_currents_of_each_latitude():
    grid = grid_of(lat=LAT, lon=np.arange(0.0, 3.0, 0.5))
    operator, seen = bound(Geostrophic(), grid)
    lat, lon = np.meshgrid(LAT, np.arange(0.0, 3.0, 0.5), indexing="ij")
    height = torch.as_tensor(0.3 * np.deg2rad(lat) + 0.2 * np.deg2rad(lon))[None, None, None]
    u, v = operator(height)[0, :, 0].numpy()
    np.testing.assert_allclose(u, -9.81 / coriolis(lat) * 0.3 / RADIUS, rtol=1e-10)
    expected = 9.81 / coriolis(lat) * 0.2 / RADIUS / np.cos(np.deg2rad(lat))
    np.testing.assert_allclose(v, expected, rtol=1e-10)
    assert seen is None or seen.all()


def test_differences_on_a_plane_are_centred_and_one_sided_at_its_edges():
    field = plane()
    operator, _ = bound(Geostrophic(latitude=38.0), make_grid(field, find_axes(field)))
    x = noise(1, 1, 1, 7, 9)
    u, v = operator(x)[0, :, 0].numpy()
    balance, own = 9.81 / coriolis(38.0), x[0, 0, 0].numpy()
    np.testing.assert_allclose(u, -balance * np.gradient(own, 1e4, axis=0), rtol=1e-10)
    np.testing.assert_allclose(v, balance * np.gradient(own, 8e3, axis=1), rtol=1e-10)


def test_a_circle_has_no_edge():
    grid = grid_of(("lon",), lat=LAT, lon=LON)
    operator, _ = bound(Geostrophic(), grid)
    height = np.broadcast_to(np.sin(np.deg2rad(LON)), (5, len(LON)))
    v = operator(torch.as_tensor(height.copy())[None, None, None])[0, 1, 0].numpy()
    slope = np.cos(np.deg2rad(LON)) * np.sin(np.deg2rad(20.0)) / np.deg2rad(20.0)
    width = RADIUS * np.cos(np.deg2rad(LAT))[:, None]
    np.testing.assert_allclose(v, 9.81 / coriolis(LAT)[:, None] * slope / width, rtol=1e-9)


def test_patches_give_what_the_whole_gives_where_they_say_so():
    grid = grid_of(lat=LAT, lon=np.arange(0.0, 5.0, 0.5))
    whole, _ = bound(Geostrophic(), grid)
    part, seen = bound(Geostrophic(), grid, x=slice(3, 8))
    x = noise(1, 1, 1, 5, 10)
    expected, found = whole(x)[..., 3:8].numpy(), part(x[..., 3:8]).numpy()
    np.testing.assert_allclose(found[seen], expected[seen], rtol=1e-12)
    assert seen[0, 0].all()  # u needs no neighbour along x
    np.testing.assert_array_equal(seen[0, 1, 0, 0], [False, True, True, True, False])


def test_next_to_land_nothing_is_observed():
    grid = grid_of(lat=LAT, lon=np.arange(0.0, 3.0, 0.5))
    sea = np.ones((1, 5, 6), dtype=bool)
    sea[0, 2, 2] = False
    _, seen = bound(Geostrophic(), grid, domain=sea)
    assert not seen[0, 0, 0, 1:4, 2].any()
    assert not seen[0, 1, 0, 2, 1:4].any()
    assert seen.sum() == 2 * 30 - 6


def test_near_the_equator_nothing_is_observed(caplog):
    lat = np.arange(-6.0, 7.0, 2.0)
    field = xr.DataArray(
        np.full((7, 4), 0.1), dims=("lat", "lon"), coords={"lat": lat, "lon": np.arange(4.0)}
    )
    obs = xr.Dataset({"u": field, "v": field})
    oi = xv.OptimalInterpolation(
        length={"lat": 0.5, "lon": 0.5}, variance=1.0, error_variance=0.01, mean=0.0,
        operator=Geostrophic(),
    )  # fmt: skip
    with caplog.at_level("WARNING"):
        maps = obs.fourdvar.reconstruct(oi)
    assert "5 rows of 'lat' lie within 5 degrees of the equator" in caplog.text
    near = maps.ssh.sel(lat=[-2.0, 0.0, 2.0])
    assert float(abs(near).max()) < 1e-6 < float(abs(maps.ssh.sel(lat=6.0)).max())


@pytest.mark.parametrize("operator", [Geostrophic(), Geostrophic(latitude=-40.0)])
def test_adjoint(operator):
    coords = {"lat": np.array([11.0, 12.0, 13.5]), "lon": np.array([0.0, 0.5, 1.5, 3.0, 3.5])}
    field = xr.DataArray(np.zeros((2, 3, 5)), dims=("time", "lat", "lon"), coords=coords)
    assert_adjoint(operator, field)
    blurred = operator @ xv.operators.Blur({"lat": 0.5})
    assert_adjoint(blurred, field)


def test_means_over_blocks_of_currents_observe_heights():
    fine = xr.DataArray(
        np.zeros((8, 12)), dims=("lat", "lon"),
        coords={"lat": 30 + 0.5 * np.arange(8), "lon": 0.5 * np.arange(12)}, name="ssh",
    )  # fmt: skip
    h, _ = bound(Geostrophic(), make_grid(fine, find_axes(fine)))
    truth = fine.copy(data=np.random.default_rng(0).normal(size=fine.shape).cumsum(0).cumsum(1))
    u, v = (
        truth.copy(data=field)
        for field in h(torch.as_tensor(truth.values)[None, None, None])[0, :, 0].numpy()
    )
    coarse = xr.Dataset({"v": v, "u": u}).coarsen(lat=4, lon=4).mean()
    oi = xv.OptimalInterpolation(
        length={"lat": 1.5, "lon": 1.5}, variance=float(truth.var()), error_variance=1e-6,
        mean=float(truth.mean()), operator=xv.operators.BlockMean(weights="equal") @ Geostrophic(),
    )  # fmt: skip
    maps = coarse.fourdvar.reconstruct(oi, grid=fine)
    back = h(torch.as_tensor(maps.ssh.values)[None, None, None])[0, :, 0].numpy()
    again = xr.Dataset({"u": truth.copy(data=back[0]), "v": truth.copy(data=back[1])})
    inner = {"lat": slice(0, None), "lon": slice(0, None)}
    found = again.coarsen(lat=4, lon=4).mean().isel(inner)
    size = float(abs(coarse.u).max())
    assert float(abs(found.u - coarse.u).max()) < 0.02 * size


@pytest.mark.parametrize(
    ("operator", "change", "words"),
    [
        (Geostrophic(), lambda d: d.rename(u="ugos"), "observes 'u' and 'v', not 'ugos', 'v'"),
        (Geostrophic(), lambda d: d.assign(u=d.u.assign_attrs(units="cm/s")), "'u' is in 'cm/s'"),
        (Geostrophic(latitude=1.0), lambda d: d, "latitude is 1.0; fix: give degrees north"),
        (Geostrophic(latitude="38N"), lambda d: d, "latitude is '38N'"),
        (Geostrophic(), lambda d: d.isel(lat=[0]), "'lat' has one cell: no gradient"),
        (
            Geostrophic(),
            lambda d: d.rename(lat="y", lon="x").assign_coords(
                y=("y", d.lat.values, {"units": "km"}), x=("x", d.lon.values, {"units": "km"})
            ),
            "'y' is no latitude, from which f follows",
        ),
        (Geostrophic(), lambda d: d.isel(lat=0, drop=True), "no axes y and x"),
        (Geostrophic(height=3), lambda d: d, "height, eastward and northward are names"),
        (
            Geostrophic(),
            lambda d: d.rename(lat="rlat", lon="rlon").assign_coords(
                rlat=("rlat", d.lat.values, {"standard_name": "grid_latitude"}),
                rlon=(
                    "rlon",
                    d.lon.values,
                    {"standard_name": "grid_longitude"},
                ),
            ),
            "'rlat' is no latitude, from which f follows",
        ),
    ],
)
def test_what_cannot_be_observed_is_told(operator, change, words):
    lat, lon = 30 + np.arange(5.0), np.arange(6.0)
    field = xr.DataArray(np.ones((5, 6)), dims=("lat", "lon"), coords={"lat": lat, "lon": lon})
    obs = change(xr.Dataset({"u": field, "v": field}))
    oi = xv.OptimalInterpolation(
        length={d: "2 km" if d in "xy" else 2.0 for d in obs.dims}, variance=1.0,
        error_variance=0.1, mean=0.0, operator=operator,
    )  # fmt: skip
    with pytest.raises(InputError, match=words):
        obs.fourdvar.reconstruct(oi)
