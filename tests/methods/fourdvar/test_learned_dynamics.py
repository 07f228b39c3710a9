"""Dynamics that `fit` finds: their coefficients, what they are good for, and what they are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.dynamics import Lorenz63Tendency, trajectory
from xr4dvar.dynamics.learned import fitted_flow
from xr4dvar.dynamics.model import flow_of
from xr4dvar.methods import from_config, to_config
from xr4dvar.methods.fourdvarnet.network import Architecture, FourDVarNetwork

QUADRATIC = xv.FourDVar(xv.QuadraticODE(dt=0.01), error_variance=1.0, climate=200, starts=1)
SHORT = xv.Training(steps=4, batch_size=4, steps_per_epoch=4)
NETWORK = xv.FourDVarNet(
    background=None,
    prior=xv.QuadraticODE(dt=0.01),
    solver="gradient",
    steps=2,
    training=SHORT,
)


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    """Eight windows, all components seen every fourth step."""
    seen = {"observed": ("x", "y", "z"), "every": 4, "first": 0, "last": 79}
    return xv.datasets.lorenz63(8, steps=80, noise_variance=1.0, seed=3, **seen)


@pytest.fixture(scope="module")
def many() -> xr.Dataset:
    """Twenty-four windows, from whose observations alone something can be learned."""
    seen = {"observed": ("x", "y", "z"), "every": 4, "first": 0, "last": 99}
    return xv.datasets.lorenz63(24, steps=100, noise_variance=1.0, seed=3, **seen)


@pytest.fixture(scope="module")
def model(ds: xr.Dataset) -> xv.Model:
    return ds.obs.fourdvar.fit(QUADRATIC, ds.truth)


def rates(found: xr.Dataset, state: xr.DataArray) -> xr.DataArray:
    """The vector field, as the coefficients say."""
    of = state.rename(component="of")
    pairs = of * state.rename(component="with")
    return (
        found.constant
        + xr.dot(found.linear, of, dim="of")
        + xr.dot(found.quadratic, pairs, dim=["of", "with"])
    )


def test_the_equations_of_lorenz_are_found(ds, model):
    found = model.coefficients
    linear = np.array([[-10.0, 10, 0], [28, -1, 0], [0, 0, -8 / 3]])
    np.testing.assert_allclose(found.linear, linear, atol=5e-3)
    quadratic = np.zeros((3, 3, 3))
    quadratic[1, 0, 2], quadratic[2, 0, 1] = -1, 1
    np.testing.assert_allclose(found.quadratic, quadratic, atol=5e-4)
    np.testing.assert_allclose(found.constant, 0, atol=2e-2)
    assert found.quadratic.dims == ("component", "of", "with")
    assert list(found["with"].values) == ["x", "y", "z"]


def fitted(model):
    found = model.parameters
    return fitted_flow(model.method.dynamics, found.settings["spacing"], found.arrays)


def test_the_coefficients_are_those_of_the_model(ds, model):
    flow = fitted(model)
    states = ds.truth.isel(time=slice(None, None, 9))
    said = rates(model.coefficients, states).transpose(*states.dims)
    np.testing.assert_allclose(said, flow.tendency(torch.from_numpy(states.values)), atol=1e-9)


@pytest.mark.slow
def test_it_assimilates_as_well_as_the_true_model(ds, model):
    seen = {"observed": ("x", "y", "z"), "every": 8, "first": 0, "last": 79}
    test = xv.datasets.lorenz63(6, steps=80, noise_variance=1.0, seed=5, **seen)
    true = replace(QUADRATIC, dynamics=xv.Lorenz63(dt=0.01))
    known = ds.obs.fourdvar.fit(true, ds.truth)
    errors = [((test.obs.fourdvar.reconstruct(m) - test.truth) ** 2).mean() for m in (model, known)]
    assert float(errors[0]) == pytest.approx(float(errors[1]), rel=0.1)


def test_what_is_held_out_is_not_learned_from(ds, model):
    held_out = ds.time >= ds.time[68]  # the last 15 %
    other = ds.obs.fourdvar.fit(QUADRATIC, ds.truth.where(~held_out, 0.0))
    xr.testing.assert_identical(other.coefficients, model.coefficients)


def test_a_target_may_have_gaps_and_noise(ds):
    generator = np.random.default_rng(0)
    noise = 0.1 * generator.standard_normal(ds.truth.shape)
    gappy = (ds.truth + noise).where(generator.random(ds.truth.shape) < 0.7)
    found = ds.obs.fourdvar.fit(QUADRATIC, gappy).coefficients
    assert float(found.linear.sel(component="y", of="x")) == pytest.approx(28, rel=0.03)
    assert float(found.quadratic.sel({"component": "z", "of": "x", "with": "y"})) == pytest.approx(
        1, rel=0.05
    )


def test_components_are_called_by_their_variables(ds):
    seen, truth = (ds[name][:3].to_dataset("component") for name in ("obs", "truth"))
    model = seen.fourdvar.fit(QUADRATIC, truth)
    assert list(model.coefficients.component.values) == ["x", "y", "z"]


@pytest.mark.slow
def test_parameters_of_a_known_model_are_found_from_observations_alone(many):
    wrong = xv.Lorenz63(dt=0.02, rho=26.0, learned=True)
    method = replace(QUADRATIC, dynamics=wrong)
    found = many.obs.fourdvar.fit(method).coefficients
    assert float(found.rho) == pytest.approx(28, rel=0.02)  # 26 is off by 7 %
    assert float(found.sigma) == pytest.approx(10, rel=0.05)
    assert float(found.beta) == pytest.approx(8 / 3, rel=0.05)


@pytest.mark.slow
def test_a_quadratic_model_is_found_from_observations_alone(many):
    found = many.obs.fourdvar.fit(QUADRATIC).coefficients
    states = many.truth.isel(time=slice(None, None, 9))
    true = Lorenz63Tendency()(torch.from_numpy(states.values)).detach().numpy()
    error = rates(found, states).transpose(*states.dims) - true
    assert float((error**2).mean() ** 0.5) < 0.1 * true.std()


@pytest.mark.slow
def test_a_learned_correction_predicts_better_than_the_known_model(ds):
    known = xv.Lorenz63(dt=0.02, rho=26.0)
    method = replace(QUADRATIC, dynamics=xv.Corrected(known, width=4))
    model = ds.obs[:4].fourdvar.fit(method, ds.truth[:4])
    assert model.coefficients is None
    held_out = torch.from_numpy(ds.truth[-1:].values)
    errors = []
    for flow in (fitted(model), flow_of(known, 0.01)):
        with torch.no_grad():  # forecasts over 20 steps, from every state
            ends = trajectory(flow, held_out[:, :-20], 21)[..., -1, :]
        errors.append(float((ends - held_out[:, 20:]).square().mean()))
    assert errors[0] < 0.05 * errors[1]


def test_a_file_holds_it(ds, model, tmp_path):
    model.save(tmp_path / "m.safetensors")
    again = xv.load(tmp_path / "m.safetensors")
    assert again.digest == model.digest
    xr.testing.assert_identical(again.coefficients, model.coefficients)
    maps = [ds.obs[:2].fourdvar.reconstruct(m).drop_attrs() for m in (model, again)]
    xr.testing.assert_identical(*maps)


@pytest.mark.parametrize(
    "dynamics",
    [
        xv.QuadraticODE(dt=0.1, components=3),
        xv.Corrected(xv.Lorenz63(rho=20.0), width=4),
        xv.Lorenz96(learned=True),
    ],
)
def test_settings_are_plain(dynamics):
    assert from_config(to_config(dynamics)) == dynamics


def test_what_is_never_seen_is_not_made_up(ds):
    with pytest.raises(xv.InputError, match="'z' is never known"):
        ds.obs.where(ds.component != "z").fourdvar.fit(QUADRATIC)


def test_one_time_is_not_enough(ds):
    with pytest.raises(xv.InputError, match="1 time to learn from"):
        ds.obs.isel(time=[0]).fourdvar.fit(QUADRATIC)


def test_what_is_learned_has_to_be_fitted(ds):
    with pytest.raises(xv.InputError, match="has to be fitted"):
        ds.obs.fourdvar.reconstruct(QUADRATIC)


@pytest.mark.parametrize(
    ("dynamics", "message"),
    [
        (xv.QuadraticODE(dt=0.0), "dt is 0.0"),
        (xv.QuadraticODE(dt=0.1, components=2), "QuadraticODE has 2 components, the data's state"),
        (xv.Corrected("l63"), "dynamics is Corrected.known='l63'"),
        (xv.Corrected(xv.Lorenz63(dt=-1.0), width=0), "(?s)width is 0.*dt is -1"),
        (xv.Lorenz63(learned="rho"), "learned is 'rho'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(ds, dynamics, message):
    with pytest.raises(xv.InputError, match=message):
        ds.obs.fourdvar.fit(replace(QUADRATIC, dynamics=dynamics), ds.truth)


def test_too_many_components_are_refused():
    with pytest.raises(xv.InputError, match="171,465 coefficients for 69 components"):
        flow_of(xv.QuadraticODE(dt=0.1), 0.1, 69)
    with pytest.raises(xv.InputError, match="give components="):
        flow_of(xv.QuadraticODE(dt=0.1), 0.1)


def architecture() -> Architecture:
    return Architecture(
        variables=1, times=12, context=0, solver="gradient", iterations=2,
        widths=[4], prior_width=4, coarsen=1, x=3, grid="time", spacing=0.01,
    )  # fmt: skip


@pytest.mark.parametrize(
    "prior",
    [
        xv.QuadraticODE(dt=0.01),
        xv.Corrected(xv.Lorenz63(dt=0.01), width=4),
        xv.Lorenz63(learned=True),
    ],
)
def test_gradients_reach_what_a_prior_learns(prior):
    network = FourDVarNetwork(architecture(), prior)
    y = torch.randn(2, 1, 12, 1, 3, generator=torch.Generator().manual_seed(0))
    increment, _ = network(y, torch.ones_like(y), None)
    assert increment.dtype == torch.float32
    increment.square().sum().backward()
    learned = {name: p for name, p in network.prior.named_parameters() if p.requires_grad}
    assert learned
    blind = {"weight", "bias"}  # of a network whose last layer is still zero
    for name, p in learned.items():
        reached = p.grad is not None and bool(p.grad.abs().max() > 0)
        assert reached or name.rsplit(".", 1)[-1] in blind, name


def test_a_prior_is_trained_and_saved(ds, tmp_path):
    trained = ds.obs.fourdvar.fit(NETWORK, ds.truth)
    before = ds.obs.fourdvar.fit(QUADRATIC, ds.truth).coefficients
    found = trained.coefficients
    np.testing.assert_allclose(found.linear, before.linear, atol=3.0)  # it starts from there
    assert not np.array_equal(found.linear, before.linear)
    trained.save(tmp_path / "m.safetensors")
    again = xv.load(tmp_path / "m.safetensors")
    xr.testing.assert_identical(again.coefficients, found)
    maps = [ds.obs.fourdvar.reconstruct(m).drop_attrs() for m in (trained, again)]
    xr.testing.assert_identical(*maps)


def test_a_prior_learns_without_a_target(ds):
    found = ds.obs.fourdvar.fit(NETWORK).coefficients
    assert bool((found.linear != 0).any())
