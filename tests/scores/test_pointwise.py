"""Scores cell by cell against their definitions, written out."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xr4dvar.scores import mu, pair_sums, r_score, rmse, sigma

DIMS = ("time", "lat", "lon")


@pytest.fixture
def pair() -> tuple[xr.DataArray, xr.DataArray]:
    rng = np.random.default_rng(1)
    truth = xr.DataArray(rng.normal(2.0, 3.0, size=(6, 4, 5)), dims=DIMS)
    reconstruction = truth + rng.normal(0.1, 0.5, size=truth.shape)
    return reconstruction, truth


def test_definitions(pair: tuple[xr.DataArray, xr.DataArray]) -> None:
    a, h = (field.values for field in pair)
    sums = pair_sums(*pair, DIMS)
    e = a - h
    assert rmse(sums).item() == pytest.approx(np.sqrt(np.mean(e**2)), rel=1e-12)
    assert mu(sums).item() == pytest.approx(
        1 - np.sqrt(np.mean(e**2)) / np.sqrt(np.mean(h**2)), rel=1e-12
    )
    assert r_score(sums).item() == pytest.approx(100 * (1 - np.mean(e**2) / h.var()), rel=1e-12)
    daily = 1 - np.sqrt((e**2).mean((1, 2))) / np.sqrt((h**2).mean((1, 2)))
    steps = pair_sums(*pair, ("lat", "lon"))
    assert sigma(steps, "time").item() == pytest.approx(daily.std(ddof=0), rel=1e-12)


def test_sums_of_sums_are_sums(pair: tuple[xr.DataArray, xr.DataArray]) -> None:
    xr.testing.assert_allclose(pair_sums(*pair, ("lat", "lon")).sum("time"), pair_sums(*pair, DIMS))


def test_missing_cells_are_left_out_of_both_fields(
    pair: tuple[xr.DataArray, xr.DataArray],
) -> None:
    reconstruction, truth = pair
    rng = np.random.default_rng(2)
    seen = rng.random(truth.shape) < 0.6
    known = rng.random(truth.shape) < 0.6
    sums = pair_sums(reconstruction.where(seen), truth.where(known), DIMS)
    a, h = reconstruction.values[seen & known], truth.values[seen & known]
    assert sums.weight.item() == (seen & known).sum()
    assert mu(sums).item() == pytest.approx(
        1 - np.sqrt(np.mean((a - h) ** 2)) / np.sqrt(np.mean(h**2)), rel=1e-12
    )
    assert r_score(sums).item() == pytest.approx(
        100 * (1 - np.mean((a - h) ** 2) / h.var()), rel=1e-12
    )


def test_a_weight_of_two_is_a_cell_counted_twice(pair: tuple[xr.DataArray, xr.DataArray]) -> None:
    weights = xr.DataArray([2.0, 1.0, 0.0, 1.0], dims="lat")
    weighted = pair_sums(*pair, DIMS, weights)
    repeated = [field.isel(lat=[0, 0, 1, 3]) for field in pair]
    plain = pair_sums(*repeated, DIMS)
    for figure in (rmse, mu, r_score):
        assert figure(weighted).item() == pytest.approx(figure(plain).item(), rel=1e-12)


def test_perfect_zero_and_mean_fields(pair: tuple[xr.DataArray, xr.DataArray]) -> None:
    _, truth = pair
    perfect = pair_sums(truth, truth, DIMS)
    assert (mu(perfect).item(), rmse(perfect).item(), r_score(perfect).item()) == (1, 0, 100)
    assert mu(pair_sums(truth * 0, truth, DIMS)).item() == pytest.approx(0, abs=1e-12)
    mean = xr.zeros_like(truth) + truth.mean()
    assert r_score(pair_sums(mean, truth, DIMS)).item() == pytest.approx(0, abs=1e-9)


def test_nothing_to_score_is_nan_without_warnings() -> None:
    empty = xr.DataArray(np.full(3, np.nan), dims="x")
    sums = pair_sums(empty, empty, ["x"])
    assert np.isnan([rmse(sums), mu(sums), r_score(sums)]).all()
    constant = xr.DataArray(np.full(3, 300.1), dims="x")
    assert np.isnan(r_score(pair_sums(constant + 1, constant, ["x"])))


def test_sigma_leaves_out_days_without_a_pair(pair: tuple[xr.DataArray, xr.DataArray]) -> None:
    reconstruction, truth = pair
    gappy = reconstruction.where(reconstruction.time != 2)
    kept = [0, 1, 3, 4, 5]
    a = sigma(pair_sums(gappy, truth, ("lat", "lon")), "time")
    b = sigma(pair_sums(*(f.isel(time=kept) for f in pair), ("lat", "lon")), "time")
    assert a.item() == pytest.approx(b.item(), rel=1e-12)


def test_float32_is_summed_in_float64() -> None:
    rng = np.random.default_rng(0)
    truth = xr.DataArray(rng.normal(300, 1, size=10_000).astype("float32"), dims="x")
    reconstruction = truth + np.float32(0.5)
    sums = pair_sums(reconstruction, truth, ["x"])
    assert sums.square.dtype == "float64"
    exact = np.var(truth.values.astype("float64"))
    assert r_score(sums).item() == pytest.approx(100 * (1 - 0.25 / exact), rel=1e-6)
