"""Variational reconstruction with priors that are learned before: closed forms, labels, errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from tests.methods.variational.walks import LATENT, SHORT, R, eofs_of, flat, walks


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return walks()


@pytest.fixture(scope="module")
def latent(ds) -> xv.Model:
    return ds.obs.fourdvar.fit(LATENT, ds.truth)


def optimal_interpolation(y, mean, b, error):
    """The map of one window, with error variances of each of its values."""
    seen = np.isfinite(y)
    gain = b[:, seen] @ np.linalg.inv(b[np.ix_(seen, seen)] + np.diag(error[seen]))
    return mean + gain @ (y[seen] - mean[seen])


def test_with_a_gaussian_code_it_is_optimal_interpolation(ds, latent):
    """Covariances of the modes; what the modes lack is an error of the observations."""
    maps = flat(ds.obs.fourdvar.reconstruct(latent))
    mean, e, variances = eofs_of(ds.truth, 6)
    b = e * variances @ e.T
    errors = [np.full(24, variance) for variance in (R + 0.05, R)]
    found = [[optimal_interpolation(y, mean, b, e) for y in flat(ds.obs)] for e in errors]
    np.testing.assert_allclose(maps, found[0], atol=1e-3)
    assert np.abs(maps - found[1]).max() > 0.05, "far from the same without Q"


@pytest.mark.parametrize(("solver", "steps"), [("gauss_newton", 50), ("adam", 600)])
def test_every_solver_finds_the_same_minimum(ds, latent, solver, steps):
    method = replace(LATENT, solver=solver, steps=steps)
    model = ds.obs.fourdvar.fit(method, ds.truth)
    maps, expected = (ds.obs[:12].fourdvar.reconstruct(m) for m in (model, latent))
    np.testing.assert_allclose(maps, expected, atol=1e-2)


def test_observations_of_their_own_variance(ds, latent):
    variance = xr.where(ds.time < 6, 0.1, 2.0).broadcast_like(ds.obs)
    maps = flat(ds.obs.fourdvar.reconstruct(latent, error_variance=variance))
    mean, e, variances = eofs_of(ds.truth, 6)
    b = e * variances @ e.T
    expected = [
        optimal_interpolation(y, mean, b, v + 0.05)
        for y, v in zip(flat(ds.obs), flat(variance), strict=True)
    ]
    np.testing.assert_allclose(maps, expected, atol=1e-3)


def test_components_of_their_own_variance(ds, latent):
    """As if the variance of each observation had been given."""
    own = replace(LATENT, error_variance=[0.1, 2.0])
    maps = ds.obs.fourdvar.reconstruct(ds.obs.fourdvar.fit(own, ds.truth))
    variance = xr.where(ds.component == "u", 0.1, 2.0).broadcast_like(ds.obs)
    expected = ds.obs.fourdvar.reconstruct(latent, error_variance=variance)
    np.testing.assert_allclose(maps, expected, atol=1e-4)


def test_a_step_down_is_safe_for_precise_observations(ds):
    method = xv.Variational(xv.EOFs(2), 2.0, 0.2, solver="gradient", steps=500)
    model = ds.obs.fourdvar.fit(method, ds.truth)
    close = xr.full_like(ds.obs, 1e-2)
    maps = ds.obs.fourdvar.reconstruct(model, error_variance=close)
    assert float(abs(maps - ds.obs).mean()) < 0.1


def test_sites_of_their_own_variance():
    """Of a ring, whose sites have no names."""
    ring = xv.datasets.lorenz96(2, sites=6, observed=3, steps=20)
    where = {"dims": {"time": "time", "x": "site"}, "periodic": ("site",)}
    r = np.arange(1.0, 7.0)
    decay = xv.ODE(lambda x: -0.5 * x, dt=0.05)  # linear: there is one minimum
    method = xv.Variational(decay, r, 0.1, steps=300)
    maps = ring.obs.fourdvar.reconstruct(method, **where)
    variance = xr.DataArray(r, dims="site").broadcast_like(ring.obs)
    one = replace(method, error_variance=1.0)
    expected = ring.obs.fourdvar.reconstruct(one, error_variance=variance, **where)
    np.testing.assert_allclose(maps, expected, atol=1e-2)


def test_the_error_is_that_of_optimal_interpolation():
    """Of truths that are made of modes and of what they lack, at all cells alike."""
    ds, q = walks(400), 0.05
    generator = np.random.default_rng(1)
    mean, e, variances = eofs_of(ds.truth, 6)
    made = mean + (generator.normal(size=(400, 6)) * variances**0.5) @ e.T
    made = made + q**0.5 * generator.normal(size=made.shape)
    truth = ds.truth.copy(data=made.reshape(ds.truth.shape))
    noise = R**0.5 * generator.normal(size=truth.shape)
    obs = (truth + noise).where(ds.obs.notnull()).rename("obs")
    model = ds.obs.fourdvar.fit(LATENT, ds.truth)
    maps = obs.fourdvar.reconstruct(model, error=True)
    b = e * variances @ e.T
    for y, found in zip(flat(obs)[:20], flat(maps.obs_error)[:20], strict=True):
        seen = np.isfinite(y)
        h = np.eye(24)[seen]
        gain = b @ h.T @ np.linalg.inv(h @ b @ h.T + (R + q) * np.eye(seen.sum()))
        # of x = D z + e the map is D z; e is in the observations too
        rest = np.eye(24) - gain @ h
        expected = rest @ (b + q * np.eye(24)) @ rest.T + R * gain @ gain.T
        np.testing.assert_allclose(found, expected.diagonal() ** 0.5, rtol=1e-5)
    white = (maps.obs - truth) / maps.obs_error
    assert 0.95 < float((white**2).mean()) ** 0.5 < 1.05


def test_the_error_of_a_network_is_a_laplace_approximation(l63, fitted):
    method = replace(fitted["auto-encoder"].method, control="latent", steps=100)
    model = l63.obs.fourdvar.fit(method, l63.truth)
    maps = l63.obs[:12].fourdvar.reconstruct(model, error=True)
    members = l63.obs[:12].fourdvar.reconstruct(model, ensemble=40)
    unseen = l63.obs[:12].isnull()
    ratio = members.var("member").where(unseen).mean() / (maps.obs_error**2).where(unseen).mean()
    assert 0.7 < float(ratio) < 1.4


def test_states_alone_have_no_error(ds):
    model = ds.obs.fourdvar.fit(xv.Variational(xv.EOFs(3), R), ds.truth)
    with pytest.raises(xv.InputError, match="Variational does not know the error"):
        ds.obs.fourdvar.reconstruct(model, error=True)


@pytest.mark.parametrize(("solver", "steps"), [("lbfgs", 200), ("fixed_point", 3000)])
def test_of_states_it_is_the_least_squares_fit_of_the_modes(ds, solver, steps):
    """Seen values lie between fit and observation, as their variances say."""
    method = xv.Variational(xv.EOFs(2), R, 0.2, solver=solver, steps=steps)
    maps = flat(ds.obs.fourdvar.reconstruct(ds.obs.fourdvar.fit(method, ds.truth)))
    mean, e, _ = eofs_of(ds.truth, 2)
    for y, x in zip(flat(ds.obs), maps, strict=True):
        seen = np.isfinite(y)
        amplitudes = np.linalg.lstsq(e[seen], (y - mean)[seen], rcond=None)[0]
        fit = mean + e @ amplitudes
        np.testing.assert_allclose(x[~seen], fit[~seen], atol=1e-3)
        between = fit + 0.2 / (0.2 + R) * (y - fit)
        np.testing.assert_allclose(x[seen], between[seen], atol=1e-3)


def test_the_error_of_the_prior_is_found_on_windows_it_was_not_learned_from(ds):
    model = ds.obs.fourdvar.fit(xv.Variational(xv.EOFs(4), R), ds.truth)
    mean, e, _ = eofs_of(ds.truth, 4)
    held_out = flat(ds.truth)[-12:] - mean
    expected = np.mean((held_out - held_out @ e @ e.T) ** 2)
    np.testing.assert_allclose(model.parameters.arrays["prior_error_variance"], expected, rtol=1e-9)


def test_units_do_not_matter(ds, latent):
    """Variables of their own units: as if each had been scaled by hand."""
    obs, truth = ds.obs.to_dataset("component"), ds.truth.to_dataset("component")
    expected = obs.fourdvar.reconstruct(obs.fourdvar.fit(LATENT, truth))
    obs["v"], truth["v"] = 1000 * obs.v, 1000 * truth.v
    method = replace(LATENT, error_variance=[R, 1e6 * R], model_error_variance=[0.05, 5e4])
    maps = obs.fourdvar.reconstruct(obs.fourdvar.fit(method, truth))
    np.testing.assert_allclose(maps.u, expected.u, atol=1e-5)
    np.testing.assert_allclose(maps.v / 1000, expected.v, atol=1e-5)


def test_windows_with_gaps_are_left_out(ds, latent):
    holes = ds.truth.where((ds.window % 7 != 3) | (ds.window >= 68) | (ds.time != 5))
    whole = ds.isel(window=(ds.window % 7 != 3) | (ds.window >= 68))
    found = ds.obs.fourdvar.fit(LATENT, holes).arrays
    expected = whole.obs.fourdvar.fit(LATENT, whole.truth, validation=12 / whole.window.size).arrays
    for name in ("mean", "spread", "prior/mean"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-10)
    np.testing.assert_allclose(
        np.abs(found["prior/modes"]), np.abs(expected["prior/modes"]), atol=1e-6
    )
    assert not np.allclose(found["mean"], latent.arrays["mean"])


PRIORS = {
    "eofs": xv.EOFs(4),
    "auto-encoder": xv.AutoEncoder(3, width=6, training=SHORT),
    "denoiser": xv.Denoiser(widths=(24, 32), training=SHORT),
    "model": xv.Lorenz63(dt=0.05),
    "two scales": xv.GibbsField(width=16, training=replace(SHORT, steps=300)),
}


@pytest.fixture(scope="module")
def l63() -> xr.Dataset:
    seen = {"observed": ("x", "y", "z"), "every": 4, "first": 2, "last": 18}
    return xv.datasets.lorenz63(60, steps=20, dt=0.05, noise_variance=1.0, **seen)


@pytest.fixture(scope="module")
def fitted(l63) -> dict[str, xv.Model]:
    methods = {name: xv.Variational(prior, 1.0, steps=20) for name, prior in PRIORS.items()}
    return {name: l63.obs.fourdvar.fit(method, l63.truth) for name, method in methods.items()}


@pytest.mark.parametrize("name", PRIORS)
def test_chunks_and_order_do_not_matter(l63, fitted, name):
    maps = l63.obs[:6].fourdvar.reconstruct(fitted[name])
    turned = l63.obs[:6].transpose("component", "time", "window").chunk(window=4)
    with xv.testing.raise_if_dask_computes():
        lazy = turned.fourdvar.reconstruct(fitted[name])
    assert lazy.chunks == turned.chunks
    xr.testing.assert_allclose(lazy.compute().transpose(*maps.dims), maps, atol=1e-6)


@pytest.mark.parametrize("name", PRIORS)
def test_a_model_goes_into_a_file_and_comes_back(l63, fitted, name, tmp_path):
    fitted[name].save(tmp_path / "model.safetensors")
    again = xv.load(tmp_path / "model.safetensors")
    assert again.digest == fitted[name].digest
    assert again.method == fitted[name].method
    maps = [l63.obs[:3].fourdvar.reconstruct(model) for model in (fitted[name], again)]
    xr.testing.assert_identical(maps[0].drop_attrs(), maps[1].drop_attrs())


def share_of_variance(maps: xr.DataArray, ds: xr.Dataset) -> float:
    """Mean square error over that of the mean of each component."""
    return float(((maps - ds.truth) ** 2).mean() / ds.truth.var(("window", "time")).mean())


@pytest.mark.parametrize("name", PRIORS)
def test_every_prior_knows_more_than_the_mean(l63, fitted, name):
    maps = l63.obs.fourdvar.reconstruct(fitted[name])
    assert share_of_variance(maps, l63) < 0.5


def test_the_same_seed_gives_the_same_network(l63):
    training = replace(SHORT, steps=2, steps_per_epoch=1)
    method = xv.Variational(xv.Denoiser(widths=(4,), training=training), 1.0)
    models = [l63.obs.fourdvar.fit(method, l63.truth, seed=seed) for seed in (0, 0, 1)]
    assert models[0].digest == models[1].digest != models[2].digest


def test_the_code_of_a_network_can_be_controlled(l63, fitted):
    method = replace(fitted["auto-encoder"].method, control="latent")
    maps = l63.obs.fourdvar.reconstruct(l63.obs.fourdvar.fit(method, l63.truth))
    assert share_of_variance(maps, l63) < 0.5


def test_of_a_linear_model_it_is_weak_constraint_4dvar():
    """The minimum of a quadratic cost, by solving its normal equations."""
    ds = walks(20, 6)
    q = 0.25
    method = xv.Variational(xv.ODE(lambda x: -0.1 * x, dt=1.0, scheme="euler"), R, q)
    maps = flat(ds.obs.fourdvar.reconstruct(ds.obs.fourdvar.fit(method, ds.truth)))
    step = np.eye(12, 12) - 0.9 * np.eye(12, k=-2)
    step[:2] = 0  # of the first time the model says nothing
    for y, x in zip(flat(ds.obs), maps, strict=True):
        seen = np.isfinite(y)
        hessian = np.diag(seen / R) + step.T @ step / q
        if np.linalg.cond(hessian) > 1e8:
            continue  # a component that is never seen
        np.testing.assert_allclose(x, np.linalg.solve(hessian, np.where(seen, y, 0) / R), atol=1e-2)


def test_a_known_model_needs_no_target(l63, fitted):
    """Only the units of the descent are those of a free run; the cost is the same."""
    q = [0.05, 0.05, 0.05]
    method = xv.Variational(xv.Lorenz63(dt=0.05), 1.0, q, steps=400)
    models = [method, l63.obs.fourdvar.fit(method), l63.obs.fourdvar.fit(method, l63.truth)]
    maps = [l63.obs[:10].fourdvar.reconstruct(model).drop_attrs() for model in models]
    xr.testing.assert_identical(maps[0], maps[1])
    near = abs(maps[0] - maps[2]).max(("time", "component")) < 0.1
    assert int(near.sum()) >= 8  # of ten: two descents may come to other minima


@pytest.mark.parametrize("solver", ["gradient", "momentum", "gauss_newton"])
def test_descents_of_the_course(solver):
    """The notebooks' cost: weights 0.01 and 0.99, whose gradient steps of 0.2 are taken."""
    ds = xv.datasets.lorenz63(3, steps=40, observed=("x", "y", "z"), every=4, first=2, last=38)
    r, q = 1 / (2 * 0.01), 1 / (2 * 0.99)
    method = xv.Variational(xv.Lorenz63(dt=0.01), r, q, solver=solver, steps=1500)
    curve = ds.obs.fourdvar.cost_curve(method)
    best = ds.obs.fourdvar.cost_curve(replace(method, solver="lbfgs")).cost.isel(step=-1)
    assert bool((curve.cost.isel(step=-1) < 1.01 * best).all())
    if solver == "momentum":  # ten steps do what a hundred do without
        slow = ds.obs.fourdvar.cost_curve(replace(method, solver="gradient")).cost
        assert bool((curve.cost.isel(step=150) < slow.isel(step=500)).all())
    if solver == "gradient":
        assert bool((curve.cost.diff("step") <= 1e-9).all())


