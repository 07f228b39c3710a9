"""Covariance roots L, with B = L L^T, for fields on a (time, y, x) grid.

A root maps a control vector of independent unit normals to a field of covariance B. The solvers
know a covariance only by its root, so a new covariance is a new root.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xr4dvar.covariance.interfaces import Root


@dataclass(frozen=True)
class ProductRoot:
    """Root of a product of three one-dimensional covariances.

    Parameters
    ----------
    time, y, x : Tensor (n, modes)
        Eigenvectors times the square roots of the eigenvalues, per axis.
    spectrum : Tensor
        Products of the eigenvalues, flattened in the order (time, y, x).
    """

    time: Tensor
    y: Tensor
    x: Tensor
    spectrum: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.time.shape[0], self.y.shape[0], self.x.shape[0]

    def apply(self, control: Tensor) -> Tensor:
        modes = (self.time.shape[1], self.y.shape[1], self.x.shape[1])
        batch = control.shape[:-1]
        # time first and x last: the long axes meet the fewest columns, in plain matrix products
        field = self.time @ control.reshape(*batch, modes[0], modes[1] * modes[2])
        field = self.y @ field.reshape(*batch, self.time.shape[0], modes[1], modes[2])
        return field @ self.x.T

    def adjoint(self, field: Tensor) -> Tensor:
        control = self.y.T @ (field @ self.x)
        control = self.time.T @ control.flatten(-2)
        return control.flatten(-2)


@dataclass(frozen=True)
class SumRoot:
    """Root of a sum of covariances: the control vectors are concatenated.

    Parameters
    ----------
    terms : tuple of roots
        Roots of the covariances that add up, on the same grid.
    """

    terms: tuple[Root, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.terms[0].shape

    @property
    def spectrum(self) -> Tensor:
        return torch.cat([term.spectrum for term in self.terms])

    def apply(self, control: Tensor) -> Tensor:
        parts = control.split([len(term.spectrum) for term in self.terms], -1)
        total = self.terms[0].apply(parts[0])
        for term, part in zip(self.terms[1:], parts[1:], strict=True):
            total += term.apply(part)
        return total

    def adjoint(self, field: Tensor) -> Tensor:
        return torch.cat([term.adjoint(field) for term in self.terms], -1)


def product_root(
    time: Tensor,
    y: Tensor,
    x: Tensor,
    *,
    variance: float = 1.0,
    tolerance: float = 1e-6,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> ProductRoot:
    """Root of the covariance ``variance * time x y x x`` (Kronecker product).

    Parameters
    ----------
    time, y, x : Tensor (n, n)
        Correlation matrices of the axes. Coordinates may be irregular; an axis that is not there
        has the matrix ``[[1.]]``.
    variance : float
        Prior variance.
    tolerance : float
        Eigenvalues are dropped while no entry of a correlation matrix changes by more than this.
    dtype, device
        Of the root; eigenvectors are always computed in float64.

    Returns
    -------
    ProductRoot
        Its control vector is as short as the tolerance allows: a smooth covariance needs few modes.

    Examples
    --------
    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> root = product_root(one, one, torch.eye(3), variance=4.0)
    >>> root.apply(root.adjoint(torch.tensor([[[1.0, 0.0, 0.0]]])))
    tensor([[[4., 0., 0.]]])
    """
    pairs = [truncated_eigen(matrix, tolerance) for matrix in (time, y, x)]
    values = [value for value, _ in pairs]
    spectrum = variance * torch.einsum("a,b,c->abc", *values).flatten()
    factors = [vectors * value.sqrt() for value, vectors in pairs]
    factors[0] = factors[0] * variance**0.5
    root_time, root_y, root_x, spectrum = (
        part.to(device=device, dtype=dtype).contiguous() for part in (*factors, spectrum)
    )
    return ProductRoot(root_time, root_y, root_x, spectrum)


def truncated_eigen(matrix: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Largest eigenvalues and eigenvectors of a positive semi-definite matrix.

    What is dropped is itself positive semi-definite (but for rounding), so none of its entries is
    larger than its trace: the eigenvalues are dropped from the smallest while their sum stays
    within the tolerance.

    Parameters
    ----------
    matrix : Tensor (n, n)
        Symmetric.
    tolerance : float
        Largest change of an entry of the matrix.

    Returns
    -------
    values : Tensor (k,)
        In falling order, float64.
    vectors : Tensor (n, k)
        As columns, float64.
    """
    values, vectors = torch.linalg.eigh(matrix.to(torch.float64))
    keep = kept_eigenvalues(values, tolerance)
    return values[keep].flip(0), vectors[:, keep].flip(1)


def kept_eigenvalues(values: Tensor, tolerance: float) -> Tensor:
    """Which of the rising eigenvalues (..., n) to keep: see `truncated_eigen`."""
    return values.clamp(min=0.0).cumsum(-1) > tolerance
