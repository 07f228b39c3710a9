"""Observation operators through the verbs, in every method, against dense algebra."""

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from tests.operators.grids import bound
from xr4dvar.contract.engine import can
from xr4dvar.covariance import Separable, Sum
from xr4dvar.errors import InputError
from xr4dvar.labels import find_axes, make_grid

LENGTHS = [{"time": "3D", "lat": 3.0, "lon": 4.0}, {"time": "2D", "lat": 1.5, "lon": 2.0}]
VARIANCES = [1.0, 0.3]
BLUR = xv.operators.Blur({"lat": 1.0, "lon": 0.8})


def field(seed=0, times=4, lat=9, lon=10, name="t"):
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(times) * np.timedelta64(1, "D"),
        "lat": 40 + np.arange(float(lat)),
        "lon": np.arange(float(lon)),
    }
    shape = times, lat, lon
    values = np.random.default_rng(seed).normal(size=shape)
    return xr.DataArray(values, dims=list(coords), coords=coords, name=name)


def gappy(seed=1):
    obs = field()
    return obs.where(np.random.default_rng(seed).random(obs.shape) > 0.3)


def matrix(operator, like, observed=None, domain=None):
    """H as a matrix (cells, cells)."""
    grid = make_grid(like, find_axes(like))
    h, _ = bound(operator, grid, observed, domain)
    n = like.size
    return h(torch.eye(n, dtype=torch.float64).view(n, 1, *like.shape)).view(n, n).T.numpy()


def covariance(like):
    grid = make_grid(like, find_axes(like))
    points = torch.cartesian_prod(*(torch.as_tensor(grid[r].values) for r in grid.roles))
    terms = [
        Separable((float(length["time"][:-1]), length["lat"], length["lon"]), "gaussian", variance)
        for length, variance in zip(LENGTHS, VARIANCES, strict=True)
    ]
    return Sum(terms).between(points, points).numpy()


def best(h, b, y, r, mean=0.0):
    """``m + B H' (H B H' + R)^-1 (y - H m)`` of the cells that are observed."""
    seen = np.isfinite(y)
    h, d = h[seen], y[seen] - (h @ np.full(len(b), mean))[seen]
    gain = b @ h.T @ np.linalg.inv(h @ b @ h.T + r * np.eye(len(h)))
    return mean + gain @ d


def oi(operator, r=0.01, **kw):
    return xv.OptimalInterpolation(LENGTHS, VARIANCES, r, mean=2.0, operator=operator, **kw)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize(
    "operator",
    [
        BLUR,
        xv.operators.Blur({"lat": "100 km", "lon": "90 km"}),
        xv.operators.Blur({"time": "0.8D"}),
        xv.operators.BlockMean({"lat": 3, "lon": 3}) @ BLUR,
    ],
)
def test_interpolation_is_the_dense_one(operator, few, complete, monkeypatch):
    from xr4dvar.covariance import gridded

    monkeypatch.setattr(gridded, "FEW", 10_000 if few else 0)
    obs = field() if complete else gappy()
    h = matrix(operator, obs)
    given = obs.where((np.abs(h).sum(1) > 0).reshape(obs.shape))
    if isinstance(operator, xv.operators.Composed):  # which goes to another grid
        cells = {"lat": np.array([1, 4, 7]), "lon": np.array([1, 4, 7, 9])}
        maps = given.isel(cells).fourdvar.reconstruct(oi(operator), grid=obs)
    else:
        maps = given.fourdvar.reconstruct(oi(operator))
    expected = best(h, covariance(obs), given.values.ravel(), 0.01, 2.0)
    np.testing.assert_allclose(maps.values.ravel(), expected, atol=2e-3)


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("operator", [BLUR, xv.operators.Blur({"time": "0.8D", "lat": 1.0})])
def test_errors_are_the_dense_ones(operator, few, monkeypatch):
    from xr4dvar.covariance import observed_error

    monkeypatch.setattr(observed_error, "FACTORISED", 10_000 if few else 0)
    obs = gappy()
    h, b = matrix(operator, obs), covariance(obs)
    h = h[np.isfinite(obs.values.ravel())]
    gain = b @ h.T @ np.linalg.inv(h @ b @ h.T + 0.01 * np.eye(len(h)))
    found = obs.fourdvar.reconstruct(oi(operator), error=True).t_error.values.ravel()
    expected = np.diag(b - gain @ h @ b) ** 0.5
    prior = sum(VARIANCES) ** 0.5
    np.testing.assert_allclose(found, expected, atol=1e-6 if few else 0.02 * prior)