@pytest.fixture(scope="module")
def map_model(obs, waves) -> xv.Model:
    method = xv.Variational(xv.EOFs(4), 1e-4, control="latent", patch={"time": 6})
    return obs.fourdvar.fit(method, waves, validation=0.3)


def test_maps_are_windows_of_time(obs, waves, map_model):
    maps = obs.fourdvar.reconstruct(map_model)
    assert maps.dims == obs.dims
    assert maps.dtype == obs.dtype
    assert maps.attrs["units"] == "m"
    assert float(((maps - waves) ** 2).mean() / waves.var()) < 0.02
    lazy = obs.chunk(time=7, lat=5).fourdvar.reconstruct(map_model)
    xr.testing.assert_allclose(lazy.compute(), maps, atol=1e-6)


def test_maps_without_time():
    generator = np.random.default_rng(0)
    patterns = generator.normal(size=(3, 6, 7))
    truth = xr.DataArray(
        np.einsum("nk,kij->nij", generator.normal(size=(40, 3)), patterns),
        dims=("member", "lat", "lon"),
        coords={"lat": 40.0 + np.arange(6), "lon": 1.0 * np.arange(7)},
    )
    obs = truth.where(generator.random(truth.shape) < 0.4)
    method = xv.Variational(xv.EOFs(3), 1e-6, control="latent", background=None)
    maps = obs.fourdvar.reconstruct(obs.fourdvar.fit(method, truth))
    np.testing.assert_allclose(maps, truth, atol=0.05)


