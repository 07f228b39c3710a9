"""Covariances of components: whitening undoes colouring, and the matrix is the one given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.errors import InputError

FULL = np.array([[4.0, 1.0, 0.5], [1.0, 2.0, 0.0], [0.5, 0.0, 1.0]])
VALUES = {"number": 2.0, "variances": [4.0, 2.0, 1.0], "matrix": FULL}


def as_matrix(value):
    value = np.asarray(value)
    return value if value.ndim == 2 else np.diag(np.broadcast_to(value, 3))


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_it_is_the_matrix_that_was_given(value):
    covariance = CovarianceMatrix(value, 3)
    expected = torch.from_numpy(as_matrix(value)).double()
    torch.testing.assert_close(covariance.matrix(), expected)
    torch.testing.assert_close(covariance.precision(), torch.linalg.inv(expected))


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_white_components_have_unit_covariance(value):
    covariance = CovarianceMatrix(value, 3)
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    white = covariance.whiten(x)
    # |L^-1 x|^2 is the distance in units of the covariance
    distance = torch.einsum("...i,ij,...j", x, covariance.precision(), x)
    torch.testing.assert_close((white**2).sum(-1), distance)


def test_single_precision_stays():
    assert CovarianceMatrix(FULL, 3).whiten(torch.ones(2, 3)).dtype == torch.float32


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, 2.0], r"Q has shape \(2,\), the state has 3 components; fix: give one number, 3"),
        (np.eye(2), r"Q has shape \(2, 2\), the state has 3"),
        (0.0, "Q is 0; fix: give positive"),
        ([1.0, -2.0, 1.0], "Q is -2"),
        (float("nan"), "Q is not finite"),
        (FULL + np.triu(np.ones((3, 3)), 1), "Q is not symmetric"),
        (np.ones((3, 3)), "Q is not positive definite"),
    ],
)
def test_what_is_no_covariance_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        CovarianceMatrix(value, 3, "Q")


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_solve_is_the_product_with_the_precision(value):
    covariance = CovarianceMatrix(value, 3)
    columns = torch.randn(4, 3, 2, dtype=torch.float64)
    torch.testing.assert_close(covariance.matrix() @ covariance.solve(columns), columns)