def test_errors_that_are_too_much_are_refused(monkeypatch):
    from xr4dvar.covariance import observed_error

    monkeypatch.setattr(observed_error, "FACTORISED", 0)
    with pytest.raises(InputError, match="an operator without land that acts along axes"):
        gappy().fourdvar.reconstruct(oi(xv.operators.Linear(lambda x: 2 * x)), error=True)
    monkeypatch.setattr(observed_error, "MOST_MODES", 10)
    with pytest.raises(InputError, match="modes, at most 10 are solved; fix: draw members"):
        gappy().fourdvar.reconstruct(oi(BLUR), error=True)


def test_interpolation_at_a_coast():
    obs = gappy()
    sea = xr.ones_like(obs[0], dtype=bool).drop_vars("time")
    sea[2:5, 3:6] = False
    inside = np.broadcast_to(sea.values, obs.shape)
    h = matrix(BLUR, obs, domain=inside)
    maps = obs.fourdvar.reconstruct(oi(BLUR), mask=sea)
    given = obs.where(sea)
    expected = best(h, covariance(obs), given.values.ravel(), 0.01, 2.0).reshape(obs.shape)
    np.testing.assert_allclose(maps.values[inside], expected[inside], atol=2e-3)
    assert np.isnan(maps.values[~inside]).all()


def test_chunks_and_windows_give_the_same():
    obs = gappy()
    eager = obs.fourdvar.reconstruct(oi(BLUR))
    lazy = obs.chunk(time=2, lat=5).fourdvar.reconstruct(oi(BLUR))
    assert lazy.chunks == obs.chunk(time=2, lat=5).chunks
    np.testing.assert_allclose(lazy.values, eager.values, atol=1e-6)


def test_members_are_maps_of_perturbed_observations():
    members = gappy().fourdvar.reconstruct(oi(BLUR), ensemble=3)
    assert members.sizes["member"] == 3
    assert float(members.std("member").max()) > 0.01


def test_fit_finds_a_covariance_that_maps_what_is_blurred():
    truth = blurry_truth()
    obs = blurred(truth)
    method = xv.OptimalInterpolation(operator=BLUR, scales=1)
    model = obs.fourdvar.fit(method, truth)
    found = model.parameters.settings["variables"][0]
    assert found["error_variance"] == pytest.approx(0.02**2, rel=0.7)
    maps = obs.fourdvar.reconstruct(model)
    assert rms(maps - truth) < 0.7 * rms(obs - truth)
    with pytest.raises(InputError, match="give a target"):
        obs.fourdvar.fit(method)


def blurry_truth(times=40):
    from scipy import ndimage

    noise = field(3, times, 16, 16)
    smooth = ndimage.gaussian_filter(noise.values, (2, 1.2, 1.2), mode="wrap")
    return noise.copy(data=smooth / smooth.std())


def blurred(truth, seed=4, error=0.02):
    h, _ = bound(BLUR, make_grid(truth, find_axes(truth)))
    values = h(torch.as_tensor(truth.values)[None, None])[0, 0].numpy()
    return truth.copy(data=values + np.random.default_rng(seed).normal(0, error, truth.shape))


def rms(array):
    return float((array**2).mean() ** 0.5)


SOLVERS = ["lbfgs", "gauss_newton", "gradient", "momentum", "adam"]