def test_a_prior_of_whole_maps_is_for_its_places_only(obs, map_model):
    with pytest.raises(xv.InputError, match=r"'lat' has 11 points .* the model knows 12 from 33"):
        obs.isel(lat=slice(11)).fourdvar.reconstruct(map_model)
    moved = obs.assign_coords(lon=obs.lon + 10)
    with pytest.raises(xv.InputError, match=r"'lon' has 14 points from -55 .*; fix: select these"):
        moved.fourdvar.reconstruct(map_model)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prior": "eofs"}, r"prior is 'eofs'; fix: give a prior, such as xr4dvar.EOFs"),
        ({"prior": xv.EOFs}, r"prior is <class .*EOFs'>; fix"),
        ({"prior": xv.EOFs(0)}, "modes is 0"),
        ({"prior": xv.AutoEncoder(code=0, width=-1)}, r"code is 0(.|\n)*width is -1"),
        ({"prior": xv.AutoEncoder(training=9)}, "training is 9; fix: give xr4dvar.Training"),
        ({"prior": xv.Denoiser(widths=())}, r"widths is \(\)"),
        ({"error_variance": -1.0}, "error_variance is -1.0; fix: use a number above 0"),
        ({"error_variance": None}, "error_variance is None"),
        ({"error_variance": "2"}, "error_variance is '2'; fix: use a number"),
        ({"error_variance": {"u": 2}}, "error_variance is {'u': 2}; fix: use a number"),
        ({"error_variance": np.eye(2)}, "error_variance is a matrix.*FourDVar where errors"),
        ({"error_variance": [1.0, 2.0, 3.0]}, "error_variance has 3 numbers, the data have 1 or 2"),
        ({"prior": xv.GibbsField(width=0, training=1)}, r"width is 0(.|\n)*training is 1"),
        ({"prior": xv.GibbsField(), "control": "latent"}, "GibbsField has no code to control"),
        ({"model_error_variance": 0.0}, "model_error_variance is 0.0"),
        ({"control": "code"}, "control is 'code'; fix: use one of 'state', 'latent'"),
        ({"solver": "newton"}, "solver is 'newton'"),
        ({"solver": "plug_and_play"}, "solver 'plug_and_play' and the prior EOFs do not go"),
        ({"prior": xv.Denoiser(), "solver": "lbfgs"}, "'lbfgs' and the prior Denoiser do not go"),
        ({"prior": xv.Denoiser(), "control": "latent"}, "Denoiser has no code to control"),
        ({"control": "latent", "solver": "fixed_point"}, "solver 'fixed_point' is one of states"),
        ({"steps": 0}, "steps is 0"),
        ({"patch": {"time": 13}}, "patch is 13 along 'time', the data have 12"),
        ({"patch": 2.5}, "patch is 2.5"),
        ({"prior": xv.Lorenz63}, "prior is <class"),
        ({"prior": xv.Lorenz63(learned=True)}, "takes Lorenz63 as it is, and would not learn it"),
        ({"prior": xv.Lorenz63()}, "Lorenz63 has 3 components, the data's state 2"),
        ({"background": "oi"}, "background is 'oi', not a method"),
        ({"prior": xv.EOFs(25)}, "modes is 25, the target's 68 windows without gaps have 24"),
    ],
)
def test_settings_that_make_no_sense_are_refused(ds, settings, message):
    method = xv.Variational(**{"prior": xv.EOFs(3), "error_variance": R, **settings})
    with pytest.raises(xv.InputError, match=message):
        ds.obs.fourdvar.fit(method, ds.truth)


def test_without_a_target_there_is_nothing_to_learn_from(ds):
    with pytest.raises(xv.InputError, match=r"there is no target; fix: give target="):
        ds.obs.fourdvar.fit(LATENT)
    with pytest.raises(xv.InputError, match="Variational has to be fitted"):
        ds.obs.fourdvar.reconstruct(LATENT)


@pytest.mark.parametrize("period", ["training", "validation"])
def test_a_target_without_a_whole_window(ds, period):
    kept = (ds.window < 68) != (period == "training")
    with pytest.raises(xv.InputError, match=f"no window of 12 times without gaps in the {period}"):
        ds.obs.fourdvar.fit(LATENT, ds.truth.where(kept | (ds.time != 4)))
