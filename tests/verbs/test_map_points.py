"""Observations along tracks, mapped to a grid."""

from __future__ import annotations

import cftime
import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.covariance import Separable

LENGTH = {"time": "4D", "lat": 1.0, "lon": 1.5}
START = np.datetime64("2020-01-01", "ns")


def oi(**settings):
    return xv.OptimalInterpolation(
        **{"length": LENGTH, "variance": 2.0, "error_variance": 0.1, "mean": 0.5} | settings
    )


def tracks(n=80, seed=0, lon=-20.0):
    generator = np.random.default_rng(seed)
    days = np.sort(generator.uniform(0, 6, n))
    lat, east = generator.uniform(40, 44, n), generator.uniform(0, 4, n)
    return xr.DataArray(
        np.sin(lat) + np.cos(east) + 0.1 * days,
        dims="obs",
        name="ssh",
        attrs={"units": "m", "standard_name": "sea_surface_height"},
        coords={
            "time": ("obs", START + (days * 86400e9).astype("m8[ns]")),
            "lat": ("obs", lat),
            "lon": ("obs", lon + east),
        },
    )


def grid(lon=-20.0):
    time = START + np.array([1, 3, 5]).astype("m8[D]")
    coords = {"time": time, "lat": np.arange(40.0, 44.0), "lon": lon + np.arange(5.0)}
    return xr.Dataset(coords=coords)


def dense(obs, target, error=0.1, mean=0.5):
    """The textbook formula, and the standard deviation of its error."""

    def points(time, lat, lon):
        days = (np.asarray(time) - START) / np.timedelta64(1, "D")
        return torch.tensor(np.stack([days.ravel(), np.ravel(lat), np.ravel(lon)], -1))

    model = Separable((4.0, 1.0, 1.5), variance=2.0)
    own = points(obs.time.values, obs.lat.values, obs.lon.values)
    wanted = points(*np.meshgrid(target.time, target.lat, target.lon, indexing="ij"))
    system = model.between(own, own) + torch.diag(torch.as_tensor(error + np.zeros(obs.size)))
    cross = model.between(wanted, own)
    gain = torch.linalg.solve(system, cross.T).T
    maps = mean + gain @ torch.tensor(obs.values - mean)
    variance = 2.0 - (gain * cross).sum(1)
    shape = tuple(target.sizes.values())
    return maps.reshape(shape).numpy(), variance.sqrt().reshape(shape).numpy()


def test_is_the_dense_solve_with_its_error():
    obs, target = tracks(), grid()
    result = xv.map_points(obs, oi(), target, error=True)
    maps, deviation = dense(obs, target)
    np.testing.assert_allclose(result.ssh, maps, atol=1e-8)
    np.testing.assert_allclose(result.ssh_error, deviation, atol=1e-8)
    assert result.ssh_error.attrs["standard_name"] == "sea_surface_height standard_error"


def test_each_observation_may_have_its_own_error():
    obs, target = tracks(), grid()
    error = xr.DataArray(np.linspace(0.01, 2.0, obs.size), dims="obs")
    result = obs.fourdvar.map_points(oi(), target, error_variance=error)
    np.testing.assert_allclose(result, dense(obs, target, error.values)[0], atol=1e-8)


def test_labels_are_those_of_the_grid_and_attributes_those_of_the_data():
    target = grid().isel(lat=slice(None, None, -1)).assign_coords(depth=5.0)
    template = xr.DataArray(np.zeros((5, 4, 3)), dims=("lon", "lat", "time"), coords=target.coords)
    result = xv.map_points(tracks(), oi(), template)
    assert result.dims == ("lon", "lat", "time")
    assert result.coords.identical(template.coords)
    assert (result.name, result.attrs["units"]) == ("ssh", "m")
    assert "map_points" in result.attrs["history"]
    plain = xv.map_points(tracks(), oi(), grid())
    np.testing.assert_allclose(result.sortby("lat").transpose(*plain.dims), plain, atol=1e-12)