@pytest.mark.parametrize("solver", SOLVERS)
def test_variational_is_the_dense_minimum(solver):
    """Of (y - H x)^2 / R + (x - P x)^2 / Q, with the projection P on some EOFs."""
    truth = blurry_truth(60)
    steps = 9000 if solver == "adam" else 3000  # whose way to the end depends on rounding
    method = xv.Variational(
        xv.EOFs(6), 0.04, 0.5, operator=BLUR, solver=solver, steps=steps, patch={"time": 2}
    )
    model = truth.fourdvar.fit(method, truth)
    window = truth.isel(time=slice(0, 2))
    obs = blurred(window).where(np.random.default_rng(0).random(window.shape) > 0.4)
    maps = obs.fourdvar.reconstruct(model)
    arrays = model.parameters.arrays
    modes = arrays["prior/modes"].reshape(6, -1)
    mean = np.broadcast_to(arrays["mean"][0], window.shape).ravel()
    centre = mean + (arrays["prior/mean"] * arrays["spread"]).ravel()
    rest = np.eye(window.size) - modes.T @ modes
    h, seen = matrix(BLUR, window), np.isfinite(obs.values.ravel())
    left = h[seen].T @ h[seen] / 0.04 + rest.T @ rest / 0.5
    right = h[seen].T @ obs.values.ravel()[seen] / 0.04 + rest.T @ rest @ centre / 0.5
    np.testing.assert_allclose(maps.values.ravel(), np.linalg.solve(left, right), atol=5e-3)


def test_variational_members_spread_as_the_posterior():
    truth = blurry_truth(60)
    method = xv.Variational(xv.EOFs(6), 0.04, 0.5, operator=BLUR, patch={"time": 2})
    model = truth.fourdvar.fit(method, truth)
    window = blurred(truth.isel(time=slice(0, 2)))
    members = window.fourdvar.reconstruct(model, ensemble=200)
    modes = model.parameters.arrays["prior/modes"].reshape(6, -1)
    h, rest = matrix(BLUR, window), np.eye(window.size) - modes.T @ modes
    posterior = np.linalg.inv(h.T @ h / 0.04 + rest.T @ rest / 0.5)
    spread = members.std("member", ddof=1).values.ravel()
    ratio = spread**2 / np.diag(posterior)
    assert ratio.mean() == pytest.approx(1.0, abs=0.05)


def test_curves_are_of_the_misfit_to_what_is_observed():
    truth = blurry_truth(60)
    method = xv.Variational(
        xv.EOFs(6), 0.04, 0.5, operator=BLUR, patch={"time": 2}, background=None
    )
    model = truth.fourdvar.fit(method, truth)
    obs = blurred(truth.isel(time=slice(0, 2)))
    curve = obs.fourdvar.cost_curve(model)
    mean = np.broadcast_to(model.parameters.arrays["mean"][0], obs.shape)
    h = matrix(BLUR, obs)
    first = 0.5 * ((obs.values.ravel() - h @ mean.ravel()) ** 2).sum() / 0.04
    assert float(curve.cost_of_term.sel(term="observations")[..., 0].item()) == pytest.approx(first)


def test_plug_and_play_is_interpolation_with_a_wiener_denoiser():
    """Each step is a best estimate; their fixed point that of prior and observations together."""
    from xr4dvar.cost import Batch, Cost, ObservationTerm, Variance
    from xr4dvar.solvers import PlugAndPlay, minimise

    window = blurred(blurry_truth(2))
    h, _ = bound(BLUR, make_grid(window, find_axes(window)))
    level, r, b = 0.3, 0.04, 1.0
    y = torch.as_tensor(window.values)[None, None]
    cost = Cost([ObservationTerm(Variance(r, dtype=torch.float64))])
    solver = PlugAndPlay(lambda x, s: x * b / (b + s**2), levels=[level])
    batch = Batch(y, torch.ones_like(y), operator=h)
    found = minimise(cost, solver, batch, steps=400).x
    matrix_ = torch.as_tensor(matrix(BLUR, window))
    n = y.numel()
    # x = z + s^2 H' (s^2 H H' + R)^-1 (y - H z) with z = x B / (B + s^2)
    share = b / (b + level**2)
    gain = (
        level**2 * matrix_.T @ torch.linalg.inv(level**2 * matrix_ @ matrix_.T + r * torch.eye(n))
    )
    system = torch.eye(n) - share * (torch.eye(n) - gain @ matrix_)
    expected = share * torch.linalg.solve(system, gain @ y.flatten())
    torch.testing.assert_close(found.flatten(), expected, rtol=0, atol=1e-5)


