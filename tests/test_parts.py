"""Parts of a third party, and parts of ours where a word would do: through the verbs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import xr4dvar as xv
from xr4dvar.priors import ModulePrior
from xr4dvar.registry import register
from xr4dvar.solvers import LBFGS, Adam, GradientDescent, PlugAndPlay, State

SHORT = xv.Training(steps=4, steps_per_epoch=2, batch_size=2)


@register
@dataclass(frozen=True)
class HeavyBallOfTests:
    """Gradient descent with momentum."""

    step_size: float
    momentum: float = 0.9

    def init(self, cost, batch, x=None):
        x = torch.zeros_like(batch.y) if x is None else x
        return State(x, memory=torch.zeros_like(x))

    def step(self, cost, batch, state, *, differentiable=False):
        _, gradient = cost.value_and_gradient(state.x, batch, differentiable=differentiable)
        v = self.momentum * state.memory - self.step_size * gradient
        return State(state.x + v, state.step + 1, v)


class Smoothed(nn.Module):
    """The mean of a time and its neighbours, times a number that may be learned."""

    def __init__(self, learned):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()), requires_grad=learned)

    def forward(self, x, context=None):
        return self.factor * (x + x.roll(1, 2) + x.roll(-1, 2)) / 3


@register
@dataclass(frozen=True)
class SmoothedOfTests:
    learned: bool = False

    def module(self, shape, context, layout):
        return Smoothed(self.learned)


@pytest.fixture(scope="module")
def ds():
    return xv.datasets.lorenz63(windows=12, steps=32, observed=("x", "z"), first=2, last=30)


def again(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    return xv.load(tmp_path / "model.safetensors")


def test_a_solver_of_ones_own_comes_to_the_same_minimum(ds, tmp_path):
    usual = xv.Variational(xv.EOFs(4), 2.0, model_error_variance=4.0)
    own = xv.Variational(
        xv.EOFs(4), 2.0, model_error_variance=4.0, solver=HeavyBallOfTests(0.005), steps=1500
    )
    models = [ds.obs.fourdvar.fit(method, ds.truth) for method in (usual, own)]
    maps = [ds.obs.fourdvar.reconstruct(model) for model in models]
    # L-BFGS stops when a step gains less than 1e-8 of the cost
    np.testing.assert_allclose(maps[1], maps[0], atol=3e-3)
    loaded = again(models[1], tmp_path)
    assert loaded.method == own
    np.testing.assert_array_equal(ds.obs.fourdvar.reconstruct(loaded), maps[1])


def test_settings_of_a_solver_are_used(ds):
    """One pair of L-BFGS is another way than ten; both come to the minimum."""
    usual = xv.Variational(xv.EOFs(4), 2.0, model_error_variance=4.0)
    other = xv.Variational(xv.EOFs(4), 2.0, model_error_variance=4.0, solver=LBFGS(history=1))
    model = ds.obs.fourdvar.fit(usual, ds.truth)
    curves = [
        ds.obs.fourdvar.cost_curve(ds.obs.fourdvar.fit(method, ds.truth)).cost
        for method in (usual, other)
    ]
    assert not curves[0].isel(step=4).equals(curves[1].isel(step=4))
    ends = [curve.isel(step=-1) for curve in curves]
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-5)
    assert model.method.solver_part == LBFGS()


@pytest.mark.parametrize("learned", [False, True])
def test_a_prior_of_ones_own_is_known_or_learned(ds, learned, tmp_path):
    """Phi of a straight line is the line, so that the known one fits; the factor is learned."""
    assert isinstance(SmoothedOfTests(), ModulePrior)
    method = xv.Variational(SmoothedOfTests(learned), 0.1)
    model = ds.obs.fourdvar.fit(method, ds.truth)
    weights = [name for name in model.arrays if name.startswith("prior/")]
    assert weights == (["prior/factor"] if learned else [])
    assert (model.history is not None) == learned
    maps = ds.obs.fourdvar.reconstruct(again(model, tmp_path))
    error = np.sqrt(((maps - ds.truth) ** 2).sel(component="x").mean())
    assert float(error) < 0.5 * float(ds.truth.sel(component="x").std())


PRIORS = [
    "bilinear", "two_scale", "unet", None, xv.AutoEncoder(3, width=4), xv.GibbsField(width=4),
    SmoothedOfTests(learned=True), xv.Lorenz63(dt=0.01),
]  # fmt: skip
SOLVERS = [
    "unet", "lstm", "recurrent", "gradient", "fixed_point", GradientDescent(momentum=0.5),
    HeavyBallOfTests(0.05),
]  # fmt: skip


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_any_prior_goes_with_any_solver(ds, prior, solver, tmp_path):
    if prior is None and solver not in ("unet", "lstm", "recurrent"):
        pytest.skip("without a prior the cost alone says nothing where nothing was observed")
    method = xv.FourDVarNet(
        background=None, prior=prior, solver=solver, steps=2, widths=(6,), depth=1, prior_width=4,
        coarsen=4, training=SHORT,
    )  # fmt: skip
    model = ds.obs.fourdvar.fit(method, ds.truth)
    maps = ds.obs.fourdvar.reconstruct(model)
    assert bool(np.isfinite(maps).all())
    loaded = again(model, tmp_path)
    assert loaded.method == method
    np.testing.assert_array_equal(ds.obs.fourdvar.reconstruct(loaded), maps)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (xv.FourDVarNet(solver=LBFGS()), "LBFGS cannot be differentiated through"),
        (xv.FourDVarNet(solver=PlugAndPlay()), "PlugAndPlay needs a Denoiser"),
        (xv.FourDVarNet(solver=LBFGS), "solver is <class"),
        (xv.FourDVarNet(prior=xv.EOFs()), r"prior is EOFs\(modes=10\)"),
        (
            xv.FourDVarNet(solver=GradientDescent(0.1), shared=False),
            "shared is False, and GradientDescent is one for all steps",
        ),
        (xv.Variational(xv.EOFs(), 1.0, solver=LBFGS), "solver is <class"),
        (xv.Variational(xv.EOFs(), 1.0, solver=3), "solver is 3; fix: give a solver"),
        (xv.Variational(SmoothedOfTests, 1.0), "prior is <class"),
        (
            xv.Variational(xv.EOFs(), 1.0, solver=PlugAndPlay()),
            "'PlugAndPlay' and the prior EOFs do not go together",
        ),
        (
            xv.Variational(xv.EOFs(), 1.0, solver=GradientDescent(), control="latent"),
            "'GradientDescent' is one of states",
        ),
        (
            xv.Variational(SmoothedOfTests(), 1.0, control="latent"),
            "SmoothedOfTests has no code to control",
        ),
    ],
)
def test_parts_that_do_not_go_together_are_refused(ds, method, message):
    with pytest.raises(xv.InputError, match=message):
        ds.obs.fourdvar.fit(method, ds.truth)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LBFGS(history=0), "history is 0"),
        (lambda: Adam(-1.0), "step_size is -1"),
        (lambda: GradientDescent(momentum=1.5), r"momentum is 1\.5"),
    ],
)
def test_settings_of_a_part_are_checked_when_it_is_made(make, message):
    with pytest.raises(xv.InputError, match=message):
        make()
