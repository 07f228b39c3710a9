"""Merging of close observations: only where their mean says as much as they do."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.covariance import Separable, Spherical, Sum, analyse_points, merge_points

TWO = Sum((Separable((3.0, 1.0, 1.0)), Separable((1.0, 0.3, 0.3), variance=0.5)))


def scattered(n, seed, extent=10.0):
    generator = torch.Generator().manual_seed(seed)
    return extent * torch.rand(n, 3, generator=generator, dtype=torch.float64)


def test_observations_of_one_place_merge_to_their_weighted_mean():
    points = scattered(40, 0).repeat(3, 1)
    innovation, error = scattered(120, 1)[:, 0], 0.1 + scattered(120, 2)[:, 1]
    merged = merge_points(points, innovation, error, TWO)
    assert len(merged[0]) == 40
    targets = scattered(30, 3)
    apart = analyse_points(points, innovation, error, targets, TWO)
    together = analyse_points(*merged, targets, TWO)
    torch.testing.assert_close(together.increment, apart.increment, rtol=0, atol=1e-8)
    torch.testing.assert_close(together.error_variance, apart.error_variance, rtol=0, atol=1e-8)


@pytest.mark.parametrize("family", ["gaussian", "matern12", "matern32", "matern52"])
@pytest.mark.parametrize("ratio", [1.0, 1e-2, 1e-4, 1e-6])
def test_what_merging_changes_is_small_beside_the_error_of_the_map(family, ratio):
    model = Separable((10.0, 10.0, 10.0), family)
    points, targets = scattered(600, 0), scattered(100, 1)
    error = torch.full((600,), ratio, dtype=torch.float64)
    system = model.between(points, points) + torch.diag(error)
    draw = torch.randn(600, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = torch.linalg.cholesky(system) @ draw
    merged = merge_points(points, values, error, model)
    apart = analyse_points(points, values, error, targets, model)
    together = analyse_points(*merged, targets, model)
    deviation = apart.error_variance.sqrt()
    relative = (together.increment - apart.increment).abs() / deviation
    assert float(relative.square().mean().sqrt()) < 0.1
    if ratio == 1.0 and family == "gaussian":
        assert len(merged[0]) < 600
    if ratio < 1e-3 and family == "matern12":
        assert len(merged[0]) == 600


@pytest.mark.parametrize(
    "model",
    [Separable((1.0, 9.0, 9.0), periods=(None, None, 360.0)), Spherical((1.0, 900.0))],
)
def test_observations_on_two_sides_of_a_seam_have_their_mean_there(model):
    """Many values at 179.9 and -179.9: their mean place is 180, not the other side."""
    points = torch.zeros(600, 3, dtype=torch.float64)
    points[:, 2] = torch.tensor([179.9, -179.9]).double().repeat(300)
    values, error = torch.ones(600).double(), torch.full((600,), 1e3).double()
    places, merged, _ = merge_points(points, values, error, model)
    assert len(places) <= 2
    assert bool(((places[:, 2].abs() - 180.0).abs() < 0.2).all())
    torch.testing.assert_close(merged, torch.ones_like(merged))