def decay(x):
    return torch.stack([0.9 * x[..., 0] + 0.1 * x[..., 1], 0.8 * x[..., 1], 0.95 * x[..., 2]], -1)


ROWS = [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.0, -1.0]]


@pytest.mark.parametrize("weak", [True, False])
def test_4dvar_of_combinations_of_components_is_the_dense_one(weak):
    coords = {"time": np.arange(6.0), "component": ["a", "b", "c"]}
    values = np.random.default_rng(0).normal(size=(6, 3))
    obs = xr.DataArray(values, dims=("time", "component"), coords=coords, name="s")
    obs = obs.where(xr.DataArray([True, False, True], dims="component"))
    obs[2, 0] = np.nan
    q = 0.2 if weak else None
    method = xv.FourDVar(
        xv.DiscreteModel(decay, dt=1.0), 0.3, q, starts=1, background_state=[0.5, -0.5, 1.0],
        background_error_variance=2.0, operator=xv.operators.Linear(ROWS),
    )  # fmt: skip
    maps = obs.fourdvar.reconstruct(method, error=True, dims={"x": "component"})
    m = np.array([[0.9, 0.1, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 0.95]])
    h = np.kron(np.eye(6), np.array(ROWS))
    seen = np.isfinite(obs.values.ravel())
    mean, cov = [np.array([0.5, -0.5, 1.0])], [2.0 * np.eye(3)]
    for _ in range(5):
        mean.append(m @ mean[-1])
        cov.append(m @ cov[-1] @ m.T + (q or 0.0) * np.eye(3))
    b = np.zeros((18, 18))
    for i in range(6):
        for j in range(i, 6):
            block = np.linalg.matrix_power(m, j - i) @ cov[i]
            b[3 * j : 3 * j + 3, 3 * i : 3 * i + 3] = block
            b[3 * i : 3 * i + 3, 3 * j : 3 * j + 3] = block.T
    xb, h, y = np.concatenate(mean), h[seen], obs.values.ravel()[seen]
    gain = b @ h.T @ np.linalg.inv(h @ b @ h.T + 0.3 * np.eye(len(h)))
    np.testing.assert_allclose(maps.s.values.ravel(), xb + gain @ (y - h @ xb), atol=1e-5)
    variance = np.diag(b - gain @ h @ b)
    np.testing.assert_allclose(maps.s_error.values.ravel() ** 2, variance, atol=1e-6)


def test_4dvar_finds_a_trajectory_from_squares():
    """Of an operator that is not linear: what is seen of Lorenz-63 is x^2, and z."""
    ds = xv.datasets.lorenz63(windows=1, observed=("x", "y", "z"))

    def squares(x):
        return torch.stack([x[..., 0] ** 2 / 10, x[..., 1], x[..., 2]], -1)

    obs = ds.truth.copy(deep=True)
    number = obs.dims.index("component")
    values = np.moveaxis(obs.values, number, -1)
    values[..., 0] = values[..., 0] ** 2 / 10
    obs.values = np.moveaxis(values, -1, number)
    method = xv.FourDVar(
        xv.Lorenz63(dt=0.01), 0.01, climate=500, operator=xv.operators.Function(squares)
    )
    maps = obs.rename("obs").fourdvar.reconstruct(method)
    assert rms(maps - ds.truth) < 0.1


def network(**kw):
    training = xv.Training(steps=kw.pop("steps_of_training", 60), steps_per_epoch=30, batch_size=4)
    return xv.FourDVarNet(
        patch={"time": 5}, widths=(8,), prior_width=4, operator=BLUR, training=training, **kw
    )


