"""Block elimination against dense linear algebra."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.solvers.block_tridiagonal import inverse, log_determinant, marginals, solve


def system(times, n, samples=3):
    """Blocks of a matrix that is positive definite, and the whole of it."""
    generator = torch.Generator().manual_seed(times * 100 + n)
    full = torch.zeros(samples, times * n, times * n, dtype=torch.float64)
    for t in range(times):
        own = slice(t * n, (t + 1) * n)
        full[:, own, own] += torch.eye(n, dtype=torch.float64)
        if t:
            # |x_t - J x_{t-1}|^2, as of a model
            pair = slice((t - 1) * n, (t + 1) * n)
            j = torch.randn(samples, n, n, generator=generator, dtype=torch.float64)
            eye = torch.eye(n, dtype=torch.float64).expand(samples, n, n)
            rows = torch.cat([-j, eye], 2)
            full[:, pair, pair] += rows.mT @ rows
    blocks = full.reshape(samples, times, n, times, n)
    diagonal = torch.stack([blocks[:, t, :, t] for t in range(times)], 1)
    below = [blocks[:, t + 1, :, t] for t in range(times - 1)]
    empty = full.new_zeros(samples, 0, n, n)
    return diagonal, torch.stack(below, 1) if below else empty, full


@pytest.mark.parametrize("times", [1, 2, 7])
@pytest.mark.parametrize("n", [1, 3, 9])
def test_it_solves_what_dense_algebra_solves(times, n):
    diagonal, below, full = system(times, n)
    right = torch.randn(3, times, n, dtype=torch.float64)
    expected = torch.linalg.solve(full, right.flatten(1)).view_as(right)
    torch.testing.assert_close(solve(diagonal, below, right), expected)


@pytest.mark.parametrize("n", [1, 3, 9])
def test_marginals_are_blocks_of_the_inverse(n):
    diagonal, below, full = system(6, n)
    dense = torch.linalg.inv(full).reshape(3, 6, n, 6, n)
    expected = torch.stack([dense[:, t, :, t] for t in range(6)], 1)
    torch.testing.assert_close(marginals(diagonal, below), expected)


def test_the_log_determinant_is_that_of_the_whole_matrix():
    diagonal, below, full = system(6, 3)
    torch.testing.assert_close(log_determinant(diagonal, below), torch.linalg.slogdet(full)[1])
    diagonal[1, 2] -= 100 * torch.eye(3, dtype=torch.float64)
    assert log_determinant(diagonal, below).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("n", [2, 9])
def test_a_matrix_that_is_not_positive_definite_gives_nan_in_its_sample_alone(n):
    matrix = torch.eye(n, dtype=torch.float64).repeat(2, 1, 1)
    matrix[1, -1, -1] = -1.0
    found = inverse(matrix)
    assert torch.equal(found[0], torch.eye(n, dtype=torch.float64))
    assert found[1].isnan().any()
