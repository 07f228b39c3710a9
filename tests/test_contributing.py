"""The recipes of docs/contributing.md work as printed, through the verbs."""

import re
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import xr4dvar as xv
from xr4dvar.cost import BackgroundTerm, Batch, Cost, ObservationTerm, Variance
from xr4dvar.solvers import minimise

PAGE = Path(__file__).parents[1] / "docs" / "contributing.md"


@pytest.fixture(scope="module")
def recipes():
    """Names that the code of the page defines, run from top to bottom."""
    module = types.ModuleType("recipe")
    sys.modules["recipe"] = module  # where dataclasses look their annotations up
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M):
        exec(compile(code, str(PAGE), "exec", dont_inherit=True), vars(module))
    yield vars(module)
    del sys.modules["recipe"]


@pytest.fixture(scope="module")
def ds():
    return xv.datasets.lorenz63(windows=8, steps=24, observed=("x", "z"), first=2, last=22)


def test_the_solver_reaches_the_analysis(recipes):
    batch = Batch.from_gappy(torch.tensor([[[[[2.0, float("nan")]]]], [[[[-1.0, 4.0]]]]]))
    cost = Cost([ObservationTerm(Variance(1.0)), BackgroundTerm(Variance(3.0))])
    state = minimise(cost, recipes["HeavyBall"](step_size=0.1), batch, steps=400)
    # of independent cells: B / (B + R) of the innovation, and nothing where nothing was seen
    torch.testing.assert_close(state.x, 0.75 * batch.y)


def test_the_solver_goes_through_the_verbs(recipes, ds, tmp_path):
    method = recipes["method"]
    usual = xv.Variational(xv.EOFs(4), error_variance=2.0)
    maps = []
    for one in (usual, method):
        model = ds.obs.fourdvar.fit(one, ds.truth)
        model.save(tmp_path / "model.safetensors", overwrite=True)
        maps.append(ds.obs.fourdvar.reconstruct(xv.load(tmp_path / "model.safetensors")))
    assert float(abs(maps[1] - maps[0]).max()) < 0.1 * float(ds.truth.std())
    assert recipes["network"].solver == recipes["HeavyBall"](0.05)


def test_the_operator_goes_through_the_verbs(recipes, tmp_path):
    """Slopes of a field tell it but for a constant, which the prior says is 0."""
    truth = xv.datasets.gulfstream_twin().ssh.isel(time=slice(0, 40), lat=slice(0, 20))
    truth = truth.isel(lon=slice(0, 20)) - truth.isel(lon=slice(0, 20)).mean()
    obs = truth.diff("lon").reindex_like(truth)
    maps = obs.fourdvar.reconstruct(recipes["slopes"])
    assert float(abs(maps.diff("lon") - truth.diff("lon")).max()) < 0.03
    for method in (
        recipes["slopes"],
        xv.Variational(xv.EOFs(3), 1e-4, operator=recipes["Differences"](), patch={"time": 2}),
    ):
        model = obs.fourdvar.fit(method, truth, validation=0.3)
        model.save(tmp_path / "model.safetensors", overwrite=True)
        again = xv.load(tmp_path / "model.safetensors")
        assert again.method.operator == recipes["Differences"]()
        chunked = obs.chunk(lon=10).fourdvar.reconstruct(again)
        np.testing.assert_allclose(chunked, obs.fourdvar.reconstruct(model), atol=1e-6)


def test_the_loss_trains(recipes, ds):
    """The loss of the recipe is what training makes smaller."""
    method = replace(
        recipes["robust"], background=None, widths=(8,), depth=1, prior_width=4,
        training=xv.Training(steps=100, steps_per_epoch=50, batch_size=4),
    )  # fmt: skip
    history = ds.obs.fourdvar.fit(method, ds.truth).history
    assert history.absolute[-1] < history.absolute[0]


def test_the_prior_is_learned(recipes, ds):
    """The share that leaves least of all is 1."""
    long = xv.Training(steps=300, steps_per_epoch=50, batch_size=8, learning_rate=0.03)
    damping = recipes["Damping"]
    learned = type(damping())(0.5)
    object.__setattr__(learned, "training", long)
    model = ds.obs.fourdvar.fit(xv.Variational(learned, error_variance=2.0), ds.truth)
    assert float(model.arrays["prior/share"]) == pytest.approx(1.0, abs=0.05)


def test_the_method_gives_the_mean(recipes, ds, tmp_path):
    method = recipes["Climatology"]()
    model = xv.fit(ds.obs, method)
    maps = xv.reconstruct(ds.obs, model)
    expected = float(ds.obs.mean())
    np.testing.assert_allclose(maps, np.full(maps.shape, expected), rtol=1e-6)
    lazy = xv.reconstruct(ds.obs.chunk(time=7), model)
    np.testing.assert_array_equal(lazy, maps)
    model.save(tmp_path / "model.safetensors")
    assert xv.load(tmp_path / "model.safetensors").method == method
