"""Symmetric positive definite systems that are block tridiagonal in time, many at once."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["inverse", "joint_marginals", "log_determinant", "marginals", "solve"]


def solve(diagonal: Tensor, below: Tensor, right: Tensor) -> Tensor:
    """Solve by elimination forward in time and substitution back (Thomas's algorithm, in blocks).

    Parameters
    ----------
    diagonal : Tensor, shape (B, T, n, n)
    below : Tensor, shape (B, T - 1, n, n)
        Blocks of rows t + 1 and columns t; those above the diagonal are their transposes.
    right : Tensor, shape (B, T, n)

    Returns
    -------
    Tensor, shape (B, T, n)
        NaN where the matrix of a sample is not positive definite to rounding.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.solvers.block_tridiagonal import solve
    >>> ones = torch.ones(1, 2, 1, 1)
    >>> solve(2 * ones, ones[:, :1], torch.tensor([[[3.0], [0.0]]])).flatten().tolist()
    [2.0, -1.0]
    """
    inverses, links, definite = _eliminate(diagonal, below)
    forward = [right[:, 0]]
    for t, link in enumerate(links):
        forward.append(right[:, t + 1] - (link @ forward[-1][..., None])[..., 0])
    solution = [(inverses[-1] @ forward[-1][..., None])[..., 0]]
    for t in range(len(links) - 1, -1, -1):
        # D_t^-1 f_t - link_t' x_{t+1}, for link_t = below_t D_t^-1
        own = (inverses[t] @ forward[t][..., None])[..., 0]
        solution.append(own - (links[t].mT @ solution[-1][..., None])[..., 0])
    return torch.where(definite[:, None, None], torch.stack(solution[::-1], 1), torch.nan)


def marginals(diagonal: Tensor, below: Tensor) -> Tensor:
    """Blocks on the diagonal of the inverse, shape (B, T, n, n).

    Of the Hessian of a cost these are the covariances of the analysis error at each time.
    """
    return joint_marginals(diagonal, below)[0]


def joint_marginals(diagonal: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """Blocks of the inverse on its diagonal, and those just below it.

    Returns
    -------
    covariances : Tensor, shape (B, T, n, n)
        Of the Hessian of a cost: of the analysis errors at each time.
    lagged : Tensor, shape (B, T - 1, n, n)
        Of the errors at t + 1, by rows, with those at t.
    """
    inverses, links, definite = _eliminate(diagonal, below)
    found, lagged = [inverses[-1]], [torch.empty_like(below[:, :0])]
    for t in range(len(links) - 1, -1, -1):
        # given x_{t+1}, the error of x_t is its own less link_t' times that of x_{t+1}
        lagged.append(-(found[-1] @ links[t])[:, None])
        found.append(inverses[t] + links[t].mT @ found[-1] @ links[t])
    where = definite[:, None, None, None]
    covariances = torch.where(where, torch.stack(found[::-1], 1), torch.nan)
    return covariances, torch.where(where, torch.cat(lagged[::-1], 1), torch.nan)


def log_determinant(diagonal: Tensor, below: Tensor) -> Tensor:
    """Logarithm of the determinant of each sample, shape (B,); NaN where it is not definite."""
    inverses, _, definite = _eliminate(diagonal, below)
    logs = -torch.linalg.slogdet(torch.stack(inverses)).logabsdet.sum(0)
    return torch.where(definite, logs, torch.nan)


def _eliminate(diagonal: Tensor, below: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Eliminate forward in time.

    Returns
    -------
    inverses : list of Tensor, shape (B, n, n)
        Of the blocks that are left.
    links : list of Tensor, shape (B, n, n)
        What ties each time to the one before.
    definite : Tensor of bool, shape (B,)
        Whether a sample's matrix is positive definite.
    """
    # times first: the blocks of all samples at one time are then together in memory
    diagonal, below = diagonal.transpose(0, 1).contiguous(), below.transpose(0, 1).contiguous()
    inverses, links = [torch.linalg.inv_ex(diagonal[0]).inverse], []
    for t in range(len(below)):
        link = below[t] @ inverses[-1]
        links.append(link)
        inverses.append(torch.linalg.inv_ex(diagonal[t + 1] - link @ below[t].mT).inverse)
    positive = torch.stack(inverses).diagonal(dim1=-2, dim2=-1) > 0
    return inverses, links, positive.all(-1).all(0)


def inverse(matrix: Tensor) -> Tensor:
    """Invert symmetric positive definite matrices (..., n, n); NaN where one is not."""
    # for small ones half the time of Cholesky's
    inverted, failed = torch.linalg.inv_ex(matrix)
    definite = (failed == 0) & (inverted.diagonal(dim1=-2, dim2=-1) > 0).all(-1)
    return torch.where(definite[..., None, None], inverted, torch.nan)