@pytest.mark.parametrize("coarsen", [1, 2])
def test_4dvarnet_starts_from_the_background_of_the_operator(coarsen):
    truth = blurry_truth()
    obs = blurred(truth)
    method = network(coarsen=coarsen)
    assert method.background.operator == BLUR
    model = obs.fourdvar.fit(method, truth)
    assert model.background.method.operator == BLUR
    maps = obs.fourdvar.reconstruct(model)
    background = obs.fourdvar.reconstruct(model.background)
    assert rms(maps - truth) < 1.02 * rms(background - truth)
    lazy = obs.chunk(time=10).fourdvar.reconstruct(model)
    np.testing.assert_allclose(lazy.values, maps.values, atol=1e-5)


def test_4dvarnet_cost_is_that_of_the_operator():
    from xr4dvar.contract.patches import Patches
    from xr4dvar.methods.fourdvarnet.units import Units

    obs = blurred(blurry_truth(5))
    h, _ = bound(BLUR, make_grid(obs, find_axes(obs)))
    guess, x = field(5, 5, 16, 16).values, field(6, 5, 16, 16).values
    patches = Patches(obs.values[None, None], {}, guess[None, None], operator=h)
    units = Units([0.3], [2.0], [0.5])
    batch = units.batch(patches, torch.device("cpu"))
    misfit = batch.misfit(torch.as_tensor(x, dtype=torch.float32)[None, None])
    expected = (h(torch.as_tensor(guess + 0.5 * x)[None, None]).numpy() - obs.values) / 0.5
    np.testing.assert_allclose(misfit.numpy(), expected, atol=1e-5)


def test_mirrored_fields_are_observed_by_a_mirrored_operator():
    from xr4dvar.cost import Batch
    from xr4dvar.training.mirror import mirrored

    x = torch.as_tensor(field(7, 4, 16, 16).values).expand(4, 1, 4, 16, 16).contiguous()
    grid = make_grid(field(7, 4, 16, 16), find_axes(field(7, 4, 16, 16)))
    h, _ = bound(xv.operators.BlockMean({"lon": 5}), grid)  # no two sides of it are alike
    batch, target = mirrored(Batch(h(x), torch.ones_like(x), operator=h), x)
    torch.testing.assert_close(batch.misfit(target), torch.zeros_like(x), rtol=0, atol=1e-12)
    y = torch.as_tensor(field(8, 4, 16, 16).values).expand_as(x)
    left, right = (batch.operator(x) * y).sum(), (x * batch.operator.adjoint(y)).sum()
    torch.testing.assert_close(left, right)


def test_4dvarnet_learns_from_blurred_data_alone():
    """Hidden observations are held against what would be observed of the map, not the map."""
    truth = blurry_truth()
    obs = blurred(truth)
    background = oi_of_truth()
    model = obs.fourdvar.fit(network(background=background, steps_of_training=150))
    maps = obs.fourdvar.reconstruct(model)
    first = obs.fourdvar.reconstruct(background)
    assert rms(maps - truth) < 1.05 * rms(first - truth) < rms(obs - truth)


def oi_of_truth():
    length = {"time": "4D", "lat": 2.4, "lon": 2.4}
    return xv.OptimalInterpolation(length, 1.0, 4e-4, mean=0.0, operator=BLUR)


