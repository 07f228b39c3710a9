"""Scores of ensembles against their definitions, and what they must be of a perfect one."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.scores import crps, rank_histogram, spread_skill
from xr4dvar.testing import raise_if_dask_computes


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


@pytest.mark.parametrize("chunks", [{"member": 1}, {"member": 2, "x": 7}, {"member": -1}])
def test_members_in_chunks_of_their_own(chunks):
    ensemble, truth = perfect(5, 30)
    ensemble, truth = ensemble.round(1), truth.round(1)
    for one in (crps, spread_skill, rank_histogram):
        for other in (truth, truth.chunk(x=7)):
            with raise_if_dask_computes():
                lazy = one(ensemble.chunk(chunks), other, ["x"])
            assert lazy.chunks is not None
            np.testing.assert_allclose(lazy.compute(), one(ensemble, truth, ["x"]), rtol=1e-12)


def test_one_member_is_scored_by_its_absolute_error():
    """The CRPS of a single value is the distance to it; there are no pairs to be fair to."""
    ensemble, truth = perfect(1, 30)
    mae = float(abs(ensemble[0] - truth).mean())
    assert float(crps(ensemble, truth, ["x"])) == pytest.approx(mae, rel=1e-12)
    assert float(crps(ensemble.chunk(), truth, ["x"])) == pytest.approx(mae, rel=1e-12)
    time = {"time": np.arange(30.0)}
    ensemble, truth = (a.rename(x="time").assign_coords(time) for a in (ensemble, truth))
    scores = ensemble.fourdvar.score(truth, metrics="crps")
    assert float(scores.crps) == pytest.approx(mae)
    assert scores.crps.attrs["comment"] == "of one member: the mean absolute error"
    with pytest.raises(xv.InputError, match=r"one member has no spread.*two members"):
        ensemble.fourdvar.score(truth, metrics=("crps", "spread_skill"))


@pytest.mark.parametrize("members", [1, 4, 9])
def test_ties_do_not_tilt_the_ranks(members):
    """Of rounded data, the truth and the members still have all ranks alike."""
    ensemble, truth = (array.round(0) for array in perfect(members, 40000, spread=1.0))
    histogram = rank_histogram(ensemble, truth, ["x"])
    flat = 1 / (members + 1)
    np.testing.assert_allclose(histogram, flat, atol=5 * np.sqrt(flat / 40000))
    all_equal = rank_histogram(0 * ensemble, 0 * truth, ["x"])
    np.testing.assert_allclose(all_equal, flat, atol=5 * np.sqrt(flat / 40000))


def test_ties_follow_from_the_seed_and_the_cell():
    ensemble, truth = (array.round(0) for array in perfect(4, 60))
    ensemble, truth = (
        xr.DataArray(a.values.reshape(*a.shape[:-1], 6, 10), dims=(*a.dims[:-1], "y", "x"))
        for a in (ensemble, truth)
    )
    first = rank_histogram(ensemble, truth, [])
    assert first.identical(rank_histogram(ensemble.chunk(y=4, x=3), truth.chunk(x=5), []).compute())
    turned = rank_histogram(ensemble.transpose("x", "member", "y"), truth, [])
    assert first.identical(turned.transpose(*first.dims))
    assert not first.identical(rank_histogram(ensemble, truth, [], seed=1))
    below, upto = ((ensemble < truth).sum("member"), (ensemble <= truth).sum("member"))
    rank = first.argmax("rank")
    assert bool(((below <= rank) & (rank <= upto)).all())


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
