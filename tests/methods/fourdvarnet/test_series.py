"""4DVarNet of series and sections: layouts, units, a known model as prior."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.contract.patches import Patches
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import ModelErrorTerm, StateObservationTerm
from xr4dvar.cost.cost import Cost
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics.model import flow_of
from xr4dvar.methods.fourdvarnet.network import Architecture, FourDVarNetwork
from xr4dvar.methods.fourdvarnet.units import Units
from xr4dvar.solvers import GradientDescent, minimise
from xr4dvar.training.sampler import PatchSampler

SHORT = xv.Training(steps=150, batch_size=16, steps_per_epoch=50, learning_rate=3e-3, averaging=0.9)
SERIES = xv.FourDVarNet(background=None, widths=(24,), depth=2, training=SHORT)


def lorenz63(windows: int = 60, seed: int = 0) -> xr.Dataset:
    seen = {"observed": ("x", "z"), "every": 4, "first": 2, "last": 39}
    return xv.datasets.lorenz63(windows, steps=40, noise_variance=1.0, seed=seed, **seen)


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return lorenz63()


@pytest.fixture(scope="module")
def model(ds: xr.Dataset) -> xv.Model:
    return ds.obs.fourdvar.fit(SERIES, ds.truth)


def test_it_learns_what_was_never_seen(ds, model):
    """The second component, of which there is no observation at all, from the others."""
    test = lorenz63(seed=1)
    maps = test.obs.fourdvar.reconstruct(model)
    assert maps.dims == test.obs.dims
    errors = ((maps - test.truth) ** 2).mean(("window", "time")) / test.truth.var(
        ("window", "time")
    )
    assert (errors < 0.15).all()


def test_components_have_units_of_their_own(ds, model):
    units = model.parameters.settings["units"]
    mean = np.array(units["mean"]).reshape(3)
    np.testing.assert_allclose(mean, ds.truth.mean(("window", "time")), atol=1.5)
    large = ds.assign(obs=ds.obs * [1, 1, 1000], truth=ds.truth * [1, 1, 1000])
    one_step = replace(SERIES, training=replace(SHORT, steps=1, steps_per_epoch=1))
    other = large.obs.fourdvar.fit(one_step, large.truth).parameters.settings["units"]
    assert np.array(other["error"]).reshape(3)[2] > 1000


def hourly(seed: int) -> xr.Dataset:
    """All components, each seen at three times of ten, wherever that is."""
    seen = {"observed": ("x", "y", "z"), "every": 1, "first": 0, "last": 39}
    full = xv.datasets.lorenz63(100, steps=40, noise_variance=1.0, seed=seed, **seen)
    kept = np.random.default_rng(seed).random(full.obs.shape) < 0.3
    return full.assign(obs=full.obs.where(kept))


def test_it_learns_from_gappy_data_alone(caplog):
    method = replace(SERIES, training=replace(SHORT, steps=300))
    alone = hourly(0).obs.fourdvar.fit(method)
    assert "there is never an observation" not in caplog.text
    test = hourly(1)
    maps = test.obs.fourdvar.reconstruct(alone)
    assert float(((maps - test.truth) ** 2).mean() / test.truth.var()) < 0.1


def test_what_no_window_shows_is_said(ds, caplog):
    one_step = replace(SERIES, training=replace(SHORT, steps=1, steps_per_epoch=1))
    ds.obs.fourdvar.fit(one_step)
    assert "at 100 of the 120 cells of a window there is never an observation" in caplog.text


def test_the_file_holds_it(ds, model, tmp_path):
    model.save(tmp_path / "m.safetensors")
    again = xv.load(tmp_path / "m.safetensors")
    maps = [ds.obs[:3].fourdvar.reconstruct(m).drop_attrs() for m in (model, again)]
    xr.testing.assert_identical(*maps)


def test_chunks_and_order_do_not_matter(ds, model):
    maps = ds.obs[:6].fourdvar.reconstruct(model)
    turned = ds.obs[:6].transpose("component", "time", "window").chunk(window=4)
    lazy = turned.fourdvar.reconstruct(model)
    xr.testing.assert_allclose(lazy.compute().transpose(*maps.dims), maps, atol=1e-5)


def test_of_a_ring_every_site_is_alike():
    ring = xv.datasets.lorenz96(40, sites=12, steps=24, observed=6, every=2, seed=0)
    where = {"dims": {"time": "time", "x": "site"}, "periodic": ("site",)}
    method = xv.FourDVarNet(
        background=None, widths=(12,), depth=1, coarsen=4, training=replace(SHORT, steps=40)
    )
    model = ring.obs.fourdvar.fit(method, ring.truth, **where)
    maps = ring.obs.fourdvar.reconstruct(model, **where)
    turned = ring.obs.roll(site=5).fourdvar.reconstruct(model, **where)
    np.testing.assert_allclose(turned.values, maps.roll(site=5).values, atol=1e-4)


def test_with_a_model_and_a_fixed_step_it_is_weak_4dvar():
    """Gradient descent on the cost of `FourDVar`, step by step."""
    spec = Architecture(
        variables=1, times=20, context=0, solver="gradient",
        iterations=5, widths=[4], prior_width=4, coarsen=1, x=3, grid="time", spacing=0.02,
    )  # fmt: skip
    network = FourDVarNetwork(spec, xv.Lorenz63()).double().eval()
    spread = 8.0
    network.prior.spread.fill_(spread)
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(2, 1, 20, 1, 3, dtype=torch.float64, generator=generator)
    batch = Batch.from_gappy(torch.where(y > 0, y, torch.nan))
    found, _ = network(batch.y, batch.weight, None)
    step = flow_of(xv.Lorenz63(dt=0.01), 0.02)
    variance = CovarianceMatrix(spread**2, 3)
    cost = Cost([StateObservationTerm(variance), ModelErrorTerm(step, variance)])
    own = Batch(spread * batch.y, batch.weight)
    expected = minimise(cost, GradientDescent(0.2 * spread**2), own, 5).x
    torch.testing.assert_close(spread * found, expected, rtol=1e-5, atol=1e-6)


def test_a_known_model_helps(ds):
    """The same little training, with the model as prior: its steps come from the cost."""
    known = replace(SERIES, prior=xv.Lorenz63(dt=0.01), training=replace(SHORT, steps=60))
    model = ds.obs.fourdvar.fit(known, ds.truth)
    maps = ds.obs.fourdvar.reconstruct(model)
    assert float(((maps - ds.truth) ** 2).mean() / ds.truth.var()) < 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior": xv.Lorenz63(dt=-1.0)}, "dt is -1"),
        ({"prior": xv.Lorenz63(), "background": xv.LinearInterpolation()}, "background=None"),
        ({"prior": "model"}, "prior is 'model'"),
        ({"depth": 0}, "depth is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(ds, change, message):
    with pytest.raises(xv.InputError, match=message):
        ds.obs.fourdvar.fit(replace(SERIES, **change), ds.truth)


def test_a_model_of_other_components_is_refused(ds):
    two = ds.sel(component=["x", "y"])
    with pytest.raises(xv.InputError, match="Lorenz63 has 3 components, the data's state 2"):
        two.obs.fourdvar.fit(replace(SERIES, prior=xv.Lorenz63()), two.truth)


#: The cost alone, with known variances: nothing is said of the truth.
COST_ALONE = replace(
    SERIES,
    prior=xv.Lorenz63(),
    error_variance=1.0,
    model_error_variance=0.1,
    loss={"variational": 1.0, "supervised": 0.0, "regularisation": 0.0},
)


def test_given_variances_are_in_the_units_of_the_data(ds):
    one_step = replace(
        COST_ALONE,
        error_variance=[1.0, 2.0, 3.0],
        model_error_variance=0.1,
        training=replace(SHORT, steps=3, steps_per_epoch=3),
    )
    parameters = ds.obs.fourdvar.fit(one_step).parameters
    network = FourDVarNetwork(Architecture(**parameters.settings["architecture"]), xv.Lorenz63())
    network.load_state_dict({k: torch.as_tensor(v) for k, v in parameters.arrays.items()})
    units = Units(**parameters.settings["units"])
    batch = units.batch(Patches(ds.obs.values[:, None, :, None], {}), torch.device("cpu"))
    states = torch.from_numpy(ds.truth.values[:, None, :, None]) + 0.3
    x = torch.from_numpy((states.numpy() - units.mean) / units.error)
    cost = Cost(
        [
            StateObservationTerm(CovarianceMatrix([1.0, 2.0, 3.0], 3)),
            ModelErrorTerm(flow_of(xv.Lorenz63(), 0.01), CovarianceMatrix(0.1, 3)),
        ]
    )
    expected = cost(states, Batch.from_gappy(torch.from_numpy(ds.obs.values[:, None, :, None])))
    found = network.cost(x.float(), batch)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)


def test_what_is_never_seen_has_the_statistics_of_the_model(ds):
    one_step = replace(COST_ALONE, training=replace(SHORT, steps=1, steps_per_epoch=1))
    units = ds.obs.fourdvar.fit(one_step).parameters.settings["units"]
    mean, spread = (np.array(units[name]).reshape(3)[1] for name in ("mean", "spread"))
    climate = xv.datasets.lorenz63(200, seed=5).truth.sel(component="y")
    assert abs(mean - float(climate.mean())) < 1.0
    assert abs(spread - float(climate.std())) < 0.5


@pytest.mark.slow
def test_the_cost_alone_teaches_what_was_never_seen(ds, caplog):
    """No truth, no hidden observation: the second component from the model's consistency."""
    model = ds.obs.fourdvar.fit(replace(COST_ALONE, training=replace(SHORT, steps=400)))
    assert "there is never an observation" not in caplog.text
    test = lorenz63(seed=1)
    maps = test.obs.fourdvar.reconstruct(model)
    errors = ((maps - test.truth) ** 2).mean(("window", "time"))
    assert (errors / test.truth.var(("window", "time")) < 0.1).all()