def test_order_shape_and_missing_values_of_the_observations_do_not_matter():
    obs, target = tracks(), grid()
    expected = xv.map_points(obs, oi(), target)
    shuffled = obs.isel(obs=np.random.default_rng(1).permutation(obs.size))
    xr.testing.assert_allclose(xv.map_points(shuffled, oi(), target), expected)
    swath = xr.DataArray(
        obs.values.reshape(8, 10),
        dims=("line", "pixel"),
        name="ssh",
        attrs=obs.attrs,
        coords={c: (("line", "pixel"), obs[c].values.reshape(8, 10)) for c in obs.coords},
    )
    xr.testing.assert_allclose(xv.map_points(swath, oi(), target), expected)
    gappy = xr.concat([obs, obs.isel(obs=[0, 1]) * np.nan], "obs")
    xr.testing.assert_allclose(xv.map_points(gappy, oi(), target), expected)


@pytest.mark.parametrize("shift", [360.0, -360.0])
def test_longitudes_may_count_from_elsewhere(shift):
    obs = tracks()
    shifted = obs.assign_coords(lon=obs.lon + shift)
    expected = xv.map_points(obs, oi(), grid())
    xr.testing.assert_allclose(xv.map_points(shifted, oi(), grid()), expected, atol=1e-9)


def test_neighbours_lie_across_the_seam_of_a_circle():
    circle = xr.Dataset(coords={"lat": [0.0, 1.0], "lon": np.arange(0.0, 360.0, 10.0)})
    obs = xr.DataArray(
        [1.0], dims="obs", coords={"lat": ("obs", [0.0]), "lon": ("obs", [359.0])}, name="x"
    )
    wide = oi(length={"lat": 10.0, "lon": 10.0}, mean=0.0)
    result = xv.map_points(obs, wide, circle, periodic="lon")
    assert float(result.sel(lat=0, lon=0)) > 0.9
    assert float(result.sel(lat=0, lon=0)) > float(result.sel(lat=0, lon=350))
    kilometres = xv.map_points(obs, oi(length="1000 km", mean=0.0), circle, periodic="lon")
    assert float(kilometres.sel(lat=0, lon=0)) > float(kilometres.sel(lat=0, lon=350)) > 0.2


def test_many_observations_are_merged_and_shared_and_still_nearly_exact():
    obs = tracks(1500)
    target = (
        grid().isel(time=[1]).interp(lat=np.arange(40.0, 43.0, 0.1), lon=-19 + np.arange(9) / 10)
    )
    maps, deviation = dense(obs, target)
    result = xv.map_points(obs, oi(), target, error=True)
    # what is left out is small beside what nobody can know
    difference = (result.ssh.values - maps) / deviation
    assert np.sqrt((difference**2).mean()) < 0.2
    assert np.abs(difference).max() < 0.5
    # some of the observations know a little less than all of them, never more
    ratio = result.ssh_error.values / deviation
    assert ratio.min() > 0.99
    assert ratio.max() < 1.15
    assert ratio.mean() < 1.1


def test_a_dataset_gives_a_map_for_each_variable():
    obs = tracks()
    both = xr.Dataset({"u": obs, "v": (2 * obs).where(obs.lat > 42)})
    result = xv.map_points(both, oi(), grid(), error=True)
    assert set(result.data_vars) == {"u", "u_error", "v", "v_error"}
    np.testing.assert_allclose(result.u, xv.map_points(obs, oi(), grid()), atol=1e-12)
    assert float(result.v_error.mean()) > float(result.u_error.mean())


def test_a_fitted_model_brings_its_mean_map():
    ds = xv.datasets.gulfstream_twin().isel(time=slice(20), lat=slice(30), lon=slice(30))
    method = xv.OptimalInterpolation(
        length={"time": "7D", "lat": 1.0, "lon": 1.0}, mean="map", error_variance=1e-4
    )
    model = xv.fit(ds.ssh_nadir4, method, target=ds.ssh)
    stacked = ds.ssh_nadir4.stack(obs=("time", "lat", "lon")).reset_index("obs").dropna("obs")
    chosen = ds.isel(time=slice(5, 15, 5), lat=slice(None, None, 4), lon=slice(None, None, 4))
    points = xv.map_points(stacked, model, chosen)
    gridded = xv.reconstruct(ds.ssh_nadir4, model, progress=False)
    rmse = float(np.sqrt(((points - gridded.sel(points.coords)) ** 2).mean()))
    assert rmse < 0.05 * float(chosen.ssh.std())


