"""4DVar through the verbs: near the truth where it can be, labels kept, errors for users."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.labels import find_axes, make_grid
from xr4dvar.methods import Parameters, Patches
from xr4dvar.methods.fourdvar.assimilation import Assimilation, best
from xr4dvar.methods.fourdvar.ensemble import nearest_minimum

MODEL = xv.Lorenz63(dt=0.02)


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    """Eight windows of which all components are seen, seldom."""
    seen = {"observed": ("x", "y", "z"), "every": 8, "first": 4, "last": 99}
    return xv.datasets.lorenz63(8, steps=100, noise_variance=1.0, seed=3, **seen)


def assimilation(**settings) -> xv.FourDVar:
    return xv.FourDVar(MODEL, error_variance=1.0, **{"climate": 400, "starts": 3, **settings})


@pytest.fixture(scope="module")
def strong(ds: xr.Dataset) -> xr.DataArray:
    return ds.obs.fourdvar.reconstruct(assimilation())


def mse(maps: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    return ((maps - ds.truth) ** 2).mean(("time", "component"))


def test_strong_constraint_comes_near_the_truth(ds, strong):
    """12 observations of each of three numbers, of variance 1."""
    assert float(mse(strong, ds).median()) < 0.25
    linear = ds.obs.fourdvar.reconstruct(xv.LinearInterpolation())
    assert float(mse(strong, ds).mean()) < 0.1 * float(mse(linear, ds).mean())


def test_labels_and_precision_are_kept(ds, strong):
    assert strong.dims == ds.obs.dims
    assert strong.dtype == ds.obs.dtype
    xr.testing.assert_identical(strong.coords.to_dataset(), ds.obs.coords.to_dataset())
    assert "FourDVar" in strong.attrs["history"]


@pytest.mark.parametrize("q", [None, 1e-4])
def test_the_error_says_how_wrong_the_map_is(ds, q):
    analysis = ds.obs.fourdvar.reconstruct(assimilation(model_error_variance=q), error=True)
    white = (analysis.obs - ds.truth) / analysis.obs_error
    # errors of a window go together: eight windows are few
    assert 0.5 < float((white**2).mean()) ** 0.5 < 1.5
    assert analysis.obs_error.dims == ds.obs.dims
    middle = analysis.obs_error.isel(time=slice(20, 80)).mean()
    assert float(analysis.obs_error.isel(time=-1).mean()) > float(middle)


@pytest.mark.parametrize("q", [None, 1e-2])
def test_members_are_as_far_from_each_other_as_the_error_says(ds, q):
    """Two ways to the same spread, where the posterior is nearly Gaussian."""
    method = assimilation(model_error_variance=q)
    error = ds.obs.fourdvar.reconstruct(method, error=True).obs_error
    members = ds.obs.fourdvar.reconstruct(method, ensemble=20)
    assert members.dims == ("member", *ds.obs.dims)
    ratio = members.var("member", ddof=1).mean() / (error**2).mean()
    assert 0.7 < float(ratio) < 1.4


def test_members_of_a_linear_model_are_a_sample_of_the_posterior():
    """A random walk with observations: mean and variance are those of `error=True`."""
    generator = np.random.default_rng(0)
    coords = {"time": np.arange(6.0), "component": ["level"]}
    shape, dims = (400, 6, 1), ("window", "time", "component")
    values = xr.DataArray(generator.normal(size=shape), dims=dims, coords=coords)
    obs = values.where(values.time.isin([1, 5]))
    settings = {"starts": 1, "spin_up": 0, "climate": 50}
    walk = xv.FourDVar(xv.ODE(torch.zeros_like, dt=1.0), 0.5, 0.2, **settings)
    model = obs.fourdvar.fit(walk, target=values)
    exact = obs.fourdvar.reconstruct(model, error=True)
    members = obs.fourdvar.reconstruct(model, ensemble=10)
    white = ((members - exact.variable) / exact.variable_error).stack(s=("member", "window"))
    np.testing.assert_allclose(white.mean("s").values, 0, atol=0.06)
    np.testing.assert_allclose(white.std("s").values, 1, atol=0.06)


@pytest.mark.parametrize("variance", [2.0, [2.0, 3.0], [[2.0, 0.5], [0.5, 3.0]]])
def test_a_given_background_is_weighed_with_the_observations(variance):
    """Of a state that stays as it is the analysis is the mean of b and y by their precisions."""
    coords = {"time": [0.0, 1.0], "component": ["u", "v"]}
    obs = xr.DataArray([[1.0, 2.0], [np.nan, np.nan]], coords, ("time", "component"))
    b, r = np.array([-1.0, 0.5]), np.diag([0.5, 0.5])
    background = {"background_state": b.tolist(), "background_error_variance": variance}
    method = xv.FourDVar(xv.DiscreteModel(lambda x: x, dt=1.0), 0.5, **background, climate=50)
    where = {"dims": {"x": "component"}}
    maps = obs.fourdvar.reconstruct(method, error=True, **where)
    matrix = np.diag(np.broadcast_to(variance, 2)) if np.ndim(variance) < 2 else np.array(variance)
    gain = matrix @ np.linalg.inv(matrix + r)
    expected, covariance = b + gain @ (obs.values[0] - b), matrix - gain @ matrix
    np.testing.assert_allclose(maps["variable"], [expected, expected], atol=1e-6)
    np.testing.assert_allclose(maps["variable_error"][1], covariance.diagonal() ** 0.5, rtol=1e-6)
    members = xr.concat([obs] * 300, "window").fourdvar.reconstruct(method, ensemble=3, **where)
    white = (members.values - expected) / covariance.diagonal() ** 0.5
    assert abs(float(white.mean())) < 0.1
    assert 0.9 < float(white.std()) < 1.1


def test_a_given_background_holds_at_the_first_time():
    """Of a model that halves the state; members are drawn from it as the error says."""
    coords = {"time": [0.0, 1.0, 2.0], "component": ["u"]}
    obs = xr.DataArray(np.full((400, 3, 1), np.nan), coords, ("window", "time", "component"))
    known = {"background_state": [8.0], "background_error_variance": 4.0}
    method = xv.FourDVar(xv.DiscreteModel(lambda x: 0.5 * x, dt=1.0), 1.0, **known)
    maps = obs.fourdvar.reconstruct(method, error=True, dims={"x": "component"})
    np.testing.assert_allclose(maps["variable"][0, :, 0], [8, 4, 2], rtol=1e-6)
    np.testing.assert_allclose(maps.variable_error[0, :, 0], [2, 1, 0.5], rtol=1e-6)
    grid = make_grid(obs, find_axes(obs, dims={"x": "component"}))
    drawn = method.known(grid, ["variable"]).arrays["climate"]
    np.testing.assert_allclose([drawn.mean(), drawn.std()], [8, 2], rtol=0.1)


def test_a_climate_of_too_few_states_is_said(ds):
    with pytest.raises(xv.InputError, match=r"climate's 2 states differ in 1 directions.*larger"):
        ds.obs.fourdvar.reconstruct(assimilation(climate=2))


def test_with_errors_windows_are_solved_once(ds, strong, monkeypatch):
    solved, analysis = [], Assimilation.analysis
    monkeypatch.setattr(
        Assimilation,
        "analysis",
        lambda self, batch: solved.append(len(batch.y)) or analysis(self, batch),
    )
    # another number of steps at most, so that no solver is at hand
    both = ds.obs.fourdvar.reconstruct(assimilation(steps=101), error=True)
    assert sum(solved) == ds.sizes["window"]
    np.testing.assert_array_equal(both["obs"], strong)


def test_windows_to_forecast_can_be_fitted(ds):
    """What is held out to validate on need not be observed: nothing is validated."""
    obs = ds.obs.where(ds.obs.time < ds.obs.time[int(0.7 * ds.sizes["time"])])
    fitted = obs.fourdvar.reconstruct(obs.fourdvar.fit(assimilation()))
    xr.testing.assert_equal(fitted, obs.fourdvar.reconstruct(assimilation()))


def test_a_target_of_components_that_follow_from_each_other_is_said(ds):
    target = ds.truth.copy()
    target.loc[{"component": "z"}] = target.sel(component=["x", "y"]).sum("component")
    with pytest.raises(xv.InputError, match=r"differ in 2 directions.*no component follows"):
        ds.obs.fourdvar.reconstruct(ds.obs.fourdvar.fit(assimilation(), target))


def test_members_follow_from_their_seed_whatever_the_chunks(ds):
    draw = {"ensemble": 2, "seed": 5}
    eager = ds.obs.fourdvar.reconstruct(assimilation(starts=1), **draw)
    lazy = ds.obs.chunk(window=3).fourdvar.reconstruct(assimilation(starts=1), **draw)
    xr.testing.assert_allclose(lazy.compute(), eager, atol=1e-6)
    other = ds.obs.fourdvar.reconstruct(assimilation(starts=1), ensemble=2, seed=6)
    assert abs(other - eager).max() > 0.01
    assert abs(eager[0] - eager[1]).max() > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ensemble": 0}, "ensemble is 0"),
        ({"ensemble": 2, "seed": -1}, "seed is -1"),
        ({"ensemble": 2, "error": True}, "exclude each other"),
    ],
)
def test_ensembles_that_make_no_sense_are_refused(ds, options, message):
    with pytest.raises(xv.InputError, match=message):
        ds.obs.fourdvar.reconstruct(assimilation(), **options)
    with pytest.raises(xv.InputError, match="'member', the dimension of an ensemble"):
        ds.obs.rename(window="member").fourdvar.reconstruct(assimilation(), ensemble=2)


class Folded:
    """What is left of where is lost; left is steeper."""

    dt, components = 1.0, 1

    def check(self, problems):
        pass

    def flow(self, interval, substeps):
        return lambda x: torch.where(x > 0, x**2, x**4)


KNOWN, FOLDED_ERROR = -0.05, 0.1


def folded(**settings):
    """4DVar of the folded model, its parameters, one window, and what is left and right."""
    method = xv.FourDVar(Folded(), FOLDED_ERROR, spin_up=0, **settings)
    x0 = torch.linspace(-3, 3, 100_001, dtype=torch.float64)[:, None]
    after = method.dynamics.flow(1.0, 1)(x0)
    density = torch.exp(-0.5 * (after - 1) ** 2 / FOLDED_ERROR - 0.5 * (x0 - KNOWN) ** 2)
    spread = np.random.default_rng(0).normal(size=400)
    climate = KNOWN + (spread - spread.mean()) / spread.std(ddof=1)
    parameters = Parameters({"spacing": 1.0}, {"climate": climate[:, None]})
    window = Patches(np.array([np.nan, 1.0]).reshape(1, 1, 2, 1, 1), {})
    return method, parameters, window, [float(density[side].sum()) for side in (x0 < 0, x0 > 0)]


def test_of_two_explanations_the_likelier_one_is_kept():
    """The other is nearer to what was known, but leaves less room: an integral says the same."""
    method, parameters, window, (left, right) = folded()
    assimilation = Assimilation(method, parameters, torch.device("cpu"))
    batch = assimilation.batch(window)
    starts = torch.tensor([-1.0, 1.0], dtype=torch.float64).expand(2, 2).mT.reshape(2, 1, 2, 1, 1)
    last = assimilation.stages[-1]
    minima = torch.stack([last.minimise(batch, start[None], 100) for start in starts], 1)
    evidence = assimilation.evidence(batch, minima)
    costs = [float(last.cost(minima[:, n], batch)) for n in range(2)]
    assert costs[0] < costs[1]
    assert float(torch.exp(evidence[0, 0] - evidence[0, 1])) == pytest.approx(left / right, rel=0.2)
    assert float(best(minima, evidence)[0, 0, 0]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_member_is_of_the_explanation_that_costs_it_least(side):
    method, parameters, window, _ = folded()
    assimilation = Assimilation(method, parameters, torch.device("cpu"))
    initial = torch.tensor([[side]], dtype=torch.float64)
    batch = replace(assimilation.batch(window), initial=initial)
    minima = torch.tensor([[-1.0, 1.0], [1.0, 1.0]], dtype=torch.float64).view(1, 2, 1, 2, 1, 1)
    found = nearest_minimum(assimilation, batch, minima)
    assert float(found[0, 0, 0]) == pytest.approx(side, abs=0.1)


def test_the_likeliest_of_all_minima_is_the_analysis(monkeypatch):
    method, parameters, window, _ = folded()
    solver = Assimilation(method, parameters, torch.device("cpu"))
    windows = solver.batch(window).take(torch.zeros(3, dtype=torch.int64))
    minima = torch.arange(12.0).view(3, 2, 1, 2, 1, 1)
    evidence = torch.tensor([[-3.0, -1.0], [-1.0, -3.0], [-torch.inf, -9.0]])
    monkeypatch.setattr(solver, "minima", lambda batch: (minima, evidence))
    torch.testing.assert_close(solver.analysis(windows), minima[range(3), [1, 0, 1]])


def test_a_spin_up_leads_to_states_that_the_model_visits(ds):
    """The first state is then known better than the climate and the observations say."""
    analyses = [
        ds.obs.fourdvar.reconstruct(assimilation(spin_up=n), error=True).isel(time=0)
        for n in (0, 20)
    ]
    errors = [float((analysis.obs_error**2).mean()) for analysis in analyses]
    assert errors[1] < 0.7 * errors[0]
    truth = ds.truth.isel(time=0)
    assert float(((analyses[1].obs - truth) ** 2).mean()) < 3 * errors[1]


def test_a_small_model_error_comes_near_the_strong_constraint(ds, strong):
    weak = ds.obs.fourdvar.reconstruct(assimilation(model_error_variance=1e-6))
    assert float(mse(weak, ds).mean()) == pytest.approx(float(mse(strong, ds).mean()), rel=0.1)


def test_a_wrong_model_wants_a_weak_constraint(ds):
    wrong = xv.Lorenz63(dt=0.02, rho=26.0)
    errors = [
        float(
            mse(ds.obs.fourdvar.reconstruct(xv.FourDVar(wrong, 1.0, q, 3, climate=400)), ds).mean()
        )
        for q in (None, 1e-2)
    ]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("q", [None, 1e-3])
def test_the_unobserved_truth_is_not_looked_at(ds, q):
    """Whatever stands where nothing was observed, the truth or noise: the same, to the bit."""
    method = assimilation(starts=2, model_error_variance=q)
    parameters = method.known(make_grid(ds.obs, find_axes(ds.obs)), ["obs"])
    solver = Assimilation(method, parameters, torch.device("cpu"))
    order = ("window", "time", "component")
    y, truth = (a[:2].transpose(*order).values[:, None, :, None] for a in (ds.obs, ds.truth))
    batch = solver.batch(Patches(y, {}))
    before = (0, 0, 0, 0, method.spin_up_times, 0)
    padded = torch.nn.functional.pad(torch.from_numpy(truth.copy()), before)
    noise = 100 * torch.randn(padded.shape, dtype=padded.dtype)
    found = [
        solver.analysis(replace(batch, y=torch.where(batch.weight > 0, batch.y, hidden)))
        for hidden in (padded, noise)
    ]
    assert torch.equal(*found)


def test_chunks_of_windows_are_solved_lazily_and_alike(ds, strong):
    chunked = ds.obs.chunk(window=3)
    with xv.testing.raise_if_dask_computes():
        lazy = chunked.fourdvar.reconstruct(assimilation())
    assert lazy.chunks == chunked.chunks
    xr.testing.assert_allclose(lazy.compute(), strong, atol=1e-6)


@pytest.mark.parametrize(
    "order", [("component", "time", "window"), ("time", "window", "component")]
)
def test_any_order_of_dimensions(ds, strong, order):
    maps = ds.obs.transpose(*order).fourdvar.reconstruct(assimilation())
    assert maps.dims == order
    xr.testing.assert_allclose(maps.transpose(*strong.dims), strong, atol=1e-6)


def test_components_may_be_variables_of_a_dataset(ds, strong):
    variables = ds.obs.to_dataset("component")
    maps = variables.fourdvar.reconstruct(assimilation())
    expected = strong.to_dataset("component")
    for name in "xyz":
        np.testing.assert_allclose(maps[name].values, expected[name].values, atol=1e-6)


def test_any_function_of_torch_is_a_model(ds, strong):
    def f(s):
        x, y, z = s.split(1, -1)
        return torch.cat([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], -1)

    method = xv.FourDVar(xv.ODE(f, dt=0.02), 1.0, climate=400, starts=3)
    maps = ds.obs.fourdvar.reconstruct(method)
    xr.testing.assert_allclose(maps, strong, atol=1e-5)


def test_the_climate_is_that_of_the_target(ds):
    """With another climate the same observations give another map of what they do not say."""
    shifted = ds.truth * 0 + 100.0 + ds.truth
    seen = ds.obs.where(ds.time > 0.5)
    model = seen.fourdvar.fit(assimilation(), target=shifted)
    assert model.parameters.arrays["climate"].mean() == pytest.approx(
        float(shifted.mean()), rel=0.1
    )
    own = seen.fourdvar.fit(assimilation())
    states = own.parameters.arrays["climate"]
    np.testing.assert_allclose(states[:, :2].mean(0), 0, atol=2)
    assert states[:, 2].mean() == pytest.approx(23.5, abs=1)


def test_observations_of_their_own_variance(ds):
    """Wrong ones that are said to be wrong do no harm."""
    bad = xr.zeros_like(ds.obs, dtype=bool)
    bad[:, 12::24] = True  # every third time of observation
    wrong = ds.obs.where(~bad, ds.obs + 20.0)
    variance = xr.ones_like(ds.obs).where(~bad, 1e6)
    told = wrong.fourdvar.reconstruct(assimilation(), error_variance=variance)
    not_told = wrong.fourdvar.reconstruct(assimilation())
    assert float(mse(told, ds).median()) < 0.05 * float(mse(not_told, ds).median())


def test_a_window_without_observations_is_said(ds, caplog):
    empty = ds.obs.where(ds.window != 2)
    with caplog.at_level(logging.WARNING, "xr4dvar"):
        maps = empty.fourdvar.reconstruct(assimilation())
    assert "1 of 8 windows have no observation (.isel(window=2)): their maps are" in caplog.text
    assert np.isfinite(maps.values).all()


def test_states_that_are_too_large_are_refused():
    maps = xr.DataArray(np.zeros((3, 40, 40)), dims=("time", "lat", "lon"))
    method = xv.FourDVar(xv.ODE(lambda x: -x, dt=1.0), 1.0, 1.0)
    with pytest.raises(xv.InputError, match=r"1,600 numbers.* or xr4dvar.Variational\(model"):
        maps.fourdvar.reconstruct(method)


def test_a_single_window_without_observations_is_said(ds, caplog):
    empty = ds.obs[2] * np.nan
    with caplog.at_level(logging.WARNING, "xr4dvar"):
        maps = empty.fourdvar.reconstruct(assimilation())
        curve = empty.fourdvar.cost_curve(assimilation())
    assert "1 of 1 windows have no observation: their maps are" in caplog.text
    whole = ds.obs.where(ds.window != 2).fourdvar.reconstruct(assimilation())
    np.testing.assert_allclose(maps, whole[2], atol=1e-4)
    assert float(curve.cost[-1]) < 1e-6


def test_patches_of_maps_may_well_be_empty(caplog):
    maps = xr.DataArray(np.zeros((2, 3, 4)), dims=("member", "lat", "lon"))
    maps[1] = np.nan
    with caplog.at_level(logging.WARNING, "xr4dvar"):
        maps.fourdvar.reconstruct(xv.LinearInterpolation())
    assert "no observation" not in caplog.text


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (xv.FourDVar(xv.Lorenz63(), "2.0"), "error_variance is '2.0', no numbers"),
        (xv.FourDVar(xv.Lorenz63(), None), "error_variance is None, no numbers"),
        (xv.FourDVar(xv.Lorenz63(), True), "error_variance is True, no numbers"),
        (
            xv.FourDVar(
                xv.Lorenz63(), 1.0, background_state=[1, 2, "3"], background_error_variance=1.0
            ),
            "background_state is .*a finite number for each",
        ),
        (xv.FourDVar(xv.Lorenz63(), -1.0), "error_variance is -1"),
        (xv.FourDVar(xv.Lorenz63(), [1.0, 2.0]), r"shape \(2,\), the state has 3 components"),
        (xv.FourDVar(xv.Lorenz63(), 1.0, np.eye(2)), "model_error_variance has shape"),
        (xv.FourDVar(xv.Lorenz63(dt=0.0), 1.0), "dt is 0.0"),
        (xv.FourDVar(xv.Lorenz63(scheme="ab2"), 1.0), "scheme is 'ab2'"),
        (xv.FourDVar("l63", 1.0), "dynamics is 'l63'; fix: give a model"),
        (xv.FourDVar(xv.Lorenz63, 1.0), "dynamics is <class .*; fix: give a model"),
        (xv.FourDVar(xv.Lorenz63(), "two"), "error_variance is 'two', no numbers"),
        (xv.FourDVar(xv.Lorenz63(), {"x": 1.0}), "no numbers; fix: give a variance"),
        (xv.FourDVar(xv.ODE(3, dt=0.1), 1.0), "tendency is 3, not a function"),
        (xv.FourDVar(xv.Lorenz63(), 1.0, starts=0), "starts is 0"),
        (xv.FourDVar(xv.Lorenz63(), 1.0, background_state=[0, 0, 0]), "give both, or neither"),
        (xv.FourDVar(xv.Lorenz63(), 1.0, background_error_variance=1.0), "is given without"),
        (
            xv.FourDVar(
                xv.Lorenz63(), 1.0, background_state=[0, 0], background_error_variance=[1, 2]
            ),
            r"(?s)error_variance has shape \(2,\).*finite number for each of the 3 components",
        ),
        (xv.FourDVar(xv.ODE(lambda x: x[..., :1], 0.01), 1.0), "gives states of shape"),
        (xv.FourDVar(xv.ODE(lambda x: x**3, 0.1), 1.0), "runs out of bounds"),
    ],
)
def test_settings_that_make_no_sense_are_refused(ds, method, message):
    with pytest.raises(xv.InputError, match=message):
        ds.obs.fourdvar.reconstruct(method)


def test_lengthening_a_window_leads_to_its_deep_minimum():
    """Of one component seen; from the same first guesses, a descent alone finds six of twelve."""
    seen = {"observed": ("x",), "every": 8, "first": 4, "last": 199}
    ds = xv.datasets.lorenz63(12, steps=200, dt=0.02, noise_variance=1.0, seed=3, **seen)
    method = assimilation(starts=3)
    parameters = method.known(make_grid(ds.obs, find_axes(ds.obs)), ["obs"])
    solver = Assimilation(method, parameters, torch.device("cpu"))
    y = ds.obs.transpose("window", "time", "component").values[:, None, :, None]
    batch = solver.batch(Patches(y, {}))
    last = solver.stages[-1]

    found = [
        last.cost(last.minimise(batch, x, 100), batch)
        for x in solver.guesses(batch)[:, 1:].unbind(1)
    ]
    # twice the cost is about chi square, of as many degrees of freedom as observations: 25
    assert int((torch.stack(found).amin(0) < 25).sum()) >= 11


def test_windows_that_the_model_does_not_get_through_are_named(ds):
    obs = ds.obs[:4].copy()
    obs[2] = 1e200 * obs[2]
    known = {"background_state": [0.0, 0.0, 0.0], "background_error_variance": 100.0}
    method = xv.FourDVar(xv.ODE(lambda x: 1e-9 * x**3 - x, 0.01), 1.0, **known)
    lost = r"out of bounds in 1 of . windows \(\.isel\(window=2\)\); fix: take a smaller dt"
    calls = [
        lambda: obs.fourdvar.reconstruct(method),
        lambda: obs.fourdvar.reconstruct(method, ensemble=2),
        lambda: obs.fourdvar.cost_curve(method),
        lambda: obs.chunk(window=1).fourdvar.reconstruct(method).compute(),
    ]
    for call in calls:
        with pytest.raises(xv.InputError, match=lost):
            call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.drop_vars("component"), 'dims={"x": "component"}'),
        (lambda a: a.isel(component=[0, 1]), "Lorenz63 has 3 components, the data's state 2"),
        (lambda a: a.isel(time=[0, 1, 2, 7]), "'time' is not evenly spaced"),
        (lambda a: a.isel(time=0, drop=True), "no time axis"),
    ],
)
def test_data_that_the_model_does_not_fit_are_refused(ds, change, message):
    with pytest.raises(xv.InputError) as caught:
        change(ds.obs).fourdvar.reconstruct(assimilation())
    assert message in str(caught.value)


def test_a_model_goes_into_a_file_and_comes_back(ds, strong, tmp_path):
    model = ds.obs.fourdvar.fit(assimilation(model_error_variance=1e-6 * np.eye(3)))
    model.save(tmp_path / "model.safetensors")
    again = xv.load(tmp_path / "model.safetensors")
    assert again.digest == model.digest
    maps = [ds.obs[:2].fourdvar.reconstruct(one) for one in (model, again)]
    xr.testing.assert_identical(maps[0].drop_attrs(), maps[1].drop_attrs())


def test_a_function_of_ones_own_cannot_be_saved(ds, tmp_path):
    model = ds.obs.fourdvar.fit(xv.FourDVar(xv.ODE(lambda x: -x, 0.1), 1.0, climate=10))
    with pytest.raises(xv.InputError, match="tendency of ODE is your own code"):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_components_and_variables_are_told_by_name(ds):
    """In another order they are put right, or refused; other names are refused."""
    model = ds.obs.fourdvar.fit(assimilation(starts=1))
    for other in (ds.obs[..., ::-1], ds.obs.assign_coords(component=["u", "v", "w"])):
        with pytest.raises(xv.InputError, match="the model knows 'x', 'y', 'z'; fix: select them"):
            other.fourdvar.reconstruct(model, dims={"time": "time", "x": "component"})
    apart = ds.obs[:2].to_dataset("component")
    model = apart.fourdvar.fit(assimilation(starts=1))
    maps = apart.fourdvar.reconstruct(model)
    again = apart[["z", "x", "y"]].fourdvar.reconstruct(model)
    xr.testing.assert_equal(maps, again[["x", "y", "z"]])
    with pytest.raises(xv.InputError, match="in another order"):
        apart[["z", "x", "y"]].fourdvar.cost_curve(model)


@pytest.mark.parametrize("options", [{}, {"ensemble": 2}])
def test_where_r_is_a_matrix_observations_have_no_variances_of_their_own(ds, options):
    method = xv.FourDVar(MODEL, np.eye(3), climate=400)
    with pytest.raises(xv.InputError, match="error_variance is of no use"):
        ds.obs.fourdvar.reconstruct(method, error_variance=xr.full_like(ds.obs, 2.0), **options)


class OwnStep:
    """A model that is no dataclass."""

    dt, components = 0.02, 3

    def check(self, problems):
        pass

    def flow(self, interval, substeps):
        return lambda x: 0.9 * x


def test_a_model_of_ones_own_goes_into_no_file(ds, tmp_path):
    model = ds.obs.fourdvar.fit(xv.FourDVar(OwnStep(), 1.0, spin_up=0))
    with pytest.raises(xv.InputError, match="dynamics of FourDVar is your own code"):
        model.save(tmp_path / "model.safetensors")
