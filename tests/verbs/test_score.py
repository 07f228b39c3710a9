"""The verb score: names, units, dimensions, laziness, refusals, and published figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.testing import raise_if_dask_computes
from xr4dvar.verbs.score import METRICS, score


@pytest.fixture
def truth() -> xr.DataArray:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(16, 9, 18)).cumsum(0).cumsum(2)
    return xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={
            "time": xr.date_range("2012-10-22", periods=16),
            "lat": ("lat", 33 + 0.5 * np.arange(9), {"units": "degrees_north"}),
            "lon": ("lon", -65 + 0.5 * np.arange(18), {"units": "degrees_east"}),
        },
        attrs={"units": "m", "long_name": "sea surface height"},
        name="ssh",
    )


@pytest.fixture
def maps(truth: xr.DataArray) -> xr.DataArray:
    noise = 0.5 * np.random.default_rng(1).normal(size=truth.shape)
    return (truth + noise).assign_attrs(truth.attrs)  # older xarray drops them


def test_all_scores_with_names_and_units(maps: xr.DataArray, truth: xr.DataArray) -> None:
    result = score(maps, truth)
    assert list(result) == list(METRICS)[:6]
    assert all(value.dims == () and value.dtype == "float64" for value in result.values())
    units = {name: value.attrs["units"] for name, value in result.items()}
    assert units == {
        "mu": "1",
        "sigma": "1",
        "lambda_x": "degree",
        "lambda_t": "day",
        "rmse": "m",
        "r_score": "%",
    }
    assert all(value.attrs["long_name"] for value in result.values())
    assert result.attrs == {"scored_over": "time, lat, lon"}
    assert result.rmse.item() == pytest.approx(np.sqrt(np.mean((maps - truth).values ** 2)))
    assert np.isfinite([result.lambda_x, result.lambda_t]).all()


def test_attributes_can_be_written(maps: xr.DataArray, truth: xr.DataArray, tmp_path: Path) -> None:
    result = score(maps, truth, dim=("lat", "lon"))
    result.to_netcdf(tmp_path / "scores.nc")
    with xr.open_dataset(tmp_path / "scores.nc") as back:
        xr.testing.assert_identical(back.load(), result)


@pytest.mark.parametrize("chunks", [{"time": 5, "lat": 4, "lon": 7}, {"time": 1}])
def test_lazy_until_asked_and_equal(
    maps: xr.DataArray, truth: xr.DataArray, chunks: dict[str, int]
) -> None:
    mask = truth.isel(time=0, drop=True) > -100
    with raise_if_dask_computes():
        lazy = score(maps.chunk(chunks), truth.chunk(chunks), mask=mask, weights="area")
    assert all(value.chunks is not None for value in lazy.values())
    eager = score(maps, truth, mask=mask, weights="area")
    xr.testing.assert_allclose(lazy.compute(), eager, rtol=1e-12)
    assert lazy.attrs == eager.attrs
    assert all(lazy[name].attrs == eager[name].attrs for name in lazy)


def test_a_score_a_day_pairs_methods_by_day(maps: xr.DataArray, truth: xr.DataArray) -> None:
    daily = score(maps, truth, dim=("lat", "lon"))
    assert set(daily) == {"mu", "rmse", "r_score"}
    assert daily.rmse.dims == ("time",)
    expected = np.sqrt(((maps - truth).values ** 2).mean((1, 2)))
    np.testing.assert_allclose(daily.rmse, expected)
    reasons = daily.attrs["not_scored"].splitlines()
    assert [line.split(":")[0] for line in sorted(reasons)] == ["lambda_t", "lambda_x", "sigma"]


def test_members_one_by_one_or_together(maps: xr.DataArray, truth: xr.DataArray) -> None:
    members = xr.concat([maps, truth], "member").transpose("lon", "member", "time", "lat")
    each = score(members, truth)
    assert each.mu.dims == each.lambda_x.dims == ("member",)
    xr.testing.assert_allclose(each.isel(member=0), score(maps, truth))
    together = score(members, truth, dim=...)
    assert together.rmse.item() == pytest.approx(each.rmse[0].item() / np.sqrt(2))
    assert together.lambda_x.dims == ()


def test_a_score_a_latitude(maps: xr.DataArray, truth: xr.DataArray) -> None:
    by_row = score(maps, truth, dim=("time", "lon"))
    assert by_row.lambda_x.dims == by_row.rmse.dims == ("lat",)
    row = score(maps.isel(lat=[3]), truth.isel(lat=[3]))
    assert by_row.lambda_x[3].item() == row.lambda_x.item()


def test_order_and_direction_of_axes_do_not_matter(maps: xr.DataArray, truth: xr.DataArray) -> None:
    turned = maps.transpose("lat", "lon", "time").isel(lat=slice(None, None, -1))
    xr.testing.assert_allclose(
        score(turned, truth.isel(lat=slice(None, None, -1))), score(maps, truth)
    )
    backwards = {"lon": slice(None, None, -1)}
    xr.testing.assert_allclose(
        score(maps.isel(backwards), truth.isel(backwards)), score(maps, truth)
    )


def test_mask_and_gaps_are_the_same(maps: xr.DataArray, truth: xr.DataArray) -> None:
    sea = (truth.lon > -63) & (truth.lat < 36)
    masked = score(maps, truth, mask=sea)
    xr.testing.assert_allclose(masked, score(maps.where(sea), truth))
    xr.testing.assert_allclose(masked, score(maps, truth.where(sea)))
    inside = score(maps, truth.where(sea, drop=True).reindex_like(truth))
    xr.testing.assert_allclose(masked, inside)
    assert np.isnan([masked.lambda_x, masked.lambda_t]).all()
    assert "gap" in masked.lambda_x.attrs["comment"]


def test_area_weights_are_cosines_of_latitude(maps: xr.DataArray, truth: xr.DataArray) -> None:
    area = np.cos(np.deg2rad(truth.lat))
    by_name = score(maps, truth, weights="area")
    xr.testing.assert_allclose(by_name, score(maps, truth, weights=area))
    mean = ((maps - truth) ** 2).weighted(area).mean()
    assert by_name.rmse.item() == pytest.approx(float(mean) ** 0.5)
    assert by_name.lambda_x == score(maps, truth).lambda_x


def test_names_given_by_hand_and_other_calendars(maps: xr.DataArray, truth: xr.DataArray) -> None:
    names = {"time": "a", "lat": "b", "lon": "c"}
    bare = [field.drop_vars(field.coords).rename(names) for field in (maps, truth)]
    given = score(*bare, dims={"time": "a", "lat": "b", "lon": "c"})
    assert given.mu == score(maps, truth).mu
    assert given.lambda_x.item() == pytest.approx(score(maps, truth).lambda_x.item() / 0.5)
    pytest.importorskip("cftime")
    dates = xr.date_range("2012-10-22", periods=16, calendar="360_day", use_cftime=True)
    other = score(maps.assign_coords(time=dates), truth.assign_coords(time=dates))
    assert other.lambda_t.item() == score(maps, truth).lambda_t.item()
    assert other.lambda_t.attrs["units"] == "day"


def test_uneven_time_is_scored_without_spectra(maps: xr.DataArray, truth: xr.DataArray) -> None:
    kept = {"time": [0, 1, 2, 4, 5, 6, 7, 10]}
    result = score(maps.isel(kept), truth.isel(kept))
    assert set(result) == {"mu", "sigma", "rmse", "r_score"}
    assert "time is not evenly spaced" in result.attrs["not_scored"]
    with pytest.raises(InputError, match=r"time is not evenly spaced.*resample"):
        score(maps.isel(kept), truth.isel(kept), metrics="lambda_x")


def test_variables_are_stacked(maps: xr.DataArray, truth: xr.DataArray) -> None:
    sst = (truth * 3 + 15).assign_attrs(units="K").rename("sst")
    fields = xr.Dataset({"ssh": maps, "sst": (sst + 1).assign_attrs(sst.attrs)})
    result = score(fields, xr.Dataset({"ssh": truth, "sst": sst, "more": sst}))
    assert list(result["variable"].values) == ["ssh", "sst"]
    xr.testing.assert_allclose(
        result.drop_vars("rmse_units").sel(variable="ssh", drop=True), score(maps, truth)
    )
    assert result.rmse.sel(variable="sst").item() == pytest.approx(1)
    assert list(result.rmse_units.values) == ["m", "K"]
    assert "units" not in result.rmse.attrs
    assert result.mu.attrs["units"] == "1"


def reasons(result: xr.Dataset) -> dict[str, str]:
    lines = result.attrs.get("not_scored", "").splitlines()
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize("chunks", [None, {"time": 4}])
def test_spectral_scores_of_sparse_cells_say_why_they_are_missing(
    maps: xr.DataArray, truth: xr.DataArray, chunks: dict[str, int] | None
) -> None:
    hidden = truth.where(np.random.default_rng(2).random(truth.shape) < 0.1)
    missing = int(hidden.isnull().sum())
    result = score(maps if chunks is None else maps.chunk(chunks), hidden)
    why = reasons(result)
    assert list(why) == ["lambda_x", "lambda_t"]
    for name, text in why.items():
        assert np.isnan(float(result[name]))
        assert f"need complete fields and truth has {missing} missing values" in text
    box = eval(why["lambda_x"].rpartition("as with ")[2], {"truth": truth})
    assert box.sizes["lon"] == 9  # the advice can be followed
    assert np.isfinite(float(result.rmse))


def test_what_is_not_resolved_says_so(maps: xr.DataArray, truth: xr.DataArray) -> None:
    why = reasons(score(-truth, truth))
    assert list(why) == ["lambda_x", "lambda_t"]
    assert all("none is resolved" in text for text in why.values())
    assert reasons(score(maps, truth)) == {}


def test_scores_of_nothing_say_why_they_are_nan(maps: xr.DataArray, truth: xr.DataArray) -> None:
    never = score(maps, truth.where(False), metrics=("rmse", "r_score"))
    assert list(reasons(never)) == ["rmse", "r_score"]
    assert all("no cell has a value in both fields" in text for text in reasons(never).values())
    flat = score(maps, truth * 0 + 1, metrics=("rmse", "r_score"))
    assert list(reasons(flat)) == ["r_score"]
    assert "the truth is constant" in flat.attrs["not_scored"]


def test_reasons_of_each_variable(maps: xr.DataArray, truth: xr.DataArray) -> None:
    fields = xr.Dataset({"full": maps, "sparse": maps})
    result = score(fields, xr.Dataset({"full": truth, "sparse": truth.where(truth > 0)}))
    lines = result.attrs["not_scored"].splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["sparse", "lambda_x"],
        ["sparse", "lambda_t"],
    ]


BAD: dict[str, tuple[Callable[[xr.DataArray], xr.DataArray], dict[str, Any], str]] = {
    "other labels": (lambda t: t.assign_coords(lon=t.lon + 0.3), {}, "interp_like"),
    "longer truth": (
        lambda t: t.pad(time=(0, 1)).assign_coords(time=xr.date_range("2012-10-22", periods=17)),
        {},
        r"use truth\.sel\(time=reconstruction\.time\)",
    ),
    "rounded labels": (lambda t: t.assign_coords(lat=t.lat + 1e-9), {}, "by rounding.*assign_co"),
    "extra dimension": (lambda t: t.expand_dims(depth=[0.0]), {}, "depth.*isel"),
    "no time": (lambda t: t.isel(time=0), {}, "truth has no dimension 'time'"),
    "no labels": (lambda t: t.drop_vars("lon"), {}, "truth has no labels along 'lon'"),
    "units": (lambda t: t.assign_attrs(units="cm"), {}, "'m' and truth in 'cm'"),
    "dtype": (lambda t: t.astype(object), {}, "dtype object"),
    "metric": (lambda t: t, {"metrics": ["rmse", "psnr"]}, r"\['psnr'\].*choose from"),
    "dim": (lambda t: t, {"dim": "depth"}, r"\['depth'\].*choose from"),
    "weights": (lambda t: t, {"weights": "mass"}, "weights='mass'"),
    "negative weights": (lambda t: t, {"weights": xr.DataArray(-1.0)}, "negative"),
    "mask": (lambda t: t, {"mask": 1}, "mask is int"),
    "mask dtype": (lambda t: t, {"mask": xr.DataArray(1.0)}, "mask is dtype float64"),
    "sigma": (lambda t: t, {"metrics": "sigma", "dim": "lat"}, "sigma compares time steps"),
    "spectra": (lambda t: t, {"metrics": "lambda_t", "dim": "time"}, "run over time and lon"),
    "gaps": (lambda t: t.where(t.lon > -64), {"metrics": "lambda_x"}, "complete fields"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(maps: xr.DataArray, truth: xr.DataArray, case: str) -> None:
    change, options, text = BAD[case]
    with pytest.raises(InputError, match=text):
        score(maps, change(truth), **options)


def test_all_problems_at_once(maps: xr.DataArray, truth: xr.DataArray) -> None:
    wrong = truth.assign_attrs(units="cm").assign_coords(lon=truth.lon + 0.3)
    with pytest.raises(InputError) as caught:
        score(maps, wrong, metrics="psnr", dim="depth", weights="mass")
    assert len(caught.value.problems) == 5


def test_problems_of_datasets_name_the_variable(maps: xr.DataArray, truth: xr.DataArray) -> None:
    fields = xr.Dataset({"ssh": maps, "sst": maps})
    with pytest.raises(InputError, match="truth has no 'sst'"):
        score(fields, truth.to_dataset())
    with pytest.raises(InputError, match="ssh: reconstruction is in 'm'"):
        score(fields[["ssh"]], truth.assign_attrs(units="cm").to_dataset())
    with pytest.raises(InputError, match="two of a kind"):
        score(fields, truth)


def test_area_needs_latitudes(maps: xr.DataArray, truth: xr.DataArray) -> None:
    renamed = [field.drop_vars("lat").rename(lat="y") for field in (maps, truth)]
    with pytest.raises(InputError, match="needs a latitude"):
        score(*renamed, weights="area")


@pytest.mark.parametrize("change", ["units", "row by units", "radians", "dims", "2-D"])
def test_area_finds_the_latitudes_that_reconstruct_finds(
    maps: xr.DataArray, truth: xr.DataArray, change: str
) -> None:
    expected = score(maps, truth, weights="area").rmse.item()
    degrees = truth.lat.values
    fields, dims = [maps.rename(lat="row"), truth.rename(lat="row")], None
    attrs = {"units": "degrees_north"}
    if change == "units":
        fields = [field.rename(row="y").drop_attrs() for field in fields]
        fields = [field.assign_coords(y=("y", degrees, attrs)) for field in fields]
    elif change == "radians":
        attrs = {"units": "radian", "standard_name": "latitude"}
        fields = [field.assign_coords(row=("row", np.deg2rad(degrees), attrs)) for field in fields]
    elif change == "dims":  # two latitudes along one dimension: the one that is named
        fields = [
            field.assign_coords(row=np.arange(9), a=("row", degrees, attrs)) for field in fields
        ]
        dims = {"time": "time", "lat": "a", "lon": "lon"}
    elif change == "2-D":
        fields = [
            field.drop_vars(["row", "lon"]).assign_coords(
                nav_lat=field.row * xr.ones_like(field.lon), nav_lon=field.lon + 0 * field.row
            )
            for field in fields
        ]
        fields = [field.drop_vars(["row", "lon"]) for field in fields]
    found = score(*fields, weights="area", metrics="rmse", dims=dims).rmse.item()
    assert found == pytest.approx(expected, rel=1e-12)


def test_area_of_uneven_latitudes(maps: xr.DataArray, truth: xr.DataArray) -> None:
    """Each latitude stands for the points of the sphere that are nearest to it."""
    latitudes = np.array([10, 11, 15, 16, 40, 44, 60, 61, 65.0])
    points = np.arange(9.5, 67.0, 1e-3) + 5e-4
    nearest = np.abs(points[:, None] - latitudes).argmin(1)
    area = np.bincount(nearest, np.cos(np.deg2rad(points)))
    fields = [field.assign_coords(lat=latitudes) for field in (maps, truth)]
    for order in (slice(None), slice(None, None, -1)):
        one, other = (field.isel(lat=order) for field in fields)
        weights = xr.DataArray(area[order], dims="lat", coords={"lat": latitudes[order]})
        found = score(one, other, weights="area", metrics="rmse").rmse.item()
        expected = score(one, other, weights=weights, metrics="rmse").rmse.item()
        assert found == pytest.approx(expected, rel=1e-6)


def test_area_of_what_is_no_latitude_is_refused(maps: xr.DataArray, truth: xr.DataArray) -> None:
    angles = {
        "y": ("y", 0.01 * np.arange(9), {"units": "rad"}),
        "x": ("x", 0.01 * np.arange(18), {"units": "rad"}),
    }
    for axis in "yx":
        angles[axis][2]["standard_name"] = f"projection_{axis}_coordinate"
    metres = {"y": ("y", 1e4 * np.arange(9), {"units": "m"})}
    for coords in (angles, metres):
        fields = [
            field.rename(lat="y", lon="x").drop_vars(["y", "x"]).assign_coords(coords)
            for field in (maps, truth)
        ]
        with pytest.raises(InputError, match=r"'y' is not known to be one.*degrees_north"):
            score(*fields, weights="area", metrics="rmse")


def linear_in_time(observed: np.ndarray) -> np.ndarray:
    """Interpolate each cell in time, then give cells never seen their nearest neighbour's value."""
    from scipy.ndimage import distance_transform_edt

    days = np.arange(len(observed))
    filled = np.full(observed.shape, np.nan)
    for j, i in np.ndindex(observed.shape[1:]):
        seen = np.isfinite(observed[:, j, i])
        if seen.any():
            filled[:, j, i] = np.interp(days, days[seen], observed[seen, j, i])
    never = np.isnan(filled[0])
    nearest = distance_transform_edt(never, return_distances=False, return_indices=True)
    return filled[:, nearest[0], nearest[1]]