def test_the_cost_alone_hides_nothing_and_is_what_validates(ds, monkeypatch):
    shown = []
    sample = PatchSampler.sample

    def recorded(self, *args):
        shown.append(sample(self, *args))
        return shown[-1]

    monkeypatch.setattr(PatchSampler, "sample", recorded)
    short = replace(COST_ALONE, training=replace(SHORT, steps=4, steps_per_epoch=2))
    history = ds.obs.fourdvar.fit(short).history
    counts = {int(n) for one in shown for n in np.isfinite(one.patches.y).sum((1, 2, 3, 4))}
    assert counts == {int(ds.obs[0].notnull().sum())}
    assert all(np.isnan(one.target).all() for one in shown)
    assert "background_loss" not in history.attrs
    assert np.isfinite(history.validation_loss).all()


@pytest.mark.parametrize("solver", ["unet", "recurrent"])
def test_direct_networks_of_series(ds, solver):
    direct = replace(SERIES, prior=None, solver=solver, steps=1, training=replace(SHORT, steps=150))
    model = ds.obs.fourdvar.fit(direct, ds.truth)
    test = lorenz63(seed=1)
    maps = test.obs.fourdvar.reconstruct(model)
    assert float(((maps - test.truth) ** 2).mean() / test.truth.var()) < 0.2


