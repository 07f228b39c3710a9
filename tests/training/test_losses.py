"""Training losses as parts: the words for them, and losses of one's own through the verbs."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.cost import Batch, Cost, ObservationTerm, PriorTerm, Variance
from xr4dvar.errors import InputError
from xr4dvar.registry import register
from xr4dvar.training.losses import Outcome


def random(seed):
    return torch.randn(2, 1, 3, 4, 5, generator=torch.Generator().manual_seed(seed))


def half(x, context=None):
    return 0.5 * x


class Half(torch.nn.Module):
    def forward(self, x, context=None):
        return 0.5 * x


def outcome(truth=True):
    analysis, target = random(0), random(1)
    prior = Half()
    cost = Cost([ObservationTerm(Variance(2.0)), PriorTerm(prior, Variance(4.0))])
    batch = Batch.from_gappy(random(2))
    return Outcome(analysis, target, analysis, target if truth else None, batch, cost, prior)


def mean(x):
    return x.flatten(1).mean(1)


def test_each_is_what_it_says():
    o = outcome()
    y, x, t = o.batch.y, o.analysis, o.target
    torch.testing.assert_close(xv.losses.Supervised()(o), mean((x - t) ** 2))
    torch.testing.assert_close(
        xv.losses.Regularisation()(o), mean((0.5 * x) ** 2) + mean((0.5 * t) ** 2)
    )
    torch.testing.assert_close(xv.losses.Regularisation()(outcome(False)), mean((0.5 * x) ** 2))
    expected = mean(0.5 * (y - x) ** 2 / 2.0 + 0.5 * (0.5 * x) ** 2 / 4.0)
    torch.testing.assert_close(xv.losses.VariationalCost()(o), expected)
    rows = ((x - t).diff(dim=-2) ** 2).flatten(1).mean(1)
    columns = ((x - t).diff(dim=-1) ** 2).flatten(1).mean(1)
    torch.testing.assert_close(xv.losses.Gradient()(o), rows + columns)


@register
@dataclass(frozen=True)
class MeanDeviation:
    """Mean of the errors without their signs."""

    weight: float = 1.0

    def __call__(self, outcome):
        return (outcome.analysis - outcome.target).abs().flatten(1).mean(1)


def maps_of(loss, tmp_path=None, steps=20):
    ds = xv.datasets.lorenz63(windows=12, steps=24, observed=("x", "z"), first=2, last=22)
    training = xv.Training(steps=steps, steps_per_epoch=steps // 2, batch_size=4)
    method = xv.FourDVarNet(
        background=None, widths=(8,), depth=1, prior_width=4, loss=loss, training=training
    )
    model = ds.obs.fourdvar.fit(method, ds.truth)
    if tmp_path:
        model.save(tmp_path / "model.safetensors")
        again = xv.load(tmp_path / "model.safetensors")
        assert again.method.losses == model.method.losses
        assert again.digest == model.digest
    return model, ds.obs.fourdvar.reconstruct(model)


def test_words_stand_for_parts():
    _, words = maps_of({"gradient": 0.5, "regularisation": 0.2})
    parts = [
        xv.losses.Supervised(), xv.losses.Gradient(0.5), xv.losses.Regularisation(0.2)
    ]  # fmt: skip
    model, found = maps_of(parts)
    xr.testing.assert_equal(found.drop_attrs(), words.drop_attrs())
    assert {"supervised", "gradient", "regularisation"} <= set(model.history)


def test_a_loss_of_ones_own_goes_through_the_verbs_and_files(tmp_path):
    model, maps = maps_of([MeanDeviation(2.0)], tmp_path, steps=300)
    assert "meandeviation" in model.history
    assert np.isfinite(maps).all()
    assert model.history.meandeviation[-1] < model.history.meandeviation[0]


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ([xv.losses.Supervised], "loss holds .* no training loss"),
        (["supervised"], "loss holds 'supervised', no training loss"),
        ([MeanDeviation(-1.0)], "the weight of MeanDeviation"),
        ([MeanDeviation(), MeanDeviation()], "loss holds 'meandeviation' more than once"),
        ([MeanDeviation(0.0)], "the weights of all losses are 0"),
        ({"meandeviation": 1.0}, "unknown losses"),
        ("supervised", "loss is 'supervised'"),
    ],
)
def test_what_is_no_loss_is_told(loss, words):
    obs = xr.DataArray(np.zeros((30, 4, 4)), dims=("time", "lat", "lon"), name="t")
    with pytest.raises(InputError, match=words):
        obs.fourdvar.fit(xv.FourDVarNet(loss=loss), obs)


def test_losses_of_a_prior_need_one():
    obs = xr.DataArray(np.zeros((30, 4, 4)), dims=("time", "lat", "lon"), name="t")
    for loss in ([xv.losses.Supervised(), xv.losses.Regularisation()], {"variational": 1.0}):
        with pytest.raises(InputError, match="is one of the prior"):
            obs.fourdvar.fit(xv.FourDVarNet(prior=None, loss=loss), obs)