@pytest.mark.needs_data
@pytest.mark.parametrize(
    ("constellation", "published"),
    [
        ("ssh_nadir4", [0.443, 0.059, 3.12, 19.7, 19.83]),
        ("ssh_nadir4_swot", [0.702, 0.051, 2.10, 13.8, 10.60]),
    ],
)
def test_published_scores_of_linear_interpolation(
    shared_data: Callable[[str], Path], constellation: str, published: list[float]
) -> None:
    """As computed by the challenge's definitions with matplotlib's contour (mu ... RMSE in cm)."""
    period = {"time": slice("2012-10-01", "2012-12-02")}
    with xr.open_dataset(shared_data("twin_gulfstream/truth.nc")) as data:
        truth = data.ssh.sel(period).load()
    with xr.open_dataset(shared_data("twin_gulfstream/obs.nc")) as data:
        observed = data[constellation].sel(period).load()
    maps = truth.copy(data=linear_in_time(observed.values))
    scored = {"time": slice("2012-10-22", "2012-12-02")}
    inner = {"lat": slice(10, -10), "lon": slice(10, -10)}
    result = score(maps.sel(scored).isel(inner), truth.sel(scored).isel(inner))
    found = [result[name].item() for name in ("mu", "sigma", "lambda_x", "lambda_t", "rmse")]
    found[-1] *= 100
    for value, printed, half in zip(found, published, (5e-4, 5e-4, 5e-3, 0.05, 5e-3), strict=True):
        assert value == pytest.approx(printed, abs=half * 1.001)


def test_other_dates_along_a_dimension_without_an_index_are_told() -> None:
    dates = xr.date_range("2001-01-01", periods=6)
    truth = xr.DataArray(np.arange(6.0), dims="Time", coords={"XTIME": ("Time", dates)})
    later = truth.assign_coords(XTIME=("Time", xr.date_range("2001-01-02", periods=6)))
    assert float(score(truth, truth, metrics="rmse").rmse) == 0.0
    with pytest.raises(InputError, match="truth: 'XTIME' differs from reconstruction"):
        score(truth, later, metrics="rmse")
    with pytest.raises(InputError, match="mask: 'XTIME' differs from reconstruction"):
        score(truth, truth, mask=later > 2, metrics="rmse")
