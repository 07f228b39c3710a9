"""Models that the user brings along: equations and maps over a step, in every method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.dynamics import Lorenz63Tendency
from xr4dvar.dynamics.model import flow_of

DT = 0.02
SETTINGS = {"error_variance": 1.0, "climate": 100, "starts": 2}


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return xv.datasets.lorenz63(4, steps=40, dt=DT, every=4, first=0, last=39, noise_variance=1.0)


@dataclass(frozen=True)
class Own:
    """A model of a class of its own, with no more than `Dynamics` asks for."""

    rho: float = 28.0
    dt: float = DT
    components: ClassVar[int] = 3

    def check(self, problems):
        if self.rho < 0:
            problems.add(f"rho is {self.rho}", "use 0 or more")

    def flow(self, interval, substeps):
        return flow_of(xv.Lorenz63(dt=interval / substeps, rho=self.rho), interval)


def fitted(ds: xr.Dataset, model: xv.Dynamics, **settings: object) -> xv.Model:
    """With the target's climate: free runs of a chaotic model differ by its rounding errors."""
    return ds.obs.fourdvar.fit(xv.FourDVar(model, **SETTINGS, **settings), ds.truth)


def test_a_map_is_the_equation_that_it_integrates(ds):
    equation, one_step = xv.Lorenz63(dt=0.01), flow_of(xv.Lorenz63(dt=0.01), 0.01)
    models = [equation, xv.ODE(Lorenz63Tendency(), 0.01), xv.DiscreteModel(one_step, 0.01)]
    for q in (None, 0.01):
        maps = [
            ds.obs[:2].fourdvar.reconstruct(fitted(ds, model, model_error_variance=q))
            for model in [*models, Own(dt=0.01)]
        ]
        for found in maps[1:]:
            np.testing.assert_allclose(found, maps[0], atol=1e-4)


def test_a_map_goes_on_beyond_the_data(ds):
    step = flow_of(xv.Lorenz63(dt=DT), DT)
    kinds = [xv.Lorenz63(dt=DT), xv.DiscreteModel(step, DT)]
    ahead = [ds.obs[:2].fourdvar.forecast(fitted(ds, model), steps=10) for model in kinds]
    np.testing.assert_allclose(ahead[1], ahead[0], atol=1e-4)


def test_a_module_of_float32_is_assimilated(ds):
    class Persistence(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.change = torch.nn.Linear(3, 3)
            torch.nn.init.zeros_(self.change.weight)
            torch.nn.init.zeros_(self.change.bias)

        def forward(self, x):
            return x + self.change(x)

    module = Persistence()
    settings = {**SETTINGS, "model_error_variance": 1.0, "starts": 1}
    models = [xv.DiscreteModel(module, DT), xv.DiscreteModel(lambda x: x, DT)]
    fits = [ds.obs.fourdvar.fit(xv.FourDVar(m, **settings), ds.truth) for m in models]
    maps = [ds.obs.fourdvar.reconstruct(model).drop_attrs() for model in fits]
    xr.testing.assert_allclose(*maps)
    assert module.change.weight.dtype == torch.float32


class Convection(torch.nn.Module):
    """Lorenz-63 with numbers of its own."""

    def __init__(self, *numbers):
        super().__init__()
        self.numbers = torch.nn.Parameter(torch.tensor(numbers))

    def forward(self, state):
        x, y, z = state.unbind(-1)
        sigma, rho, beta = self.numbers
        return torch.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z], -1)


def test_parameters_of_a_module_are_found(ds):
    module = Convection(8.0, 25.0, 2.0)
    method = xv.FourDVar(xv.ODE(module, 0.01, learned=True), **SETTINGS)
    model = ds.obs.fourdvar.fit(method, ds.truth)
    np.testing.assert_allclose(model.coefficients.numbers, [10, 28, 8 / 3], rtol=1e-3)
    assert module.numbers.tolist() == [8.0, 25.0, 2.0]  # the user's own is left alone
    maps = ds.obs.fourdvar.reconstruct(model)
    known = ds.obs.fourdvar.reconstruct(xv.FourDVar(xv.Lorenz63(), **SETTINGS))
    assert float(((maps - known) ** 2).mean()) < 0.05 * float(((known - ds.truth) ** 2).mean())


NETWORK = xv.FourDVarNet(
    background=None,
    widths=(16,),
    steps=2,
    training=xv.Training(steps=5, steps_per_epoch=5, batch_size=2),
)


