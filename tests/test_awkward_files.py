"""Small look-alikes of what is awkward in real files, each held against a plain one.

The same field, stored awkwardly, must give the same map: that says more than a score.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv

DEGREES = xv.OptimalInterpolation(
    length={"time": "5D", "lat": 2.0, "lon": 2.0}, variance=1.0, error_variance=0.01
)


@pytest.fixture
def plain() -> xr.DataArray:
    """Waves on (time, lat, lon) in degrees, a third of the cells seen."""
    time = np.datetime64("2019-01-01", "ns") + np.arange(6).astype("m8[D]")
    lat, lon = np.arange(-10.0, 0.0, 0.5), np.arange(20.0, 32.0, 0.5)
    values = np.sin(lat / 2)[:, None] + np.cos(lon / 3) + np.sin(np.arange(6) / 4)[:, None, None]
    seen = np.random.default_rng(1).random(values.shape) < 0.33
    units = {"lat": "degrees_north", "lon": "degrees_east"}
    return xr.DataArray(
        np.where(seen, values, np.nan),
        dims=("time", "lat", "lon"),
        coords={"time": time, "lat": ("lat", lat, {"units": units["lat"]})}
        | {"lon": ("lon", lon, {"units": units["lon"]})},
        name="adt",
        attrs={"units": "m", "long_name": "sea level"},
    )


def test_latitude_that_descends(plain: xr.DataArray) -> None:
    expected = plain.fourdvar.reconstruct(DEGREES)
    maps = plain.isel(lat=slice(None, None, -1)).fourdvar.reconstruct(DEGREES)
    assert maps.lat[0] > maps.lat[-1]
    xr.testing.assert_allclose(maps.sortby("lat"), expected, atol=1e-5)


def test_int16_with_scale_and_coast_in_chunks(plain: xr.DataArray, tmp_path: Path) -> None:
    """Packed values come back as numbers, and the packing does not come back with the maps."""
    sea = (plain.lat + plain.lon / 10 > -6).rename("sea")
    packing = {"dtype": "int16", "scale_factor": 1e-4, "_FillValue": np.int16(-32767)}
    plain.where(sea).to_netcdf(tmp_path / "packed.nc", encoding={"adt": packing})
    with xr.open_dataset(tmp_path / "packed.nc", chunks={"time": 2}) as ds:
        maps = ds.adt.fourdvar.reconstruct(DEGREES, mask=sea)
        assert maps.chunks == ds.adt.chunks
        maps.to_netcdf(tmp_path / "maps.nc")
    with xr.open_dataarray(tmp_path / "maps.nc") as back:
        assert back.encoding["dtype"] == np.float64
        np.testing.assert_array_equal(back.notnull().all("time"), sea)
        expected = plain.where(sea).fourdvar.reconstruct(DEGREES, mask=sea)
        xr.testing.assert_allclose(back, expected, atol=2e-4)  # what the packing rounds off
        # finer than the packing: the maps were not rounded to it again
        assert (abs(back / 1e-4 - np.round(back / 1e-4)) > 0.01).any()


def test_logarithm_of_values_over_decades(plain: xr.DataArray) -> None:
    """A mean in log10 keeps what is positive positive, and attributes can be put right by hand."""
    matter = (10.0**plain).assign_attrs(units="g m-3", long_name="suspended matter")
    shown = np.log10(matter).assign_attrs(units="1", long_name="log10 of suspended matter")
    maps = shown.fourdvar.reconstruct(DEGREES)
    assert maps.attrs["long_name"] == "log10 of suspended matter"
    back = 10.0**maps
    assert float(back.min()) > 0
    xr.testing.assert_allclose(np.log10(back), plain.fourdvar.reconstruct(DEGREES), atol=1e-5)


def globe(first: float) -> xr.DataArray:
    """Waves round the Earth, the first longitude given, seen at the same places in each case."""
    lon = first + np.arange(0.0, 360.0, 4.0)
    lat = np.arange(-30.0, 30.0, 4.0)
    waves = np.cos(np.deg2rad(3 * lon)) * np.cos(np.deg2rad(2 * lat))[:, None]
    place = np.round((lon % 360.0) / 4.0).astype(int)
    seen = (np.random.default_rng(2).random((lat.size, 90)) < 0.3)[:, place]
    seen &= np.abs((lon + 180.0) % 360.0 - 180.0) > 9.0  # none near the meridian of Greenwich
    coords = {"lat": lat, "lon": lon}
    return xr.DataArray(np.where(seen, waves, np.nan), dims=("lat", "lon"), coords=coords)


@pytest.mark.parametrize("length", [{"lat": 12.0, "lon": 12.0}, "1300 km"])
def test_it_does_not_matter_where_the_globe_is_cut(length: object) -> None:
    """0 to 360 or -180 to 180: the gap over Greenwich is filled from both of its sides."""
    oi = xv.OptimalInterpolation(length=length, variance=1.0, error_variance=0.01)  # type: ignore[arg-type]
    east, west = (
        globe(first).fourdvar.reconstruct(oi, periodic=("lon",)) for first in (0.0, -180.0)
    )
    west = west.assign_coords(lon=west.lon % 360.0).sortby("lon")
    np.testing.assert_allclose(east, west, atol=2e-3)
    assert float(abs(east.isel(lon=0) - east.isel(lon=-1)).mean()) < 0.1


def test_two_variables_with_gaps_of_their_own(plain: xr.DataArray) -> None:
    other = (2.0 * plain + 3.0).roll(time=1).assign_attrs(units="m s-1")
    both = xr.Dataset({"u": plain, "v": other}, attrs={"title": "currents", "history": "joined"})
    maps = both.fourdvar.reconstruct(DEGREES)
    xr.testing.assert_allclose(maps.u, plain.fourdvar.reconstruct(DEGREES).rename("u"))
    xr.testing.assert_allclose(maps.v, other.fourdvar.reconstruct(DEGREES).rename("v"))
    assert (maps.u.attrs["units"], maps.v.attrs["units"]) == ("m", "m s-1")
    assert maps.attrs["title"] == "currents"
    assert maps.attrs["history"].startswith("joined\n")


def test_coordinates_in_2d_and_no_time(tmp_path: Path) -> None:
    """A grid turned by 30 degrees: its maps are those of the same grid laid straight, in km."""
    y, x = np.meshgrid(np.arange(20.0), np.arange(25.0), indexing="ij")
    turn = np.deg2rad(30.0)
    north, east = (x * np.sin(turn) + y * np.cos(turn), x * np.cos(turn) - y * np.sin(turn))
    seen = np.random.default_rng(3).random(x.shape) < 0.3
    values = np.where(seen, np.sin(y / 5) + np.cos(x / 6), np.nan).astype("float32")
    step = 0.05  # degrees, at the equator: about 5.6 km
    turned = xr.Dataset(
        {"ssh": (("y", "x"), values, {"units": "m"})},
        coords={"lat": (("y", "x"), step * north), "lon": (("y", "x"), step * east)},
    )
    turned.to_netcdf(tmp_path / "turned.nc")
    kilometres = np.pi / 180 * 6371.0 * step
    straight = xr.DataArray(
        values, dims=("y", "x"),
        coords={
            "y": ("y", kilometres * np.arange(20), {"units": "km"}),
            "x": ("x", kilometres * np.arange(25), {"units": "km"}),
        },
    )  # fmt: skip
    oi = xv.OptimalInterpolation(length="25 km", variance=1.0, error_variance=0.01)
    with xr.open_dataset(tmp_path / "turned.nc") as ds:
        maps = ds.ssh.fourdvar.reconstruct(oi)
        xr.testing.assert_identical(maps.coords.to_dataset(), ds.ssh.coords.to_dataset())
        maps.to_netcdf(tmp_path / "maps.nc")
    np.testing.assert_allclose(maps, straight.fourdvar.reconstruct(oi), atol=2e-3)
    with xr.open_dataarray(tmp_path / "maps.nc") as back:
        xr.testing.assert_identical(back.load(), maps)
