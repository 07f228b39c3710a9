"""Conjugate gradients against dense linear algebra."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.solvers.conjugate_gradient import conjugate_gradient


@pytest.fixture
def systems():
    """Matrices of four samples, the last of which is easy, and right sides."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(4, 8, 8, generator=generator, dtype=torch.float64)
    matrix = root @ root.mT + 0.1 * torch.eye(8)
    matrix[3] = torch.eye(8)
    return matrix, torch.randn(4, 8, generator=generator, dtype=torch.float64)


def times(matrix):
    return lambda x: (matrix @ x[..., None])[..., 0]


def test_it_solves_what_dense_algebra_solves(systems):
    matrix, right = systems
    found = conjugate_gradient(times(matrix), right, 1e-12, 100)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, right))


def test_each_sample_stops_by_itself(systems):
    matrix, right = systems
    for iterations in (3, 100):
        together = conjugate_gradient(times(matrix), right, 1e-2, iterations)
        for n in range(4):
            alone = conjugate_gradient(times(matrix[n : n + 1]), right[n : n + 1], 1e-2, iterations)
            torch.testing.assert_close(together[n], alone[0], rtol=1e-10, atol=1e-12)
    left = (right - times(matrix)(together)).norm(dim=1)
    assert (left <= 1e-2 * right.norm(dim=1)).all()


def test_nothing_is_the_solution_of_nothing(systems):
    matrix, right = systems
    right[1] = 0
    found = conjugate_gradient(times(matrix), right, 1e-8, 50)
    assert (found[1] == 0).all()
    assert torch.isfinite(found).all()
