"""Variance of the analysis error where an operator observes the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from xr4dvar.covariance.interfaces import Coordinates, Observes
from xr4dvar.covariance.models import Separable
from xr4dvar.covariance.modes import Modes, error_of_modes, held_variance, leading_modes
from xr4dvar.covariance.observed import ObservedRoot, least_error, matrices_of
from xr4dvar.covariance.on_grid import Prior
from xr4dvar.errors import InputError

__all__ = ["observed_error"]

#: Observations that are factorised, and modes that are solved for, at most.
FACTORISED, MOST_MODES = 1500, 5000

#: Standard deviation, over the prior's, by which truncated modes may be wrong.
ACCURACY = 0.02

#: Variance that a root which stands for the covariance may lack, over the error variance.
TRUNCATION = 1e-3

#: Fields that are spread at once, in cells.
CELLS = 2**23


def observed_error(
    observed: Tensor, error_variance: Tensor, prior: Prior, operator: Observes
) -> Tensor:
    """Variance of the analysis error everywhere on the grid.

    Up to 1,500 observations are factorised. More need a matrix of the operator for each axis and
    covariances that are products of axes, of which up to 5,000 leading modes are taken.

    Parameters
    ----------
    observed : Tensor (K time, y, x), bool
        Where there is an observation.
    error_variance : Tensor (K time, y, x)
        Of the observations.
    prior : Prior
    operator : Observes
        H of this sample.

    Returns
    -------
    Tensor (time, y, x), float64
        Its root is right to 2 % of the standard deviation of the prior.

    Raises
    ------
    InputError
        More modes would be needed, or the operator has no matrices.
    """
    scale = prior.covariance.variance
    error = torch.where(observed, error_variance / scale, torch.inf).to(torch.float64)
    with torch.no_grad():
        if int(observed.sum()) <= FACTORISED:
            return scale * _factorised(error, prior, operator)
        return scale * _by_modes(error, prior, operator)


def _factorised(error: Tensor, prior: Prior, operator: Observes) -> Tensor:
    """By the Cholesky factor of ``H B H' + R``, over the prior variance."""
    at = error.isfinite().nonzero().unbind(1)
    count = len(at[0])
    left = error.new_ones(prior.shape)
    if not count:
        return left
    least = least_error(operator, 1.0 / error[None], prior.shape)
    root = prior.root(least, torch.float64, TRUNCATION)
    unit = error.new_zeros(count, *error.shape)
    unit[(torch.arange(count), *at)] = 1.0
    rows = ObservedRoot(root, operator).adjoint(unit)
    system = rows @ rows.T
    system.diagonal().add_(error[at])
    gain = torch.linalg.solve_triangular(torch.linalg.cholesky(system), rows, upper=False)
    for part in gain.split(max(1, CELLS // left.numel())):
        left -= root.apply(part).square().sum(0)
    return left.clamp(min=0.0)


def _by_modes(error: Tensor, prior: Prior, operator: Observes) -> Tensor:
    terms = prior.correlation.terms
    fields = matrices_of(operator)
    fix = "draw members, ensemble=20, or select a smaller part"
    if None in fields or not all(isinstance(term, Separable) for term in terms):
        what = "the error of maps of so many observations needs lengths in the units of the axes, "
        raise InputError([(what + "and an operator without land that acts along axes", fix)])
    least = least_error(operator, 1.0 / error[None], prior.shape)
    left = min(ACCURACY**2, 0.25 * least) / len(terms)
    modes = [leading_modes(term, prior.coordinates, left) for term in terms]  # type: ignore[arg-type]
    count = sum(each.count for each in modes)
    if count > MOST_MODES:
        what = f"the error of these maps needs {count:,} modes, at most {MOST_MODES:,} are solved"
        raise InputError([(what, fix)])
    seen = [
        [
            _seen(each, term, prior.coordinates, matrices)  # type: ignore[arg-type]
            for each, term in zip(modes, terms, strict=True)
        ]
        for matrices in fields
    ]
    return error_of_modes(modes, error, torch.float64, seen)


def _seen(
    modes: Modes, term: Separable, coordinates: Coordinates, matrices: Mapping[int, Tensor]
) -> Modes:
    """Modes as they are observed, and the variance of observations that they leave."""
    factors, variances = [modes.time, modes.y, modes.x], []
    for axis, matrix in enumerate(term.along_axes(coordinates)):
        h = matrices.get(axis - 3)
        if h is not None:
            h = h.to(factors[axis])
            factors[axis] = h @ factors[axis]
            matrix = h @ matrix.to(h) @ h.T
        variances.append(matrix.diagonal())
    total = term.variance * torch.einsum("a,b,c->abc", *variances)
    held = held_variance(factors, modes.kept)
    time, y, x = factors
    return replace(modes, time=time, y=y, x=x, left=(total - held).clamp(min=0.0))
