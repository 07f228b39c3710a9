"""Coefficients of a quadratic tendency by least squares, from trajectories."""

from __future__ import annotations

import torch
from torch import Tensor

from xr4dvar.dynamics.quadratic import QuadraticTendency
from xr4dvar.dynamics.scaled import Scaled

__all__ = ["regress"]

#: Weights of Newton and Cotes for the integral over so many steps, the most exact ones first.
QUADRATURES = {
    8: [14 / 45, 64 / 45, 24 / 45, 64 / 45, 28 / 45, 64 / 45, 24 / 45, 64 / 45, 14 / 45],
    4: [14 / 45, 64 / 45, 24 / 45, 64 / 45, 14 / 45],
    2: [1 / 3, 4 / 3, 1 / 3],
    1: [1 / 2, 1 / 2],
}
#: Equations to each coefficient that are enough.
ENOUGH = 10


def regress(tendency: Scaled, states: Tensor, known: Tensor, interval: float) -> None:
    """Find coefficients of a `QuadraticTendency` by ``x(t + k) - x(t) = integral of f(x)``.

    In the integral, unlike in differences of neighbours, noise of the states is averaged.

    Parameters
    ----------
    tendency : Scaled
        Of a `QuadraticTendency`, changed in place.
    states : Tensor, shape (W, T, n)
        Trajectories, their gaps filled.
    known : Tensor of bool, shape (W, T)
        Which states are; the others count only where those are too few in a row.
    interval : float
        Time between states.
    """
    inner = tendency.tendency
    if not isinstance(inner, QuadraticTendency):
        raise TypeError(f"{type(inner).__name__} has no coefficients that are linear")
    z = tendency.inner(states)
    features = inner.features(z)
    spans = [span for span in QUADRATURES if span < states.shape[1]]
    inside_of = {span: known.unfold(1, span + 1, 1).all(-1) for span in spans}
    good = [span for span in spans if int(inside_of[span].sum()) >= ENOUGH * features.shape[-1]]
    span = good[0] if good else spans[0]
    inside, times = inside_of[span], states.shape[1] - span
    if not good:  # what was filled in is better than nothing
        inside = torch.ones_like(inside)
    total = sum(w * features[:, j : j + times] for j, w in enumerate(QUADRATURES[span]))
    rows = (interval * tendency.rate * total)[inside]
    change = (z[:, span:] - z[:, :-span])[inside]
    # a little of a ridge: where equations are few or alike the coefficients stay small
    matrix = rows.T @ rows
    matrix.diagonal().mul_(1 + 1e-12).add_(1e-12 * len(rows))
    inner.set_weights(torch.linalg.solve(matrix, rows.T @ change).T)
