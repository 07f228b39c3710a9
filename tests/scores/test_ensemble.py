"""Scores of ensembles against their definitions, and what they must be of a perfect one."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.scores import crps, rank_histogram, spread_skill


def perfect(members: int, cells: int = 4000, spread: float = 2.0):
    """Members and a truth that is drawn as they are."""
    drawn = np.random.default_rng(members).normal(1.0, spread, (members + 1, cells))
    ensemble = xr.DataArray(drawn[1:], dims=("member", "x"))
    return ensemble, xr.DataArray(drawn[0], dims="x")


def test_crps_is_its_double_sum():
    ensemble, truth = perfect(5, 30)
    x, h = ensemble.values, truth.values
    pairs = abs(x[:, None] - x[None]).sum((0, 1)) / (2 * 5 * 4)
    expected = abs(x - h).mean(0) - pairs
    assert float(crps(ensemble, truth, ["x"])) == pytest.approx(expected.mean(), rel=1e-12)


@pytest.mark.parametrize("members", [2, 10, 50])
def test_crps_of_any_number_of_members_is_that_of_their_distribution(members):
    """Of a Gaussian and a truth drawn from it: spread / sqrt(pi)."""
    expected = 2.0 / np.sqrt(np.pi)
    assert float(crps(*perfect(members), ["x"])) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("members", [2, 10, 50])
def test_a_perfect_ensemble(members):
    assert float(spread_skill(*perfect(members), ["x"])) == pytest.approx(1, abs=0.04)
    histogram = rank_histogram(*perfect(members), ["x"])
    assert histogram.sizes == {"rank": members + 1}
    assert float(histogram.sum()) == pytest.approx(1)
    np.testing.assert_allclose(histogram, 1 / (members + 1), atol=5 / np.sqrt(4000 * members))


def test_too_sharp_an_ensemble():
    ensemble, truth = perfect(20)
    sharp = ensemble.mean() + 0.5 * (ensemble - ensemble.mean())
    assert float(spread_skill(sharp, truth, ["x"])) == pytest.approx(0.5, rel=0.1)
    histogram = rank_histogram(sharp, truth, ["x"])
    assert min(histogram[0], histogram[-1]) > 3 * histogram[5:15].max()
    assert crps(sharp, truth, ["x"]) > crps(ensemble, truth, ["x"])


def test_the_verb_scores_ensembles():
    ensemble, truth = perfect(6, 80)
    time = np.arange(4.0)
    ensemble, truth = (
        xr.DataArray(a.values.reshape(*a.shape[:-1], 4, 20), dims=(*a.dims[:-1], "time", "x"))
        .assign_coords(time=time, x=np.arange(20.0))
        .assign_attrs(units="m")
        for a in (ensemble, truth)
    )
    names = ("rmse", "crps", "spread_skill", "rank_histogram")
    scores = ensemble.fourdvar.score(truth, metrics=names)
    assert scores.rmse.dims == ("member",)
    assert "crps" not in ensemble.fourdvar.score(truth)
    assert scores.crps.dims == scores.spread_skill.dims == ()
    assert scores.rank_histogram.dims == ("rank",)
    assert scores.crps.attrs["units"] == "m"
    assert float(scores.crps) == pytest.approx(float(crps(ensemble, truth, ["time", "x"])))
    by_time = ensemble.fourdvar.score(truth, dim="x", metrics=("crps", "spread_skill"))
    assert by_time.crps.dims == by_time.spread_skill.dims == ("time",)
    weights = xr.DataArray(np.arange(20.0), dims="x", coords={"x": ensemble.x})
    weighted = ensemble.fourdvar.score(truth, weights=weights, metrics="crps").crps
    alone = crps(ensemble, truth, [])
    assert float(weighted) == pytest.approx(float(alone.weighted(weights).mean()))
    lazy = ensemble.chunk(x=5).fourdvar.score(truth, metrics=("crps", "rank_histogram"))
    assert lazy.crps.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), scores[["crps", "rank_histogram"]])
    with pytest.raises(xv.InputError, match="are those of an ensemble"):
        ensemble[0].fourdvar.score(truth, metrics="crps")
