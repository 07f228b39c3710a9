"""The curve of the cost: it ends at the cost of the map, never rises, and keeps labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import ModelErrorTerm, StateObservationTerm, to_states
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics.model import flow_of

MODEL = xv.Lorenz63(dt=0.01)
EOFS = {"error_variance": 1.0, "model_error_variance": 0.5}


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    seen = {"observed": ("x", "z"), "every": 8, "first": 4, "last": 59}
    found = xv.datasets.lorenz63(20, steps=60, noise_variance=1.0, seed=3, **seen)
    return found.assign_coords(window=100 + found.window, place=("window", list("abcde" * 4)))


def fourdvar(**settings) -> xv.FourDVar:
    return xv.FourDVar(MODEL, 1.0, **{"climate": 200, "starts": 2, "spin_up": 0, **settings})


def cost_of_states(maps: xr.DataArray, obs: xr.DataArray, model: xv.Model) -> torch.Tensor:
    """Observations, background and, where there is one, model error: summed here by hand."""
    x, y = (torch.from_numpy(a.values.astype(float))[:, None, :, None] for a in (maps, obs))
    states = to_states(x)
    climate = model.parameters.arrays["climate"]
    anomaly = states[:, 0].numpy() - climate.mean(0)
    total = 0.5 * np.einsum("bi,ij,bj->b", anomaly, np.linalg.inv(np.cov(climate.T)), anomaly)
    batch = Batch.from_gappy(y)
    total = total + StateObservationTerm(CovarianceMatrix(1.0, 3))(x, batch).numpy()
    if (q := model.method.model_error_variance) is not None:
        term = ModelErrorTerm(flow_of(MODEL, 0.01), CovarianceMatrix(q, 3))
        total = total + term(x, batch).numpy()
    return total


@pytest.mark.parametrize("q", [None, 1e-2])
def test_of_4dvar_it_ends_at_the_cost_of_the_map(ds, q):
    obs = ds.obs[:6].astype("float64")
    model = obs.fourdvar.fit(fourdvar(model_error_variance=q))
    curve = obs.fourdvar.cost_curve(model)
    expected = cost_of_states(obs.fourdvar.reconstruct(model), obs, model)
    np.testing.assert_allclose(curve.cost[:, -1], expected, rtol=1e-6)
    names = ["observations", "background", *(["model"] if q else [])]
    assert curve.term.values.tolist() == names
    misfit = 0.5 * ((obs.fourdvar.reconstruct(model) - obs) ** 2).sum(("time", "component"))
    last = curve.cost_of_term.isel(step=-1)
    np.testing.assert_allclose(last.sel(term="observations"), misfit, rtol=1e-6)
    np.testing.assert_allclose(curve.cost_of_term.sum("term"), curve.cost)
    assert (curve.cost.diff("step") <= 0).all()
    assert (curve.cost[:, 0] > curve.cost[:, -1]).all()
    assert float(curve.gradient_norm[:, -1].max()) < 1e-2 * float(curve.gradient_norm[:, 0].max())


@pytest.mark.parametrize("control", ["state", "latent"])
def test_of_a_learned_prior_it_is_the_whole_descent(ds, control):
    obs = ds.obs.astype("float64")
    method = xv.Variational(xv.EOFs(8), **EOFS, control=control, steps=60)
    model = obs.fourdvar.fit(method, ds.truth)
    curve = obs.fourdvar.cost_curve(model)
    assert (curve.cost.diff("step") <= 0).all()
    drop = curve.gradient_norm[:, -1] / curve.gradient_norm.max("step")
    assert float(drop.max()) < 1e-3
    if control == "state":
        expected = cost_of_windows(obs.fourdvar.reconstruct(model), obs, model)
        np.testing.assert_allclose(curve.cost[:, -1], expected, rtol=1e-5)


def cost_of_windows(maps: xr.DataArray, obs: xr.DataArray, model: xv.Model) -> np.ndarray:
    """Misfits to the observations, and to the projection on the modes."""
    arrays = model.parameters.arrays
    modes, mean, spread = arrays["prior/modes"], arrays["prior/mean"], arrays["spread"].item()
    x, y = (a.values[:, None, :, None] for a in (maps, obs))
    anomaly = (x - arrays["mean"]) / spread - mean
    codes = np.einsum("bvtyx,kvtyx->bk", anomaly, modes)
    rest = spread * (anomaly - np.einsum("bk,kvtyx->bvtyx", codes, modes))
    squares = np.nansum((x - y) ** 2, (1, 2, 3, 4)) / EOFS["error_variance"]
    prior = (rest**2).sum((1, 2, 3, 4)) / EOFS["model_error_variance"]
    return 0.5 * (squares + prior)


def test_it_starts_at_the_background(ds):
    obs = ds.obs.astype("float64")
    linear = xv.LinearInterpolation()
    model = obs.fourdvar.fit(xv.Variational(xv.EOFs(8), **EOFS, background=linear), ds.truth)
    first = obs.fourdvar.cost_curve(model).cost[:, 0]
    expected = cost_of_windows(obs.fourdvar.reconstruct(linear), obs, model)
    np.testing.assert_allclose(first, expected, rtol=1e-5)


def test_labels_are_kept(ds):
    curve = ds.obs[:3].fourdvar.cost_curve(fourdvar())
    assert curve.cost.dims == curve.gradient_norm.dims == ("window", "step")
    assert curve.window.values.tolist() == [100, 101, 102]
    assert curve.place.values.tolist() == ["a", "b", "c"]
    assert curve.step.values.tolist() == list(range(curve.sizes["step"]))
    assert curve.sizes["step"] < 60, "it ends where the last window has settled"
    assert curve.cost.attrs["units"] == "1"
    assert "cost_curve(obs, FourDVar)" in curve.attrs["history"]


def test_one_window_several_batch_dimensions_chunks_and_order(ds):
    obs = ds.obs[:4].astype("float64").drop_vars("place")
    expected = obs.fourdvar.cost_curve(fourdvar())
    one = obs[0].fourdvar.cost_curve(fourdvar())
    assert one.cost.dims == ("step",)
    assert int(one.window) == 100
    steps = one.sizes["step"]
    np.testing.assert_allclose(one.cost, expected.cost[0, :steps], rtol=1e-9)
    runs = {"run": ("window", [0, 0, 1, 1]), "member": ("window", [0, 1, 0, 1])}
    square = obs.drop_vars("window").assign_coords(runs).set_index(window=["run", "member"])
    square = square.unstack("window")
    found = square.chunk(time=20).transpose("run", ..., "member").fourdvar.cost_curve(fourdvar())
    assert set(found.cost.dims) == {"run", "member", "step"}
    both = found.cost.transpose("run", "member", "step").values.reshape(4, -1)
    np.testing.assert_allclose(both, expected.cost, rtol=1e-9)


def test_observations_of_their_own_variance_and_a_mask(ds):
    obs = ds.obs[:2].astype("float64")
    variance = xr.full_like(obs, 4.0)
    one = fourdvar(starts=1)
    curve = obs.fourdvar.cost_curve(one, error_variance=variance)
    expected = obs.fourdvar.cost_curve(replace(one, error_variance=4.0))
    np.testing.assert_allclose(curve.cost[:, -1], expected.cost[:, -1], rtol=1e-5)
    early = obs.time < 0.3
    masked = obs.fourdvar.cost_curve(one, mask=early)
    cut = obs.where(early).fourdvar.cost_curve(one)
    np.testing.assert_allclose(masked.cost, cut.cost)


def test_what_has_no_cost_or_is_cut_is_refused(ds):
    with pytest.raises(xv.InputError, match="LinearInterpolation minimises no cost"):
        ds.obs.fourdvar.cost_curve(xv.LinearInterpolation())
    with pytest.raises(xv.InputError, match="rename it"):
        ds.obs.rename(window="step").fourdvar.cost_curve(fourdvar())
    method = xv.Variational(xv.EOFs(4), **EOFS, patch={"time": 20})
    model = ds.obs.fourdvar.fit(method, ds.truth)
    with pytest.raises(xv.InputError, match="sees 20 of the 60 steps of 'time'"):
        ds.obs.fourdvar.cost_curve(model)
    assert ds.obs.isel(time=slice(20)).fourdvar.cost_curve(model).sizes["window"] == 20
    noise = xv.Variational(xv.Denoiser(training=xv.Training(steps=2, batch_size=2)), 1.0)
    model = ds.obs.fourdvar.fit(noise, ds.truth)
    with pytest.raises(xv.InputError, match=r"no cost by steps .* any prior but a Denoiser"):
        ds.obs.fourdvar.cost_curve(model)
