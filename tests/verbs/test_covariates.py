"""Covariates through the verbs: what is learned from them, labels, chunks, files and errors."""

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.errors import InputError

SHORT = xv.Training(steps=3, batch_size=2)


def network(**settings):
    usual = {"background": None, "patch": {"time": 5}, "widths": (8,), "training": SHORT}
    return xv.FourDVarNet(**(usual | settings))


@pytest.fixture(scope="module")
def known(waves):
    rng = np.random.default_rng(3)
    sst = (10 * waves + 15).rename("sst").assign_attrs(units="degC")
    depth = waves.isel(time=0, drop=True).rename("depth").drop_vars("quality", errors="ignore")
    gappy = sst.where(rng.random(sst.shape) < 0.5).rename("sst_gappy")
    return xr.Dataset({"sst": sst, "sst_gappy": gappy, "depth": depth})


@pytest.fixture(scope="module")
def model(obs, waves, known):
    return obs.fourdvar.fit(
        network(), waves, covariates=[known, xv.covariates.day_of_year()], progress=False
    )


def rmse(maps, truth):
    return float(((maps - truth) ** 2).mean() ** 0.5)


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_a_network_learns_from_them(obs, waves, known, gaps):
    """The observations tell nothing here, the covariate all: only a network that sees it maps."""
    sparse = obs.where(np.random.default_rng(0).random(obs.shape) < 0.02)
    training = xv.Training(steps=150, batch_size=4, learning_rate=3e-3)
    method = network(training=training, prior=None, solver="unet", steps=1, coarsen=1)
    sst = known[["sst_gappy" if gaps else "sst"]]
    without = sparse.fourdvar.fit(method, waves, progress=False)
    given = sparse.fourdvar.fit(method, waves, covariates=sst, progress=False)
    blind = rmse(sparse.fourdvar.reconstruct(without), waves)
    seeing = rmse(sparse.fourdvar.reconstruct(given, covariates=sst), waves)
    assert seeing < (0.7 if gaps else 0.5) * blind


def test_chunks_order_and_longer_covariates_give_the_same_maps(obs, known, model):
    maps = obs.fourdvar.reconstruct(model, covariates=known)
    longer = xr.concat([known.sst, known.sst.shift(time=1)], "time")
    longer = longer.assign_coords(time=xr.date_range("2014-01-01", periods=48))
    lazy = obs.chunk(time=10).fourdvar.reconstruct(
        model, covariates=[known.depth.chunk(), known.sst_gappy, longer.chunk(time=7)]
    )
    assert lazy.chunks == obs.chunk(time=10).chunks
    xr.testing.assert_allclose(lazy.compute(), maps, atol=1e-6)


def test_each_counts(obs, known, model):
    maps = obs.fourdvar.reconstruct(model, covariates=known)
    for name in known:
        changed = known.assign({name: known[name] + 1})
        other = obs.fourdvar.reconstruct(model, covariates=changed)
        assert float(abs(other - maps).max()) > 0


def test_files_keep_them(obs, known, model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    back = xv.load(tmp_path / "model.safetensors")
    assert back.digest == model.digest
    assert back.covariates == model.covariates
    assert list(back.covariates)[:2] == ["sst", "sst_gappy"]
    assert "covariates: sst, sst_gappy, depth" in repr(back)
    xr.testing.assert_equal(
        obs.fourdvar.reconstruct(back, covariates=known),
        obs.fourdvar.reconstruct(model, covariates=known),
    )


def test_beside_a_background_and_mirrored(obs, waves, known):
    method = network(background=xv.LinearInterpolation(), mirror=True)
    model = obs.fourdvar.fit(method, waves, covariates=known, progress=False)
    assert not model.background.covariates
    assert np.isfinite(obs.fourdvar.reconstruct(model, covariates=known)).all()


def test_on_the_finer_grid_of_downscaling(waves, known):
    coarse = waves.coarsen(lat=2, lon=2).mean()
    method = network(operator=xv.operators.BlockMean())
    model = coarse.fourdvar.fit(method, waves, covariates=known.sst, progress=False)
    maps = coarse.fourdvar.reconstruct(model, grid=waves, covariates=known.sst)
    assert maps.shape == waves.shape


def test_forecasts_ask_for_later_times(obs, waves, known):
    model = obs.fourdvar.fit(network(), waves, covariates=known.sst, progress=False)
    with pytest.raises(InputError, match="sst: 'time' has 24 entries, obs has 26"):
        obs.fourdvar.forecast(model, 2, covariates=known.sst)
    later = known.sst.pad(time=(0, 2)).drop_vars(["time", "quality"])
    later = later.assign_coords(time=xr.date_range("2014-01-01", periods=26))
    with pytest.raises(InputError, match="missing values that had none"):
        obs.fourdvar.forecast(model, 2, covariates=later)
    ahead = obs.fourdvar.forecast(model, 2, covariates=later.fillna(15.0))
    assert ahead.sizes["time"] == 2


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (None, "no covariates are given, and the model was fitted with 'sst'"),
        (["sst"], "covariates lack 'sst_gappy', 'depth'"),
        (["sst", "sst_gappy", "depth", "more"], "the model knows no covariates 'more'"),
        ("units", "covariate 'sst' is in 'K', the model knows 'degC'"),
        ("times", "sst: 'time' differs from obs"),
        ("nan", "missing values that had none where the model was fitted"),
        ("inf", "infinite values"),
    ],
)
def test_a_model_asks_for_its_own(obs, known, model, given, match):
    data = known.assign(more=known.depth)
    covariates = data[given] if isinstance(given, list) else data.drop_vars("more")
    if given is None:
        covariates = None
    elif given == "units":
        covariates["sst"].attrs["units"] = "K"
    elif given == "times":
        covariates = covariates.assign_coords(time=covariates.time + np.timedelta64(1, "h"))
    elif given in ("nan", "inf"):
        covariates["sst"] = covariates.sst.where(covariates.lat > 34, float(given))
    with pytest.raises(InputError, match=match):
        obs.fourdvar.reconstruct(model, covariates=covariates)


def test_methods_that_take_none_refuse_them(obs, known, oi):
    with pytest.raises(InputError, match="OptimalInterpolation takes no covariates"):
        obs.fourdvar.fit(oi, covariates=known.sst)
    with pytest.raises(InputError, match="the model knows no covariates 'sst'"):
        obs.fourdvar.reconstruct(oi, covariates=known.sst)


@pytest.mark.parametrize(("value", "match"), [(np.nan, "has no value"), (np.inf, "1 infinite")])
def test_values_are_checked_before_training(obs, known, value, match):
    sst = known.sst.copy()
    sst[{"time": 0, "lat": 0, "lon": 0}] = value
    sst = sst if np.isinf(value) else sst * value
    with pytest.raises(InputError, match=match):
        obs.fourdvar.fit(network(), covariates=sst)


def test_what_is_the_same_everywhere_changes_nothing_and_breaks_nothing(obs, known):
    flat = xr.full_like(known.sst, 7.0)
    model = obs.fourdvar.fit(network(), covariates=flat, progress=False)
    assert np.isfinite(obs.fourdvar.reconstruct(model, covariates=flat)).all()
