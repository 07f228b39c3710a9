"""Local solves at points: equal to the dense solve with all neighbours, near it with some."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.covariance import (
    FAMILIES,
    Prior,
    Separable,
    Spherical,
    Sum,
    analyse,
    analyse_points,
)
from xr4dvar.covariance.local import nearest_groups
from xr4dvar.errors import InputError

MODELS = {
    "gaussian": Separable((3.0, 1.0, 1.0)),
    "matern": Separable((3.0, 1.0, 1.0), "matern32", 2.0),
    "periodic": Separable((3.0, 1.0, 1.0), "matern52", periods=(None, None, 10.0)),
    "sphere": Spherical((3.0, 150.0), "matern12"),
    "sum": Sum((Separable((3.0, 1.0, 1.0)), Separable((1.0, 0.3, 0.3), variance=0.5))),
}


def scattered(n, seed, extent=10.0):
    generator = torch.Generator().manual_seed(seed)
    return extent * torch.rand(n, 3, generator=generator, dtype=torch.float64)


def dense(covariance, points, innovation, error, targets):
    system = covariance.between(points, points) + torch.diag(error)
    cross = covariance.between(targets, points)
    increment = cross @ torch.linalg.solve(system, innovation)
    lost = (cross * torch.linalg.solve(system, cross.T).T).sum(1)
    return increment, covariance.variance - lost


@pytest.mark.parametrize("name", MODELS)
def test_is_the_exact_solve(name):
    points, targets = scattered(450, 0), scattered(40, 1)
    innovation, error = points.sin().sum(1), 0.01 + points[:, 0] / 100
    expected = dense(MODELS[name], points, innovation, error, targets)
    result = analyse_points(points, innovation, error, targets, MODELS[name])
    torch.testing.assert_close(result.increment, expected[0], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(result.error_variance, expected[1], rtol=1e-8, atol=1e-8)
    alone = analyse_points(points, innovation, error, targets, MODELS[name], error=False)
    assert alone.error_variance is None
    assert torch.equal(alone.increment, result.increment)


@pytest.mark.parametrize("ratio", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("family", FAMILIES)
def test_many_observations_are_within_the_bounds_that_the_docs_state(family, ratio):
    """A field drawn from the prior: rms 0.1, and at most 0.5 of its error or 1 % of the prior."""
    model = Separable((3.0, 1.5, 1.5), family)
    points, targets = scattered(1500, 0), scattered(200, 1)
    system = model.between(points, points)
    system.diagonal().add_(ratio)
    generator = torch.Generator().manual_seed(2)
    draw = torch.randn(len(points), generator=generator, dtype=torch.float64)
    values = torch.linalg.cholesky(system) @ draw
    error = torch.full_like(values, ratio)
    expected, variance = dense(model, points, values, error, targets)
    deviation = variance.clamp(min=0.0).sqrt()
    result = analyse_points(points, values, ratio, targets, model, exact=500, nearest=400)
    difference = (result.increment - expected).abs()
    assert bool((difference <= 0.5 * deviation + 0.01).all())
    assert float((difference / deviation.clamp(min=0.03)).square().mean().sqrt()) < 0.15
    found = result.error_variance.sqrt()
    assert float((found - deviation).abs().max()) < 0.02


def test_boxes_of_targets_use_the_observations_nearest_to_their_middle():
    points, targets = scattered(400, 0), scattered(300, 1)
    model = MODELS["gaussian"]
    seen = []
    for some, near in nearest_groups(points, targets, model, 50):
        seen += some.tolist()
        places = model.embed(targets[some])
        middle = (places.amin(0) + places.amax(0)) / 2
        distance = (model.embed(points) - middle).norm(dim=1)
        assert set(near.tolist()) == set(distance.argsort()[:50].tolist())
        half = float((places.amax(0) - places.amin(0)).norm()) / 2
        assert half <= max(0.6, float(distance.sort().values[49]) - 2.0) + 1e-9
    assert sorted(seen) == list(range(300))


def test_equals_the_gridded_solve():
    axes = tuple(torch.arange(n, dtype=torch.float64) for n in (4, 5, 6))
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    observed = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(0)) < 0.3
    innovation = places.sum(-1).sin()
    model = MODELS["sum"]
    gridded = analyse(innovation, observed, Prior(model, axes), 0.1).increment
    local = analyse_points(
        places[observed], innovation[observed], 0.1, places.reshape(-1, 3), model
    )
    torch.testing.assert_close(local.increment, gridded.flatten(), rtol=0, atol=1e-8)


def test_limits_of_precise_and_distant_observations():
    points = torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    values = torch.tensor([1.0, -1.0, -1.0])  # one observation twice: no factor without jitter
    far = torch.tensor([[0.0, 90.0, 0.0]])
    result = analyse_points(points, values, 0.0, torch.cat((points, far)), MODELS["gaussian"])
    expected = torch.tensor([1.0, -1.0, -1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(result.increment, expected, rtol=0, atol=1e-9)
    expected = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(result.error_variance, expected, rtol=0, atol=1e-9)


def test_without_observations_the_prior_stays():
    result = analyse_points(
        torch.zeros(0, 3), torch.zeros(0), 0.1, torch.zeros(2, 3), MODELS["matern"]
    )
    assert result.increment.tolist() == [0.0, 0.0]
    assert result.error_variance.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    "model", [Separable((1.0, 1.0, 2.0), periods=(None, None, 360.0)), Spherical((1.0, 200))]
)
def test_neighbours_are_found_across_the_seam(model):
    points = torch.tensor([[0.0, 0.0, 359.5], [0.0, 0.0, 4.0]])
    result = analyse_points(
        points, torch.tensor([1.0, 9.0]), 1e-9, torch.tensor([[0.0, 0.0, 0.5]]), model,
        exact=1, nearest=1,
    )  # fmt: skip
    expected = float(model.between(points[:1], torch.tensor([[0.0, 0.0, 0.5]])))
    assert expected > 0.6
    assert float(result.increment) == pytest.approx(expected, rel=1e-5)


def test_bad_points_are_refused_with_every_problem():
    points = torch.zeros(3, 3)
    with pytest.raises(InputError, match="3 problems"):
        analyse_points(
            points, torch.tensor([1.0, torch.nan, 0.0]), -1.0, torch.zeros(2, 2), MODELS["matern"]
        )
