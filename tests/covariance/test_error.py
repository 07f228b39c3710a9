"""The analysis error field against the dense formula."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.covariance import Prior, Separable, Spherical, Sum, analyse, analysis_error, error
from xr4dvar.errors import InputError

TWO_SCALES = Sum((Separable((8.0, 14.0, 14.0)), Separable((4.0, 7.0, 7.0), variance=0.3)))


def dense(covariance, axes, observed, own):
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    seen = observed.flatten()
    cross = covariance.between(points, points[seen])
    system = cross[seen] + torch.diag(own.expand(observed.shape).flatten()[seen])
    lost = (cross * torch.linalg.solve(system, cross.T).T).sum(1)
    return (covariance.variance - lost).reshape(observed.shape)


def grid(*shape):
    return tuple(torch.arange(n, dtype=torch.float64) for n in shape)


def tracks(shape):
    """Straight tracks, another one every day, and a day without."""
    observed = torch.zeros(shape, dtype=torch.bool)
    for day in range(shape[0]):
        for row in range(shape[1]):
            observed[day, row, (row // 2 + 11 * day) % shape[2]] = True
    observed[shape[0] // 2] = False
    return observed


FEW = [
    TWO_SCALES,
    Separable((3.0, 2.0, 2.0), "matern12", 2.0),
    Spherical((3.0, 200.0), "matern32"),
    Separable((3.0, 2.0, 2.0), periods=(None, None, 8.0)),
]


@pytest.mark.parametrize("model", FEW)
def test_few_observations_are_exact(model):
    axes, shape = grid(5, 6, 8), (5, 6, 8)
    observed = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.3
    spread = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    own = 0.05 + spread
    expected = dense(model, axes, observed, own)
    result = analysis_error(observed, own, Prior(model, axes))
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-9)


def scene(name, shape):
    observed = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.3
    return {"cells": observed, "tracks": tracks(shape), "swath": observed.new_ones(shape)}[name] & (
        torch.arange(shape[2]) < 0.8 * shape[2]
    )


MANY = {
    "gaussian": Separable((4.0, 6.0, 7.0)),
    "two scales": Sum((Separable((6.0, 9.0, 9.0), variance=1.5), Separable((3.0, 5.0, 5.0)))),
    "matern52": Separable((4.0, 6.0, 6.0), "matern52"),
    "matern32": Separable((4.0, 6.0, 6.0), "matern32"),
    "matern12": Separable((4.0, 6.0, 6.0), "matern12"),
    "sphere": Spherical((4.0, 600.0)),
}


@pytest.mark.parametrize("ratio", [1.0, 1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("where", ["cells", "tracks", "swath"])
@pytest.mark.parametrize("name", MANY)
def test_many_observations_are_within_two_percent_of_the_prior(name, where, ratio, monkeypatch):
    """The dense formula, whatever the field, the pattern and the precision: never above a bound."""
    monkeypatch.setattr(error, "FACTORISED", 0)
    model, shape = MANY[name], (6, 16, 18)
    axes, observed = grid(*shape), scene(where, shape)
    own = torch.tensor(ratio * model.variance, dtype=torch.float64)
    expected = dense(model, axes, observed, own).clamp(min=0.0).sqrt()
    found = analysis_error(observed, own, Prior(model, axes)).sqrt()
    prior = model.variance**0.5
    assert float((found - expected).abs().max()) < 0.02 * prior
    assert float(found.max()) <= prior
    assert bool((found[observed] <= float(own) ** 0.5 + 1e-12).all())


@pytest.mark.parametrize(
    ("family", "ratio"),
    [("matern12", 1e-1), ("gaussian", 1e-2), ("gaussian", 1e-6), ("matern52", 1e-6)],
)
def test_cells_of_two_spacings(family, ratio, monkeypatch):
    """Dense observations on one side must not hide those on the other."""
    monkeypatch.setattr(error, "FACTORISED", 0)
    steps = torch.where(torch.arange(29) < 15, 0.54, 0.06).to(torch.float64)
    line = torch.cat((torch.zeros(1, dtype=torch.float64), steps.cumsum(0)))
    axes = torch.arange(6, dtype=torch.float64), line, line
    model = Separable((3.0, 1.0, 1.2), family)
    shape = (6, 30, 30)
    observed = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.45
    expected = dense(model, axes, observed, torch.tensor(ratio, dtype=torch.float64))
    found = analysis_error(observed, ratio, Prior(model, axes))
    assert float((found.sqrt() - expected.clamp(min=0.0).sqrt()).abs().max()) < 0.02


@pytest.mark.parametrize("more", [True, False])
def test_dense_observations_whose_modes_are_too_many(more, monkeypatch):
    """Swaths with a gap between, by the nearest observations: 300 of one swath hide the other."""
    monkeypatch.setattr(error, "FACTORISED", 0)
    monkeypatch.setattr(error, "MOST_MODES", 1)
    if not more:
        monkeypatch.setattr(error, "NEAREST_MORE", error.NEAREST)
    shape, model = (5, 20, 30), Separable((8.0, 9.0, 9.0))
    axes, observed = grid(*shape), torch.ones(shape, dtype=torch.bool)
    observed[:, :, 11:19] = False
    expected = dense(model, axes, observed, torch.tensor(0.02, dtype=torch.float64))
    found = analysis_error(observed, 0.02, Prior(model, axes))
    off = float((found.sqrt() - expected.clamp(min=0.0).sqrt()).abs().max())
    assert (off < 0.02) is more


def test_parts_of_a_large_window_fit_together(monkeypatch):
    monkeypatch.setattr(error, "FACTORISED", 0)
    monkeypatch.setattr(error, "MOST_MODES", 350)
    monkeypatch.setattr(error, "_reach", lambda *a: 0.0)
    axes, shape = grid(4, 60, 20), (4, 60, 20)
    model = Separable((4.0, 4.0, 5.0))
    observed = tracks(shape)
    expected = dense(model, axes, observed, torch.tensor(0.1).double()).sqrt()
    calls = []
    whole = error.error_of_modes
    monkeypatch.setattr(error, "error_of_modes", lambda *a: calls.append(1) or whole(*a))
    found = analysis_error(observed, 0.1, Prior(model, axes)).sqrt()
    assert len(calls) > 1
    assert float((found - expected).abs().max()) < 0.02


def test_agrees_with_the_scatter_of_analyses():
    """Draw truths from the prior, observe and analyse them: the error has the variance said."""
    axes, shape = grid(5, 6, 7), (5, 6, 7)
    model = Separable((3.0, 2.0, 2.0))
    generator = torch.Generator().manual_seed(0)
    observed = torch.rand(shape, generator=generator) < 0.3
    root = model.root(axes)
    truth = root.apply(torch.randn(3000, len(root.spectrum), generator=generator))
    noise = 0.3 * torch.randn(truth.shape, generator=generator)
    prior = Prior(model, axes)
    wrong = truth - analyse(truth + noise, observed, prior, 0.09).increment
    ratio = wrong.square().mean(0) / analysis_error(observed, 0.09, prior)
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.02)
    assert float((ratio - 1).abs().max()) < 0.15


def test_limits():
    axes = grid(1, 1, 60)
    observed = torch.zeros(1, 1, 60, dtype=torch.bool)
    prior = Prior(Separable((1.0, 1.0, 4.0), variance=2.0), axes)
    assert analysis_error(observed, 0.1, prior).unique().tolist() == pytest.approx([2.0])
    observed[0, 0, 3] = True
    variance = analysis_error(observed, 1e-8, prior)
    assert float(variance[0, 0, 3]) < 1e-7
    assert float(variance[0, 0, -1]) == pytest.approx(2.0)


def test_error_variances_must_be_positive_where_observed():
    observed = torch.tensor([[[True, False]]])
    own = torch.tensor([[[0.1, -1.0]]])
    prior = Prior(Separable((1.0, 1.0, 1.0)), grid(1, 1, 2))
    analysis_error(observed, own, prior)
    with pytest.raises(InputError, match="error variance"):
        analysis_error(~observed, own, prior)


@pytest.mark.parametrize("ratio", [1.0, 1e-1, 2e-2])
@pytest.mark.parametrize("where", ["cells", "tracks"])
def test_some_cells_are_enough_for_noisy_observations_of_smooth_fields(where, ratio):
    model, shape = MANY["two scales"].scaled(1 / MANY["two scales"].variance), (9, 24, 26)
    axes, observed = grid(*shape), scene(where, shape)
    own = torch.tensor(ratio, dtype=torch.float64)
    expected = dense(model, axes, observed, own).clamp(min=0.0).sqrt()
    everywhere = torch.where(observed, own, torch.inf)
    found = error._by_nearest(everywhere, Prior(model, axes), dense=False).sqrt()
    assert float((found - expected).abs().max()) < 0.02