REFUSED = {
    "a fixed point": xv.Variational(xv.EOFs(2), 1.0, operator=BLUR, solver="fixed_point"),
    "of an operator unknown": xv.Variational(xv.EOFs(2), 1.0, operator=BLUR, control="latent"),
    "a fixed point puts": network(solver="fixed_point"),
    "mirror=True changes": xv.FourDVarNet(
        mirror=True, background=None, operator=xv.operators.Function(torch.exp)
    ),
    "takes linear operators": xv.OptimalInterpolation(
        LENGTHS[0], operator=xv.operators.Function(torch.exp)
    ),
    "the background has the operator": network(
        background=xv.OptimalInterpolation(operator=xv.operators.Blur({"lat": 2.0}))
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_methods_refuse_by_name_what_they_cannot_use(words):
    obs = field()
    text = "puts observations into the state" if words == "a fixed point" else words
    with pytest.raises(InputError, match=text):
        obs.fourdvar.fit(REFUSED[words], obs)


def test_a_model_file_holds_the_operator(tmp_path):
    fitted = blurred(blurry_truth()).fourdvar.fit(oi(BLUR), blurry_truth())
    fitted.save(tmp_path / "model.safetensors")
    loaded = xv.load(tmp_path / "model.safetensors")
    assert loaded.method.operator == BLUR
    assert loaded.digest == fitted.digest
    assert can(loaded.method, "errors")


def test_windows_are_longer_by_what_the_operator_reaches(monkeypatch):
    """Windows of few cells, whose blur reaches beyond them, against the dense map of the whole."""
    from xr4dvar.methods.oi import windows

    obs = field(times=1, lat=40, lon=6)
    blur = xv.operators.Blur({"lat": 1.0})
    method = xv.OptimalInterpolation(
        {"time": "1D", "lat": 1.2, "lon": 1.2}, 1.0, 0.1, mean=0.0, operator=blur
    )
    assert obs.fourdvar.plan(method).patch["lat"] == 40
    monkeypatch.setattr(windows, "WINDOW_CELLS", 100)
    monkeypatch.setattr(windows, "SMALL_CELLS", 100)
    assert obs.fourdvar.plan(method).patch["lat"] < 40
    maps = obs.fourdvar.reconstruct(method)
    grid = make_grid(obs, find_axes(obs))
    points = torch.cartesian_prod(*(torch.as_tensor(grid[r].values) for r in grid.roles))
    b = Separable((1.0, 1.2, 1.2)).between(points, points).numpy()
    expected = best(matrix(blur, obs), b, obs.values.ravel(), 0.1)
    np.testing.assert_allclose(maps.values.ravel(), expected, atol=0.02)


def test_months_of_daily_fields_are_used():
    """Blocks that are longer than the correlation in time."""
    truth = field(9, 90, 3, 3).cumsum("time") / 5
    means = truth.coarsen(time=30).mean()
    length = {"time": "2D", "lat": 0.3, "lon": 0.3}
    method = xv.OptimalInterpolation(length, 1.0, 1e-4, mean=0.0, operator=xv.operators.BlockMean())
    maps = means.fourdvar.reconstruct(method, grid=truth)
    np.testing.assert_allclose(maps.coarsen(time=30).mean(), means, atol=0.02)


PATCHES = {
    "Variational": xv.Variational(
        xv.EOFs(2), 1.0, patch={"time": 3}, operator=xv.operators.Blur({"time": "2D"})
    ),
    "a matrix": xv.FourDVarNet(
        patch={"lon": 8}, background=None, operator=xv.operators.Linear(2 * np.eye(16))
    ),
    "a function": xv.FourDVarNet(
        patch={"lon": 8}, background=None,
        operator=xv.operators.Function(lambda x: x + x.roll(1, -1)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PATCHES)
def test_patches_shorter_than_the_operator_are_refused(name):
    truth = blurry_truth(20)
    with pytest.raises(InputError, match="would lose some of it; fix: give a longer patch"):
        truth.fourdvar.fit(PATCHES[name], truth)


HOLES = {
    "a blur loses what is near": (BLUR, 0.2, 0.9),
    "a function loses the cells": (xv.operators.Function(torch.exp), 0.98, 0.999),
    "differences lose both": (xv.operators.Linear(lambda x: x - x.roll(1, -1)), 0.7, 0.9),
}


@pytest.mark.parametrize("name", HOLES)
def test_unknown_truth_makes_what_is_observed_of_it_unknown(name):
    from xr4dvar.contract.training_data import BlockBox, TrainingData
    from xr4dvar.labels import Normalisation
    from xr4dvar.operators.binding import Binder

    operator, low, high = HOLES[name]
    truth = blurry_truth(4)
    grid = make_grid(truth, find_axes(truth))
    scales = Normalisation(("t",), (0.0,), (1.0,))
    data = TrainingData(
        lambda box: [], truth.shape, ["t"], grid, scales, True, (0, 4), (0, 4),
        lambda observed, generator: observed, binder=Binder(operator, grid),
    )  # fmt: skip
    box = BlockBox((), tuple(slice(0, n) for n in truth.shape))
    gappy_truth = truth.values.copy()
    size = 6 if "differences" in name else 2
    gappy_truth[:, 4 : 4 + size, 5 : 5 + size] = np.nan
    found, whole = (data.observed(f[None], box)[0] for f in (gappy_truth, truth.values))
    known = np.isfinite(found)
    assert low < known.mean() < high
    assert np.isfinite(whole).all()
    assert not known[:, 4 : 4 + size, 5 : 5 + size].any()
    np.testing.assert_allclose(found[known], whole[known], atol=5e-3)


@pytest.mark.parametrize("function", [True, False])
def test_axes_of_ones_own_operators_run_as_in_the_data(function):
    obs = field(times=1, lat=3, lon=6)
    rows = np.random.default_rng(5).normal(size=(6, 6))
    turned = obs.isel(lon=slice(None, None, -1), lat=slice(None, None, -1))
    own = rows
    if function:
        own = lambda x: x @ torch.as_tensor(rows).to(x).T + x.roll(1, -2)  # noqa: E731
    maps = turned.fourdvar.reconstruct(oi(xv.operators.Linear(own)))
    h = np.kron(np.eye(3), rows)
    if function:
        h = h + np.kron(np.roll(np.eye(3), 1, 0), np.eye(6))
    grid = make_grid(obs, find_axes(obs))
    lat, lon = (torch.as_tensor(grid[r].values[::-1].copy()) for r in ("y", "x"))
    points = torch.cartesian_prod(torch.zeros(1).double(), lat, lon)
    terms = [
        Separable((3.0, one["lat"], one["lon"]), "gaussian", variance)
        for one, variance in zip(LENGTHS, VARIANCES, strict=True)
    ]
    b = Sum(terms).between(points, points).numpy()
    expected = best(h, b, turned.values.ravel(), 0.01, 2.0)
    np.testing.assert_allclose(maps.values.ravel(), expected, atol=1e-3)


def test_operators_that_tell_variables_apart_are_refused_by_interpolation():
    both = xr.Dataset({"t": field(), "s": field(2)})
    for function in (lambda x: x.flip(1), lambda x: x * torch.arange(2).view(1, 2, 1, 1, 1)):
        with pytest.raises(InputError, match="maps each variable by itself"):
            both.fourdvar.reconstruct(oi(xv.operators.Linear(function)))
    alike = both.fourdvar.reconstruct(oi(xv.operators.Linear(lambda x: 2.0 * x)))
    assert set(alike) == {"t", "s"}


@pytest.mark.parametrize("size", [1e2, 1e4])
def test_operators_that_amplify_are_as_exact(size):
    """Observations k times as large, of a field seen k times as large."""
    obs = field(times=1)
    large = (obs * size).fourdvar.reconstruct(
        oi(xv.operators.Linear(lambda x: size * x), r=0.01 * size**2), error=True
    )
    usual = obs.fourdvar.reconstruct(oi(xv.operators.Mask(), r=0.01), error=True)
    np.testing.assert_allclose(large.t, usual.t, atol=2e-3)
    np.testing.assert_allclose(large.t_error, usual.t_error, atol=1e-3)
    precise = obs.fourdvar.reconstruct(oi(xv.operators.Linear(lambda x: size * x), r=1.0))
    expected = (obs / size).fourdvar.reconstruct(oi(xv.operators.Mask(), r=max(1e-9, size**-2)))
    np.testing.assert_allclose(precise, expected, atol=2e-3 / size**0.5)


def test_functions_of_the_time_before_are_refused_too():
    later = xv.operators.Function(lambda x: torch.cat([x[:, :, :1], x[:, :, 1:] + x[:, :, :-1]], 2))
    method = xv.FourDVar(xv.Lorenz63(dt=0.01), 1.0, operator=later)
    obs = xv.datasets.lorenz63(windows=1, steps=40, first=2, last=38).obs
    with pytest.raises(InputError, match="joins times"):
        obs.fourdvar.reconstruct(method)
    pointwise = xv.operators.Linear(lambda x: 2.0 * x)
    twice = xv.FourDVar(xv.Lorenz63(dt=0.01), 1.0, climate=300, operator=pointwise @ pointwise)
    assert obs.fourdvar.reconstruct(twice).shape == obs.shape