def test_equations_and_maps_are_priors_of_networks(ds):
    step = flow_of(xv.Lorenz63(dt=0.01), DT)
    priors = [
        xv.Lorenz63(dt=0.01),
        xv.ODE(Convection(10.0, 28.0, 8 / 3), 0.01),
        xv.DiscreteModel(step, DT),
    ]
    models = [ds.obs.fourdvar.fit(replace(NETWORK, prior=prior), ds.truth) for prior in priors]
    maps = [ds.obs.fourdvar.reconstruct(model) for model in models]
    for found in maps[1:]:
        np.testing.assert_allclose(found, maps[0], atol=1e-2)
    with pytest.raises(xv.InputError, match="step of DiscreteModel is your own code"):
        models[2].save("model.safetensors")


def test_a_network_learns_the_map_that_is_its_prior(ds):
    module = torch.nn.Linear(3, 3)
    prior = xv.DiscreteModel(module, DT, learned=True)
    model = ds.obs.fourdvar.fit(replace(NETWORK, prior=prior), ds.truth)
    learned = [a for name, a in model.arrays.items() if name.endswith("function.weight")]
    assert len(learned) == 1
    assert not np.array_equal(learned[0], module.weight.detach().double().numpy())
    with pytest.raises(xv.InputError, match="DiscreteModel has no rates of change"):
        ds.obs.fourdvar.fit(xv.FourDVar(prior, **SETTINGS), ds.truth)


def made_again(factor: float) -> xv.Dynamics:
    """A class of one name, whose code differs: as when a cell of a notebook is run again."""

    @dataclass(frozen=True)
    class Decay:
        dt: float = 1.0
        components: ClassVar[None] = None

        def check(self, problems):
            pass

        def flow(self, interval, substeps):
            return lambda x: factor * x

    return Decay()


KNOWN = {"background_state": [1.0, 1.0, 1.0], "background_error_variance": 1.0}


def test_a_model_that_was_changed_is_another_one(ds):
    obs = ds.obs.isel(window=0, time=slice(3)) * np.nan
    for factor in (0.9, 0.5):
        maps = obs.fourdvar.reconstruct(xv.FourDVar(made_again(factor), 1.0, **KNOWN))
        expected = factor ** np.arange(3)[:, None] * np.ones(3)
        np.testing.assert_allclose(maps, expected, rtol=1e-6)


def test_a_class_of_ones_own_is_kept_in_no_file(ds, tmp_path):
    model = ds.obs.fourdvar.fit(xv.FourDVar(Own(), **SETTINGS))
    with pytest.raises(xv.InputError, match="dynamics of FourDVar is your own code"):
        model.save(tmp_path / "model.safetensors")


def test_what_is_frozen_stays(ds):
    class Two(Convection):
        def __init__(self):
            super().__init__(10.0, 28.0)
            self.beta = torch.nn.Parameter(torch.tensor(2.5), requires_grad=False)

        def forward(self, state):
            x, y, z = state.unbind(-1)
            sigma, rho = self.numbers
            return torch.stack([sigma * (y - x), x * (rho - z) - y, x * y - self.beta * z], -1)

    model = ds.obs.fourdvar.fit(
        xv.FourDVar(xv.ODE(Two(), 0.01, learned=True), **SETTINGS), ds.truth
    )
    assert float(model.coefficients.beta) == 2.5
    assert not np.allclose(model.coefficients.numbers, [10.0, 28.0], atol=1e-3)


def test_a_function_works_in_float64_in_networks_too(ds):
    matrix = torch.eye(3, dtype=torch.float64) - 0.1
    prior = xv.DiscreteModel(lambda x: x @ matrix, DT)
    single = ds.astype("float32")
    model = single.obs.fourdvar.fit(replace(NETWORK, prior=prior), single.truth)
    assert bool(np.isfinite(single.obs.fourdvar.reconstruct(model)).all())


def test_observations_far_from_the_climate_are_said(ds):
    """A model that settles has no climate but its rest: a background of next to no variance."""
    decay = xv.ODE(lambda x: -x, dt=DT)
    with pytest.raises(xv.InputError, match=r"deviations from the climate.*background_state"):
        ds.obs.fourdvar.reconstruct(xv.FourDVar(decay, **SETTINGS))
    known = {"background_state": [0.0, 0.0, 0.0], "background_error_variance": 500.0}
    maps = ds.obs.fourdvar.reconstruct(xv.FourDVar(decay, 1.0, 1.0, starts=1, **known))
    assert float(abs(maps - ds.obs).mean()) < 2


def test_a_known_model_that_settles_is_a_prior(ds):
    decay = xv.ODE(lambda x: -0.05 * x, dt=DT)
    maps = ds.obs.fourdvar.reconstruct(xv.Variational(decay, 1.0, 1.0))
    assert float(abs(maps - ds.obs).mean()) < 2


