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


#: Metres above the ellipsoid of GOES-16.
HEIGHT = 35786023.0


def test_scan_angles_of_a_geostationary_image(plain: xr.DataArray) -> None:
    """With the height of the satellite its map is that of the same image in km below it."""
    angle = 5.6e-5
    km = angle * HEIGHT / 1000
    place = {d: {"units": "rad", "standard_name": f"projection_{d}_coordinate"} for d in "yx"}
    image = plain.rename(lat="y", lon="x").assign_coords(
        y=("y", angle * np.arange(20), place["y"]),
        x=("x", angle * np.arange(24), place["x"]),
        goes=((), 0, {"grid_mapping_name": "geostationary", "perspective_point_height": HEIGHT}),
    )
    flat = image.assign_coords(
        y=("y", km * np.arange(20), {"units": "km"}), x=("x", km * np.arange(24), {"units": "km"})
    )
    oi = xv.OptimalInterpolation(
        length={"time": "5D", "y": "8 km"}, variance=1.0, error_variance=0.01
    )
    maps, expected = (obs.fourdvar.reconstruct(oi) for obs in (image, flat))
    np.testing.assert_allclose(maps, expected, atol=1e-5)
    with pytest.raises(xv.InputError, match="length along 'y' is in km, the axis is in degree"):
        image.drop_vars("goes").fourdvar.reconstruct(oi)


def test_dates_named_otherwise_than_their_dimension(plain: xr.DataArray) -> None:
    """As WRF writes them: dimension Time, coordinate XTIME."""
    wrf = plain.rename(time="Time").assign_coords(XTIME=("Time", plain.time.values))
    wrf = wrf.drop_vars("Time")
    mask = plain.lat > -8
    for verb in ("reconstruct", "forecast"):
        steps = {"steps": 2} if verb == "forecast" else {}
        maps, expected = (
            getattr(obs.fourdvar, verb)(DEGREES, mask=mask, **steps) for obs in (wrf, plain)
        )
        np.testing.assert_array_equal(maps.XTIME, expected.time)
        assert "Time" not in maps.coords
        np.testing.assert_array_equal(maps, expected)


def dataset(plain: xr.DataArray) -> xr.Dataset:
    """As models write them: with bounds, a grid mapping, areas and a flag."""
    attrs = {"grid_mapping": "crs", "cell_measures": "area: areacello", "units": "m"}
    ds = xr.Dataset(
        {
            "adt": plain.assign_attrs(attrs, ancillary_variables="flag"),
            "time_bnds": (("time", "nv"), np.zeros((6, 2))),
            "lat_bnds": (("lat", "nv"), np.zeros((20, 2))),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
            "areacello": (("lat", "lon"), np.ones((20, 24))),
            "flag": (plain.dims, np.zeros(plain.shape, "int8")),
        }
    )
    time = ds.time.assign_attrs(bounds="time_bnds")
    return ds.assign_coords(time=time, lat=ds.lat.assign_attrs(bounds="lat_bnds"))


@pytest.mark.parametrize("chunks", [None, {"time": 3}])
def test_companions_are_left_alone_by_every_verb(
    plain: xr.DataArray, chunks: dict[str, int] | None
) -> None:
    ds = dataset(plain) if chunks is None else dataset(plain).chunk(chunks)
    kept = ["time_bnds", "lat_bnds", "crs", "areacello"]
    expected = plain.fourdvar.reconstruct(DEGREES)
    maps = ds.fourdvar.reconstruct(DEGREES, error_variance=ds * 0 + 0.01)
    np.testing.assert_allclose(maps.adt, expected, atol=1e-5)
    xr.testing.assert_identical(maps[kept].drop_attrs(deep=False), ds[kept].drop_attrs(deep=False))
    assert set(maps.data_vars) == {"adt", *kept}
    assert set(maps.coords) == set(ds.coords)
    errors = ds.fourdvar.reconstruct(DEGREES, error=True)
    assert set(errors.data_vars) == {"adt", "adt_error", *kept}
    model = ds.fourdvar.fit(DEGREES, target=ds.fillna(0.0))
    assert list(model.variables) == ["adt"]
    ahead = ds.fourdvar.forecast(model, 2)
    assert set(ahead.data_vars) == {"adt", "lat_bnds", "crs", "areacello"}
    shown, hidden = ds.fourdvar.hold_out(0.2)
    for part in (shown, hidden):
        xr.testing.assert_identical(part[kept], ds[kept])
    assert ds.fourdvar.plan(DEGREES) == ds[["adt"]].fourdvar.plan(DEGREES)
    assert list(maps.fourdvar.score(ds)["variable"]) == ["adt"]
    assert list(errors.fourdvar.score(hidden)["variable"]) == ["adt"]
    members = ds.fourdvar.reconstruct(DEGREES, ensemble=2)
    assert members.time_bnds.dims == ("time", "nv")


def test_bounds_that_only_one_of_two_datasets_has(plain: xr.DataArray) -> None:
    ds = dataset(plain).set_coords(["time_bnds", "lat_bnds"])
    assert list(ds.fourdvar.fit(DEGREES, target=ds[["adt"]].fillna(0.0)).variables) == ["adt"]
    assert list(ds[["adt"]].fourdvar.fit(DEGREES, target=ds.fillna(0.0)).variables) == ["adt"]


