"""How wrong the maps of `Variational` are, where a code is what is looked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xr4dvar.batch import Batch
from xr4dvar.methods.base import ErrorSolver, Parameters, Patches
from xr4dvar.methods.device import choose_device, one_at_a_time
from xr4dvar.methods.variational_solve import Analysis
from xr4dvar.priors import GaussianCode
from xr4dvar.solvers.newton_cg import derivatives
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.variational import Variational

__all__ = ["make_error_solver"]

#: Numbers of the derivatives of decoded states that are held at once.
NUMBERS_AT_ONCE = 20_000_000


def make_error_solver(method: Variational, parameters: Parameters, device: str) -> ErrorSolver:
    r"""Give the function from windows to maps and the standard deviations of their errors.

    The errors are the curvature of the cost of the code at its minimum (Laplace), carried over to
    states, and what no code holds:

    .. math:: \sigma^2 = p + Q - \frac{2 Q p}{R + Q}, \qquad
              p = \mathrm{diag}\left(D' (I + D'^\top (R + Q)^{-1} D')^{-1} D'^\top\right)

    with D' the derivative of the decoded state, and the last term at observed cells alone, where
    an analysis follows also what no code holds. Exact where decoding is linear, as of EOFs.
    """
    place = choose_device(device)
    analysis = Analysis(method, parameters, place)
    if (code := analysis.code) is None:
        raise ValueError("a state alone has no error: see Variational.knows_error")

    def solve(patches: Patches) -> tuple[FloatArray, FloatArray]:
        with one_at_a_time(place):
            batch, start = analysis.start(patches)
            u = analysis.minimum(batch, start)
            size = max(1, NUMBERS_AT_ONCE // (u[0].numel() * batch.y[0].numel()))
            parts = torch.arange(len(u), device=u.device).split(size)
            variance = torch.cat([_variance(analysis, code, batch.take(n), u[n]) for n in parts])
            errors: FloatArray = variance.detach().sqrt().cpu().numpy() * analysis.spread
            return analysis.maps(u), errors

    return solve


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