def test_the_numbers_of_a_model_are_learned_where_asked(ds):
    """From others that are wrong, of states that are known."""
    quick = replace(
        SERIES,
        prior=xv.Lorenz63(rho=26.0, beta=2.9, learned=True),
        solver="fixed_point",
        error_variance=1e-6,
        loss={"supervised": 0.0, "regularisation": 1.0},
        training=replace(SHORT, steps=20, steps_per_epoch=10),
    )
    arrays = ds.truth.fourdvar.fit(quick, ds.truth).arrays
    found = {
        n: float(arrays[f"cost.terms.1.prior.step.tendency.{n}"]) for n in ("sigma", "rho", "beta")
    }
    assert found == pytest.approx({"sigma": 10.0, "rho": 28.0, "beta": 8 / 3}, abs=0.1)
    short = replace(SHORT, steps=2, steps_per_epoch=2)
    fixed = ds.truth.fourdvar.fit(
        replace(quick, prior=xv.Lorenz63(rho=26.0), training=short), ds.truth
    )
    assert float(fixed.arrays["cost.terms.1.prior.step.tendency.rho"]) == 26.0


def test_the_unobserved_truth_is_not_looked_at(ds, model):
    """Numbers under the gaps change nothing, to the bit; nor does what else is in the batch."""
    test = lorenz63(20, seed=1)
    settings = model.parameters.settings
    network = FourDVarNetwork(Architecture(**settings["architecture"]), model.method.prior).eval()
    network.load_state_dict({k: torch.as_tensor(v) for k, v in model.arrays.items()})
    order = ("window", "time", "component")
    y, truth = (a.transpose(*order).values[:, None, :, None] for a in (test.obs, test.truth))
    batch = Units(**settings["units"]).batch(Patches(y, {}), torch.device("cpu"))
    noise = 100 * np.random.default_rng(0).normal(size=truth.shape)
    found = []
    for hidden in (truth, noise):
        under = torch.where(batch.weight > 0, batch.y, torch.from_numpy(hidden).float())
        found.append(network(under, batch.weight, batch.context)[0].detach())
    assert torch.equal(*found)
    maps = test.obs.fourdvar.reconstruct(model)
    alone = test.obs.isel(window=[7]).fourdvar.reconstruct(model)
    xr.testing.assert_allclose(alone, maps.isel(window=[7]), rtol=1e-5, atol=1e-4)