def test_no_observation_at_all_gives_the_mean():
    nothing = tracks().where(False)
    result = xv.map_points(nothing, oi(), grid(), error=True)
    assert float(np.abs(result.ssh - 0.5).max()) == 0.0
    assert float(result.ssh_error.min()) == pytest.approx(2.0**0.5)


LAT = tracks().lat.values
WITHOUT_LAT = tracks().drop_vars("lat")
BAD = {
    "no latitude": (lambda: (WITHOUT_LAT, oi(), grid()), "latitude .* has none"),
    "two latitudes": (
        lambda: (
            WITHOUT_LAT.assign_coords(lat_a=("obs", LAT), lat_b=("obs", LAT)), oi(), grid(),
        ),
        "'lat_a', 'lat_b'",
    ),
    "time is no date": (
        lambda: (tracks().assign_coords(time=("obs", np.arange(80.0))), oi(), grid()),
        "'time' of obs is in 1, that of the grid in day",
    ),
    "another calendar": (
        lambda: (
            tracks(3).assign_coords(time=("obs", [cftime.DatetimeNoLeap(2020, 1, 2)] * 3)),
            oi(), grid(),
        ),
        "calendar 'noleap'",
    ),
    "an observation without a place": (
        lambda: (tracks().assign_coords(lat=tracks().lat.where(tracks().lat > 41)), oi(), grid()),
        "have no time or place",
    ),
    "infinite": (lambda: (tracks() / 0.0, oi(), grid()), "infinite"),
    "integers": (lambda: (tracks().astype(int), oi(), grid()), "int64"),
    "members": (
        lambda: (tracks(), oi(), grid().assign(a=("member", [0.0, 0.0]))),
        "dimension 'member'",
    ),
    "bare grid": (lambda: (tracks(), oi(), grid().drop_vars("lat")), "lat"),
    "no grid": (lambda: (tracks(), oi(), [1, 2]), "grid is a list"),
    "another method": (lambda: (tracks(), xv.LinearInterpolation(), grid()), "works on grids"),
    "nothing known": (lambda: (tracks(), xv.OptimalInterpolation(), grid()), "has to be fitted"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    arguments, message = BAD[case]
    with pytest.raises(xv.InputError, match=message):
        xv.map_points(*arguments())


@pytest.mark.parametrize("worst", [0.0, -1.0, np.nan])
def test_error_variances_must_be_positive(worst):
    obs = tracks()
    variance = obs * 0 + 1
    variance[3] = worst
    with pytest.raises(xv.InputError, match="error_variance of 'ssh'"):
        xv.map_points(obs, oi(), grid(), error_variance=variance)


def test_a_model_of_other_units_is_refused():
    ds = xv.datasets.gulfstream_twin().isel(time=slice(20), lat=slice(20), lon=slice(20))
    length = {"time": "7D", "lat": 1.0, "lon": 1.0}
    model = xv.fit(ds.ssh_nadir4, xv.OptimalInterpolation(length=length), target=ds.ssh)
    with pytest.raises(xv.InputError, match="'ssh' is in 'cm', the model knows 'm'"):
        xv.map_points(tracks().assign_attrs(units="cm"), model, grid())


def rotated_grid():
    names = {"lat": "grid_latitude", "lon": "grid_longitude"}
    renamed = grid().rename(lat="rlat", lon="rlon")
    for old, new in names.items():
        renamed[f"r{old}"].attrs["standard_name"] = new
    return renamed


AWKWARD = {
    "latitudes beyond the poles": (
        lambda: (tracks().assign_coords(lat=("obs", LAT + 55)), oi(), grid()),
        "'lat' has latitude 98.9248, outside -90 to 90",
    ),
    "latitudes on a rotated grid": (
        lambda: (tracks(), oi(), rotated_grid()), "latitude on the rotated grid .* has none"
    ),
    "another pole": (
        lambda: (
            tracks().assign_coords(lat=("obs", LAT, {"standard_name": "grid_latitude"})),
            oi(), grid(),
        ),
        "'lat' of obs holds a grid_latitude, that of the grid a latitude",
    ),
    "durations": (
        lambda: (tracks().assign_coords(time=tracks().time - START), oi(), grid()),
        "'time' of obs holds durations, that of the grid dates",
    ),
    "fill values": (
        lambda: (tracks().fillna(0).assign_attrs(_FillValue=float(tracks()[3])), oi(), grid()),
        "'ssh' is not decoded: 1 of its values",
    ),
    "packed places": (
        lambda: (
            tracks().assign_coords(lat=("obs", LAT, {"scale_factor": 1e-6})), oi(), grid()
        ),
        "'lat' is not decoded: scale_factor",
    ),
    "a time xarray cannot decode": (
        lambda: (
            tracks().assign_coords(
                time=("obs", np.arange(80.0), {"units": "days since 1960-01-01", "calendar": "360"})
            ),
            oi(), grid(),
        ),
        "'time' has units 'days since 1960-01-01' in the calendar '360'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", AWKWARD)
def test_places_and_times_that_are_not_those_of_the_grid(case):
    arguments, message = AWKWARD[case]
    with pytest.raises(xv.InputError, match=message):
        xv.map_points(*arguments())


def test_places_in_radians_are_turned_into_degrees():
    obs = tracks()
    expected = xv.map_points(obs, oi(), grid())
    radians = {
        name: ("obs", np.deg2rad(obs[name].values), {"units": "radian"}) for name in ("lat", "lon")
    }
    result = xv.map_points(obs.assign_coords(radians), oi(), grid())
    np.testing.assert_allclose(result, expected, atol=1e-9)


def test_one_map_needs_a_length_along_time_if_the_observations_were_made_at_others():
    space = {"lat": 1.0, "lon": 1.5}
    image = grid().isel(time=[1])
    with pytest.raises(xv.InputError, match="length along 'time' is missing"):
        xv.map_points(tracks(), oi(length=space), image)
    at_once = tracks().assign_coords(time=("obs", np.full(80, image.time.values[0])))
    result = xv.map_points(at_once, oi(length=space), image)
    np.testing.assert_allclose(result, xv.map_points(at_once, oi(), image), atol=1e-9)


def test_companions_of_the_observations_and_of_the_grid_are_left_alone():
    target = grid().assign(time_bnds=(("time", "nv"), np.zeros((3, 2))))
    target.time.attrs["bounds"] = "time_bnds"
    obs = tracks().assign_attrs(ancillary_variables="flag")
    given = xr.Dataset({"ssh": obs, "flag": ("obs", np.zeros(80, "int8"))})
    result = given.fourdvar.map_points(oi(), target)
    assert list(result) == ["ssh"]
    xr.testing.assert_allclose(result.ssh, xv.map_points(tracks(), oi(), grid()))


def test_variances_go_by_name_and_by_label():
    obs = xr.Dataset({"u": tracks(), "v": 2 * tracks()})
    variance = xr.Dataset({"u": tracks() * 0 + 0.1, "v": tracks() * 0 + 1.0})
    expected = xv.map_points(obs, oi(), grid(), error_variance=variance)
    turned = xv.map_points(obs, oi(), grid(), error_variance=variance[["v", "u"]])
    xr.testing.assert_allclose(turned, expected)
    numbered = tracks().assign_coords(obs=np.arange(80))
    shifted = (numbered * 0 + 1).assign_coords(obs=np.arange(1, 81))
    with pytest.raises(xv.InputError, match="error_variance: 'obs' differs from obs"):
        xv.map_points(numbered, oi(), grid(), error_variance=shifted)
    in_cm = (tracks() * 0 + 1).assign_attrs(units="cm2")
    with pytest.raises(xv.InputError, match="error_variance: that of 'ssh' is in 'cm2'"):
        xv.map_points(tracks(), oi(), grid(), error_variance=in_cm)
    one = xv.map_points(tracks(), oi(), grid(), error_variance=0.3)
    xr.testing.assert_identical(
        one.drop_attrs(), xv.map_points(tracks(), oi(error_variance=0.3), grid()).drop_attrs()
    )