def test_components_in_another_order_are_refused(ds):
    turned = ds.obs.sel(component=["z", "y", "x"])
    for obs in (turned, turned.to_dataset("component")[["z", "y", "x"]]):
        with pytest.raises(xv.InputError, match=r"components are \['z', 'y', 'x'\], Lorenz63 has"):
            obs.fourdvar.reconstruct(xv.FourDVar(xv.Lorenz63(), **SETTINGS))


class Wrong(Own):
    def flow(self, interval, substeps):
        return lambda x: x[..., :1]


def in_place(x):
    x *= 0.9
    return x


def first(x):
    return torch.stack([x[1] - x[0], x[0] * x[2], x[1]])  # along the first dimension


def centred(x):
    return x - x.mean(0)  # over all states


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (xv.ODE(lambda x: None, 0.01), r"tendency gives NoneType of states of shape \(2, 3, 3\)"),
        (xv.ODE(lambda x: [x], 0.01), "tendency gives list"),
        (xv.ODE(lambda x: x[..., :1], 0.01), r"gives states of shape \(2, 3, 1\)"),
        (xv.ODE(first, 0.01), r"tendency fails on .* \(IndexError.*components are the last"),
        (xv.ODE(centred, 0.01), "when there are others beside it; fix: let it treat each state"),
        (xv.ODE(lambda x: x @ torch.ones(3, 3), 0.01), r"float64 \(RuntimeError"),
        (xv.ODE(torch.nn.Linear(2, 2), 0.01), "tendency fails on states"),
        (xv.ODE(Lorenz63Tendency, 0.01), "not a function"),
        (
            xv.ODE(abs, 0.01, learned=True),
            "no module of torch with parameters to learn",
        ),
        (
            xv.ODE(torch.nn.Tanh(), 0.01, learned=True),
            "no module of torch with parameters to learn",
        ),
        (xv.ODE(abs, 0.01, learned="yes"), "learned is 'yes'"),
        (xv.DiscreteModel(in_place, DT), r"step fails on .*\(RuntimeError"),
        (
            xv.DiscreteModel(lambda x: torch.from_numpy(np.sin(x.numpy())), DT),
            "step fails on .*numpy",
        ),
        (xv.DiscreteModel(lambda x: (0.9 * x).detach(), DT), "torch cannot differentiate step"),
        (xv.DiscreteModel(lambda x: x + torch.rand_like(x), DT), "step is random"),
        (Wrong(), r"the flow of Wrong gives states of shape \(2, 3, 1\)"),
        (xv.DiscreteModel(3, DT), "step is 3, not a function; fix: give M"),
        (xv.DiscreteModel(abs, 0.0), "dt is 0.0"),
        (xv.DiscreteModel(abs, 0.03), "0.02 apart, no whole number of steps of 0.03"),
        (xv.DiscreteModel(abs, 0.015), "0.02 apart, no whole number of steps of 0.015"),
        (xv.DiscreteModel(lambda x: x.sum(), DT), r"step gives states of shape \(\)"),
        (Own(rho=-1.0), "rho is -1.0; fix: use 0 or more"),
        (xv.Corrected(xv.Lorenz63), "known is <class"),
        (xv.Corrected(xv.ODE(lambda x: None, 0.01), components=3), "tendency gives NoneType"),
        (xv.Lorenz63(sigma="10", rho=float("nan")), "(?s)sigma is '10'; .*rho is nan"),
        (xv.QuadraticODE(0.01, components="3"), "components is '3'"),
    ],
)
def test_models_that_make_no_sense_are_refused(ds, model, message):
    with pytest.raises(xv.InputError, match=message):
        ds.obs.fourdvar.fit(xv.FourDVar(model, **SETTINGS), ds.truth)


def test_a_class_is_no_prior(ds):
    for method in (replace(NETWORK, prior=xv.Lorenz63), xv.Variational(xv.Lorenz63, 1.0)):
        with pytest.raises(xv.InputError, match="prior is <class"):
            ds.obs.fourdvar.fit(method, ds.truth)


def test_one_time_needs_no_steps(ds):
    """The model says nothing about a single state but its climate: a step is one of the model."""
    calls = []

    def counted(x):
        calls.append(len(x))
        return 20 * torch.sin(3 * x)  # whose climate reaches as far as the observations

    one = ds.obs.isel(time=[0])
    maps = one.fourdvar.reconstruct(xv.FourDVar(xv.DiscreteModel(counted, 0.001), **SETTINGS))
    assert maps.shape == one.shape
    assert len(calls) < 10_000
