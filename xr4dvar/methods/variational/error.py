"""How wrong the maps of `Variational` are, where a code is what is looked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xr4dvar.contract.patches import Patches
from xr4dvar.cost.batch import Batch
from xr4dvar.methods.variational.engine import Analysis
from xr4dvar.priors import GaussianCode
from xr4dvar.solvers.newton_cg import derivatives
from xr4dvar.types import FloatArray

__all__ = ["maps_and_errors"]

#: Numbers of the derivatives of decoded states that are held at once.
NUMBERS_AT_ONCE = 20_000_000


def maps_and_errors(analysis: Analysis, patches: Patches) -> tuple[FloatArray, FloatArray]:
    r"""Maps of windows and the standard deviations of their errors.

    The errors are the curvature of the cost of the code at its minimum (Laplace), carried over to
    states, and what no code holds:

    .. math:: \sigma^2 = p + Q - \frac{2 Q p}{R + Q}, \qquad
              p = \mathrm{diag}\left(D' (I + D'^\top (R + Q)^{-1} D')^{-1} D'^\top\right)

    with D' the derivative of the decoded state, and the last term at observed cells alone, where
    an analysis follows also what no code holds. Exact where decoding is linear, as of EOFs.
    """
    if (code := analysis.code) is None:
        raise ValueError("a state alone has no error")
    batch, start = analysis.start(patches)
    u = analysis.minimum(batch, start)
    size = max(1, NUMBERS_AT_ONCE // (u[0].numel() * batch.y[0].numel()))
    parts = torch.arange(len(u), device=u.device).split(size)
    variance = torch.cat([_variance(analysis, code, batch.take(n), u[n]) for n in parts])
    errors: FloatArray = variance.detach().sqrt().cpu().numpy() * analysis.spread
    return analysis.maps(u), errors


def _variance(analysis: Analysis, code: GaussianCode, batch: Batch, u: Tensor) -> Tensor:
    """Of the error of decoded states (B, V, T, Y, X), scaled."""
    extra = analysis.column(analysis.extra)
    precision = batch.weight / (analysis.column(analysis.error) + extra)
    columns = _derivative(code.decode, u).flatten(2)
    weighted = columns * precision.flatten(1)[:, None]
    eye = torch.eye(columns.shape[1], dtype=u.dtype, device=u.device)
    root = torch.linalg.cholesky(eye + weighted @ columns.mT)
    half = torch.linalg.solve_triangular(root, columns, upper=False)
    decoded = half.square().sum(1).view_as(batch.y)
    found: Tensor = decoded + extra - 2 * extra * decoded * precision
    return found


def _derivative(decode: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    """Of the states by each of the K numbers u (B, K, 1, 1, 1): (B, K, V, T, Y, X)."""
    _, along, _ = derivatives(decode, u)
    basis = torch.eye(u.shape[1], dtype=u.dtype, device=u.device).view(-1, *u.shape[1:])
    return torch.stack([along(direction.expand_as(u)) for direction in basis], 1)
