"""Local solves at points: equal to the dense solve with all neighbours, near it with some."""

from __future__ import annotations

import itertools

import pytest
import torch

from xr4dvar.covariance import Separable, Spherical, Sum, analyse, analyse_points, merge_points
from xr4dvar.errors import InputError

MODELS = {
    "gaussian": Separable((3.0, 1.0, 1.0)),
    "matern": Separable((3.0, 1.0, 1.0), "matern32", 2.0),
    "periodic": Separable((3.0, 1.0, 1.0), "matern52", period=10.0),
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
@pytest.mark.parametrize("neighbours", [150, 1000])
def test_all_neighbours_are_the_exact_solve(name, neighbours):
    points, targets = scattered(150, 0), scattered(40, 1)
    innovation, error = points.sin().sum(1), 0.01 + points[:, 0] / 100
    expected = dense(MODELS[name], points, innovation, error, targets)
    result = analyse_points(points, innovation, error, targets, MODELS[name], neighbours=neighbours)
    torch.testing.assert_close(result.increment, expected[0], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(result.error_variance, expected[1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_few_neighbours_are_each_an_exact_solve_of_theirs(name):
    points, targets = scattered(300, 0), scattered(30, 1)
    innovation = points.sin().sum(1)
    result = analyse_points(points, innovation, 0.05, targets, MODELS[name], neighbours=20)
    embedded, places = MODELS[name].embed(points), MODELS[name].embed(targets)
    for index in range(30):
        near = torch.cdist(places[index : index + 1], embedded)[0].argsort()[:20]
        expected, variance = dense(
            MODELS[name],
            points[near],
            innovation[near],
            torch.full((20,), 0.05, dtype=torch.float64),
            targets[index : index + 1],
        )
        assert float(result.increment[index]) == pytest.approx(float(expected), abs=1e-8)
        assert float(result.error_variance[index]) == pytest.approx(float(variance), abs=1e-8)


def test_more_neighbours_never_add_error():
    points, targets = scattered(400, 0), scattered(50, 1)
    ladder = [
        analyse_points(points, points[:, 0], 0.1, targets, MODELS["sum"], neighbours=k)
        for k in (10, 40, 160, 400)
    ]
    for few, many in itertools.pairwise(ladder):
        assert bool((many.error_variance <= few.error_variance + 1e-9).all())
    final = ladder[-1].increment
    assert (ladder[2].increment - final).abs().max() < (ladder[0].increment - final).abs().max()


def test_equals_the_gridded_solve():
    axes = tuple(torch.arange(n, dtype=torch.float64) for n in (4, 5, 6))
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    observed = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(0)) < 0.3
    innovation = places.sum(-1).sin()
    model = MODELS["sum"]
    root = model.root(axes, tolerance=1e-13, dtype=torch.float64)
    gridded = analyse(innovation, observed, root, 0.1, tolerance=1e-11).increment
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


@pytest.mark.parametrize("model", [Separable((1.0, 1.0, 2.0), period=360.0), Spherical((1.0, 200))])
def test_neighbours_are_found_across_the_seam(model):
    points = torch.tensor([[0.0, 0.0, 359.5], [0.0, 0.0, 4.0]])
    result = analyse_points(
        points, torch.tensor([1.0, 9.0]), 1e-9, torch.tensor([[0.0, 0.0, 0.5]]), model, neighbours=1
    )
    expected = float(model.between(points[:1], torch.tensor([[0.0, 0.0, 0.5]])))
    assert expected > 0.6
    assert float(result.increment) == pytest.approx(expected, rel=1e-5)


def test_bad_points_are_refused_with_every_problem():
    points = torch.zeros(3, 3)
    with pytest.raises(InputError, match="4 problems"):
        analyse_points(
            points,
            torch.tensor([1.0, torch.nan, 0.0]),
            -1.0,
            torch.zeros(2, 2),
            MODELS["matern"],
            neighbours=0,
        )


@pytest.mark.parametrize("name", ["gaussian", "sum", "periodic", "sphere"])
def test_targets_in_a_box_share_the_neighbours_of_its_middle(name):
    points, targets = scattered(400, 0), scattered(60, 1, extent=1.0)
    innovation = points.sin().sum(1)
    own = analyse_points(points, innovation, 0.05, targets, MODELS[name], neighbours=100)
    shared = analyse_points(
        points, innovation, 0.05, targets, MODELS[name], neighbours=100, block=0.5
    )
    difference = shared.increment - own.increment
    assert float(difference.abs().max()) > 0  # they do share
    assert float(difference.square().mean()) < 0.1 * float(own.error_variance.mean())
    tiny = analyse_points(
        points, innovation, 0.05, targets, MODELS[name], neighbours=100, block=1e-6
    )
    torch.testing.assert_close(tiny.increment, own.increment, rtol=0, atol=1e-9)


def test_merged_observations_say_the_same_as_apart():
    """Observations of one and the same place merge to their weighted mean: nothing is lost."""
    places = scattered(40, 0)
    points = places.repeat(3, 1)
    innovation = scattered(120, 1)[:, 0]
    error = 0.1 + scattered(120, 2)[:, 1]
    merged = merge_points(points, innovation, error, MODELS["sum"], 1e-3)
    assert len(merged[0]) == 40
    targets = scattered(30, 3)
    apart = analyse_points(points, innovation, error, targets, MODELS["sum"], neighbours=500)
    together = analyse_points(*merged, targets, MODELS["sum"], neighbours=500)
    torch.testing.assert_close(together.increment, apart.increment, rtol=0, atol=1e-8)
    torch.testing.assert_close(together.error_variance, apart.error_variance, rtol=0, atol=1e-8)


SEAM = [Separable((1.0, 9.0, 9.0), period=360.0), Spherical((1.0, 900.0))]


@pytest.mark.parametrize("model", SEAM)
def test_observations_on_two_sides_of_a_seam_keep_their_places(model):
    points = torch.zeros(3, 3, dtype=torch.float64)
    points[:, 2] = torch.tensor([0.125, 359.75, 180.0])
    places, _, _ = merge_points(points, points[:, 0], torch.ones(3).double(), model, 0.5)
    longitudes = sorted(places[:, 2].tolist())
    assert all(min(abs(n - known) for known in (0.125, 180.0, 359.75)) < 1e-9 for n in longitudes)
