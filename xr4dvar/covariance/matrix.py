"""Covariances of the components of a state: variances, or a matrix."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from xr4dvar.arguments import as_numbers
from xr4dvar.errors import InputError
from xr4dvar.types import Variances

__all__ = ["CovarianceMatrix"]


class CovarianceMatrix(nn.Module):
    """A covariance of n components: one variance for all, one each, or a full matrix.

    Parameters
    ----------
    value : float, sequence of float or array of shape (n, n)
        In the state's units squared.
    size : int
        Number of components n.
    name : str
        What errors call it, such as ``"model_error_variance"``.

    Raises
    ------
    InputError
        The shape does not fit, or the value is not positive (definite) and finite.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.covariance.matrix import CovarianceMatrix
    >>> CovarianceMatrix([4.0, 1.0], 2).whiten(torch.tensor([2.0, 2.0])).tolist()
    [1.0, 2.0]
    """

    root: Tensor

    def __init__(self, value: Variances, size: int, name: str = "covariance"):
        super().__init__()
        matrix = as_numbers(value)
        if matrix is None:
            what = f"{name} is {value!r}, no numbers"
            raise InputError([(what, "give a variance, or a sequence or matrix of them")])
        if matrix.ndim == 0:
            matrix = np.full(size, float(matrix))
        if matrix.shape not in ((size,), (size, size)):
            what = f"{name} has shape {matrix.shape}, the state has {size} components"
            raise InputError(
                [(what, f"give one number, {size} numbers or a {size} x {size} array")]
            )
        self.register_buffer("root", torch.from_numpy(_root(matrix, name)))

    @property
    def diagonal(self) -> bool:
        """Whether the components are independent."""
        return self.root.ndim == 1

    def matrix(self) -> Tensor:
        """The covariance as a matrix, shape (n, n)."""
        return torch.diag(self.root**2) if self.diagonal else self.root @ self.root.T

    def precision(self) -> Tensor:
        """The inverse of the covariance, shape (n, n)."""
        if self.diagonal:
            return torch.diag(self.root**-2)
        return torch.cholesky_inverse(self.root)

    def log_determinant(self) -> Tensor:
        """Logarithm of the determinant, a number."""
        logs = self.root.log() if self.diagonal else self.root.diagonal().log()
        return 2 * logs.sum()

    def solve(self, columns: Tensor) -> Tensor:
        """``C^-1 x`` of each column of (..., n, m)."""
        if self.diagonal:
            return columns / (self.root.to(columns.dtype) ** 2)[:, None]
        return self.precision().to(columns.dtype) @ columns

    def whiten(self, x: Tensor) -> Tensor:
        """Components (..., n) in units of their standard errors: ``L^-1 x`` with ``L L' = C``."""
        root = self.root.to(x.dtype)
        if self.diagonal:
            return x / root
        solved: Tensor = torch.linalg.solve_triangular(root, x[..., None], upper=False)
        return solved[..., 0]

    def colour(self, z: Tensor) -> Tensor:
        """Give components (..., n) of this covariance, from independent ones of variance 1."""
        return z * self.root if self.diagonal else z @ self.root.T


def _root(matrix: np.ndarray, name: str) -> np.ndarray:
    """Standard deviations of variances, the Cholesky factor of a matrix."""
    fix = "give positive, finite variances, or a symmetric positive definite matrix"
    if not np.isfinite(matrix).all():
        raise InputError([(f"{name} is not finite", fix)])
    root: np.ndarray
    if matrix.ndim == 1:
        if not (matrix > 0).all():
            raise InputError([(f"{name} is {matrix.min():g}", fix)])
        root = np.sqrt(matrix)
        return root
    if not np.allclose(matrix, matrix.T):
        raise InputError([(f"{name} is not symmetric", fix)])
    try:
        root = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError as error:
        raise InputError([(f"{name} is not positive definite", fix)]) from error
    return root