@pytest.mark.skipif(
    not hasattr(getattr(xr, "indexes", None), "NDPointIndex"), reason="of a later xarray"
)
def test_an_index_of_the_nearest_points(plain: xr.DataArray) -> None:
    """Which is no index of pandas: every verb gives what it gives without."""
    lat, lon = np.meshgrid(plain.lat, plain.lon, indexing="ij")
    bare = plain.drop_vars(["lat", "lon"]).rename(lat="y", lon="x")
    bare = bare.assign_coords(lat=(("y", "x"), lat), lon=(("y", "x"), lon))
    oi = xv.OptimalInterpolation(length={"time": "5D", "y": "200 km"}, error_variance=0.01)

    def verbs(obs: xr.DataArray) -> list[xr.DataArray]:
        mask = (obs.isel(time=0, drop=True).lat > -8).drop_attrs()
        model = obs.fourdvar.fit(oi, target=obs.fillna(0.0), mask=mask)
        maps = obs.fourdvar.reconstruct(model, mask=mask, error_variance=obs * 0 + 0.1)
        score = maps.fourdvar.score(obs, mask=mask, metrics="rmse").rmse
        lazy = obs.chunk(time=3).fourdvar.reconstruct(model, mask=mask).compute()
        ahead = obs.fourdvar.forecast(model, 2, mask=mask)
        return [maps, score, lazy, ahead, *obs.fourdvar.hold_out(0.2)]

    indexed = bare.set_xindex(["lat", "lon"], xr.indexes.NDPointIndex)
    for with_index, without in zip(verbs(indexed), verbs(bare), strict=True):
        np.testing.assert_array_equal(with_index, without)


@pytest.mark.parametrize("kind", ["obs", "chunks", "target", "error_variance", "mask", "score"])
def test_fill_values_are_refused_at_every_entrance(plain: xr.DataArray, kind: str) -> None:
    raw = plain.fillna(-999.0).assign_attrs(_FillValue=-999.0)
    sea = xr.where(plain.lat > -8, 1, -1).astype("int8").assign_attrs(_FillValue=np.int8(-1))
    calls = {
        "obs": lambda: raw.fourdvar.hold_out(),
        "chunks": lambda: raw.chunk(time=2).fourdvar.reconstruct(DEGREES).compute(),
        "target": lambda: plain.fourdvar.fit(DEGREES, raw),
        "error_variance": lambda: plain.fourdvar.reconstruct(DEGREES, error_variance=raw),
        "mask": lambda: plain.fourdvar.reconstruct(DEGREES, mask=sea),
        "score": lambda: plain.fourdvar.score(raw),
    }
    with pytest.raises(xv.InputError, match=r"is not decoded: \d+ of its values are _FillValue, -"):
        calls[kind]()


def test_values_that_were_decoded_by_hand_pass(plain: xr.DataArray) -> None:
    expected = plain.fourdvar.reconstruct(DEGREES)
    by_hand = plain.assign_attrs(_FillValue=-999.0, scale_factor=1.0, add_offset=0.0)
    for obs in (by_hand, by_hand.chunk(time=2)):
        np.testing.assert_allclose(obs.fourdvar.reconstruct(DEGREES), expected, atol=1e-5)


def test_an_error_variance_in_other_units_is_refused(plain: xr.DataArray) -> None:
    variance = plain * 0 + 100.0
    with pytest.raises(xv.InputError, match="that of 'adt' is in 'cm2', 'adt' is in 'm'"):
        plain.fourdvar.reconstruct(DEGREES, error_variance=variance.assign_attrs(units="cm2"))
    for units in ("m2", "m^2", "m", ""):
        plain.fourdvar.reconstruct(DEGREES, error_variance=variance.assign_attrs(units=units))


def test_an_image_needs_no_length_along_its_one_time(plain: xr.DataArray) -> None:
    image = plain.isel(time=[2])
    space = xv.OptimalInterpolation(length={"lat": 2.0}, variance=1.0, error_variance=0.01)
    np.testing.assert_allclose(
        image.fourdvar.reconstruct(space), image.fourdvar.reconstruct(DEGREES), atol=1e-6
    )


def test_cells_of_an_unstructured_grid(plain: xr.DataArray) -> None:
    """Each is a series of its own, a point to be mapped, or a place along an axis."""
    cells = plain.isel(lat=slice(4), lon=slice(5)).stack(cells=("lat", "lon")).reset_index("cells")
    with pytest.raises(xv.InputError, match="map_points"):
        cells.fourdvar.reconstruct(xv.LinearInterpolation())
    series = cells.fourdvar.reconstruct(xv.LinearInterpolation(), dims={"time": "time"})
    one = cells.isel(cells=3).drop_vars(["lat", "lon"])
    np.testing.assert_allclose(
        series.isel(cells=3), one.fourdvar.reconstruct(xv.LinearInterpolation())
    )
    grid = plain.isel(lat=slice(4), lon=slice(5))
    mapped = cells.fourdvar.map_points(DEGREES, grid)
    np.testing.assert_allclose(mapped, grid.fourdvar.reconstruct(DEGREES), atol=0.01)
    along = cells.fourdvar.plan(xv.LinearInterpolation(), dims={"time": "time", "x": "cells"})
    assert along.patch == {"time": 6, "cells": 20}
