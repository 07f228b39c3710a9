"""Optimal interpolation of a whole gridded period at once.

The analysis ``B H^T (H B H^T + R)^-1 d`` equals ``L w`` with ``A w = L^T H^T R^-1 d`` and ``A = I +
L^T H^T R^-1 H L`` for any root ``B = L L^T``: the minimiser of the 3D-Var cost ``|w|^2 + |d - H L
w|^2_R`` (methods.md A.1; Courtier 1997, doi:10.2151/jmsj1965.75.1B_211).

**When to stop.** An error e of the control changes cell i of the map by ``L_i e = (A^-1/2 L_i)^T
(A^1/2 e)``, at most ``sigma_i |e|_A``, where ``sigma_i^2 = L_i^T A^-1 L_i`` is the variance of the
analysis error there. Since ``A >= I``, ``|e|_A <= |r|``, the norm of the residual. So a residual of
norm 0.01 bounds the error of the map at every cell by 1 % of its analysis error, however precise
and dense the observations are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from xr4dvar.covariance.exact import factorise
from xr4dvar.covariance.interfaces import Observes, Root
from xr4dvar.covariance.joint import JointRoot
from xr4dvar.covariance.observed import (
    ObservedRoot,
    analyse_complete,
    factorised_through,
    is_complete,
    least_error,
    matrices_of,
)
from xr4dvar.covariance.on_grid import TRUNCATION, Prior
from xr4dvar.errors import Problems

__all__ = ["TOLERANCE", "Analysis", "analyse"]

#: Error of the map over the standard deviation of the analysis error, at most, at any cell.
TOLERANCE = 0.01

#: The diagonal of the matrix is 1 + precision times spectrum: right where observations are spread
#: evenly. They come in tracks and clear patches, so that large precisions are overestimates; this
#: exponent saves up to 30 % of the iterations on altimetry, and 1 to 3 % are lost under clouds.
CLUMPING = 0.8

#: So few observations are factorised at once; up to so many where iterations do not converge.
FEW, MANY = 400, 5000

#: Iterations before observations that can be factorised are.
PATIENCE = 300

#: Single precision iterates where the condition number is below this, and double where it is not.
SINGLE = 2e7


#: Share of a residual that is left when it is computed anew: what rounding allows, and no less.
REDUCTION = {torch.float32: 3e-4, torch.float64: 1e-10}


@dataclass(frozen=True)
class Analysis:
    """Result of a gridded analysis.

    Parameters
    ----------
    increment : Tensor (..., time, y, x), float64
        Analysis minus background, in the units of the innovation.
    iterations : Tensor (...), int
        Conjugate-gradient iterations of each sample; 0 where its observations were factorised.
    bound : Tensor (...), float64
        Error of the increment at any cell, over the standard deviation of the analysis error
        there, at most; 0 where the observations were factorised.
    """

    increment: Tensor
    iterations: Tensor
    bound: Tensor


def analyse(
    innovation: Tensor,
    observed: Tensor,
    prior: Prior,
    error_variance: float | Tensor,
    *,
    operator: Observes | None = None,
    tolerance: float = TOLERANCE,
    max_iterations: int = 3000,
    truncation: float = TRUNCATION,
) -> Analysis:
    """Analyse gridded observations.

    Up to 400 observations of a sample are solved exactly by one factorisation. More are solved by
    conjugate gradients until the bound of the error is `tolerance`; up to 5,000 for which that
    takes more than 300 iterations are factorised too, if so many are allowed.

    Parameters
    ----------
    innovation : Tensor (..., time, y, x) or, of K fields of an operator, (..., K time, y, x)
        Observation minus background; anything (also NaN) where not observed. Its leading
        dimensions are independent samples: each is solved to the tolerance by itself.
    observed : Tensor, bool
        Where there is an observation; broadcast against the innovation.
    prior : Prior
        Prior covariance on the grid, in the squared units of the data.
    error_variance : float or Tensor of the shape of the innovation
        Observation error variance, in the same units: one number or one per observation.
    operator : Observes, optional
        H, where observations are not the field itself; of one leading dimension of samples.
    tolerance : float
        Error of the increment at any cell over the standard deviation of its analysis error, at
        most.
    max_iterations : int
        A sample that has not reached the tolerance by then is returned as it is, with its bound.
    truncation : float
        Prior variance that may be left out, as a share of the smallest error variance.

    Returns
    -------
    Analysis

    Raises
    ------
    InputError
        If shapes differ, or an innovation or error variance that is used is not usable.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.covariance import Prior, Separable, analyse
    >>> days, points = torch.arange(5.0), torch.arange(3.0)
    >>> prior = Prior(Separable((2.0, 1.0, 1.0)), (days, points, points))
    >>> innovation = torch.full((5, 3, 3), torch.nan)
    >>> innovation[2, 1, 1] = 1.0
    >>> result = analyse(innovation, innovation.isfinite(), prior, 0.25)
    >>> round(float(result.increment[2, 1, 1]), 4)  # 1 / (1 + 0.25)
    0.8
    """
    observed = observed.expand(innovation.shape)
    error = torch.as_tensor(error_variance, dtype=torch.float64, device=innovation.device)
    error = error.expand(innovation.shape)
    _check(innovation, observed, prior, error, operator)
    lead, shape = innovation.shape[:-3], innovation.shape[-3:]
    precision = torch.where(observed, prior.covariance.variance / error, 0.0).reshape(-1, *shape)
    values = torch.where(observed, innovation.to(torch.float64) / prior.deviation, 0.0)
    values = values.reshape(-1, *shape)
    with torch.no_grad():
        increment, iterations, bound = _solve(
            values, precision, prior, operator, tolerance, max_iterations, truncation
        )
    return Analysis(
        prior.deviation * increment.reshape(*lead, *prior.shape),
        iterations.reshape(lead),
        bound.reshape(lead),
    )


def _solve(
    values: Tensor,
    precision: Tensor,
    prior: Prior,
    operator: Observes | None,
    tolerance: float,
    max_iterations: int,
    truncation: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Increments (n, time, y, x), iterations and bounds of samples, over prior deviations."""
    counts = (precision > 0).sum((1, 2, 3))
    increment = values.new_zeros(len(values), *prior.shape)
    iterations = torch.zeros(len(values), dtype=torch.int64, device=values.device)
    bound = torch.zeros(len(values), dtype=torch.float64, device=values.device)
    for some, most in (
        ((counts > FEW) & (counts <= MANY), min(PATIENCE, max_iterations)),
        (counts > MANY, max_iterations),
    ):
        if bool(some.any()):
            own = None if operator is None else operator.take(some.nonzero()[:, 0])
            solve = partial(_iterated, operator=own)
            if own is not None and is_complete(own, precision[some]):
                solve = partial(analyse_complete, operator=own)
            increment[some], iterations[some], bound[some] = solve(
                values[some], precision[some], prior, tolerance=tolerance,
                max_iterations=most, truncation=truncation,
            )  # fmt: skip
    factorised = counts <= FEW
    if max_iterations > PATIENCE:
        factorised |= (bound > tolerance) & (counts <= MANY)
    for n in (factorised & (counts > 0)).nonzero()[:, 0]:
        if operator is None:
            increment[n] = _factorised(values[n], precision[n], prior)
        else:
            own = operator.take(n[None])
            least = least_error(own, precision[n][None], prior.shape)
            root = prior.root(least, torch.float64, truncation)
            increment[n] = factorised_through(root, own, values[n], precision[n])
    return increment, iterations.where(~factorised, 0), bound.where(~factorised, 0.0)


def _factorised(values: Tensor, precision: Tensor, prior: Prior) -> Tensor:
    """The increment of one sample by a factorisation of ``H B H' + R``."""
    cells = (precision > 0).nonzero()
    at = tuple(cells.unbind(1))
    factor = factorise(prior.correlation, prior.points(cells), 1.0 / precision[at].cpu())
    return prior.spread(cells, factor.solve(values[at].cpu()).to(values.device))


def _iterated(
    values: Tensor,
    precision: Tensor,
    prior: Prior,
    operator: Observes | None,
    tolerance: float,
    max_iterations: int,
    truncation: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Increments by conjugate gradients, in single precision as far as that goes.

    The residual is computed in double precision after each round: rounding delays, but its size
    is never hidden.
    """
    least = 1.0 / float(precision.max())
    if operator is not None:
        least = least_error(operator, precision, prior.shape)
    whole = prior.root(least, torch.float64, truncation)
    root: Root = whole if operator is None else ObservedRoot(whole, operator)
    right = root.adjoint(precision * values)
    control, residual = torch.zeros_like(right), right
    iterations = torch.zeros(len(right), dtype=torch.int64, device=right.device)
    bound = residual.norm(dim=-1)
    largest = root.squares if isinstance(root, ObservedRoot) else root.spectrum[None]
    fields = precision.unflatten(1, (len(largest), -1)).amax((0, 2, 3, 4))
    condition = float((fields * largest.amax(1)).max())
    dtypes = [torch.float32] if condition < SINGLE else []
    for dtype in (*dtypes, torch.float64):
        inner = prior.root(least, dtype, truncation)
        inner = inner if operator is None else ObservedRoot(inner, operator)
        while bool((bound > tolerance).any()) and int(iterations.max()) < max_iterations:
            goal = (bound * REDUCTION[dtype]).clamp(min=tolerance)
            change, used = _conjugate_gradients(
                inner, precision.to(dtype), residual.to(dtype), goal,
                max_iterations - int(iterations.max()),
            )  # fmt: skip
            control = control + change.to(torch.float64)
            iterations += used
            before = bound
            residual = right - control - root.adjoint(precision * root.apply(control))
            bound = residual.norm(dim=-1)
            if bool(((bound > tolerance) & (bound > 0.2 * before)).any()):
                break  # no gain from more rounds in this precision
    return whole.apply(control), iterations, bound


def _conjugate_gradients(
    root: Root, precision: Tensor, right: Tensor, goal: Tensor, max_iterations: int
) -> tuple[Tensor, Tensor]:
    """Solve (I + L' R^-1 L) w = right for samples (n, size) to residuals of given norms (n,)."""
    clumping = 1.0 if isinstance(root, ObservedRoot) else CLUMPING
    inverse_diagonal = 1.0 / (1.0 + _information(root, precision) ** clumping)
    control = torch.zeros_like(right)
    residual = right
    preconditioned = inverse_diagonal * residual
    direction = preconditioned
    energy = _dot(residual, preconditioned)
    iterations = torch.zeros(len(right), dtype=torch.int64, device=right.device)
    for _ in range(max_iterations):
        active = (_dot(residual, residual) > goal**2) & (energy > 0)
        if not bool(active.any()):
            break
        iterations += active
        image = direction + root.adjoint(precision * root.apply(direction))
        step = torch.where(active, energy / _dot(direction, image), 0.0)[..., None].to(right.dtype)
        control = control + step * direction
        residual = residual - step * image
        preconditioned = inverse_diagonal * residual
        previous, energy = energy, torch.where(active, _dot(residual, preconditioned), energy)
        ratio = torch.where(active, energy / previous, 0.0)[..., None].to(right.dtype)
        direction = preconditioned + ratio * direction
    return control, iterations


def _information(root: Root, precision: Tensor) -> Tensor:
    """Diagonal of ``L' R^-1 L`` of observations that are spread evenly."""
    if isinstance(root, JointRoot | ObservedRoot):
        return root.information(precision)
    return precision.mean((-3, -2, -1))[..., None] * root.spectrum


def _dot(first: Tensor, second: Tensor) -> Tensor:
    # sums of many float32 products need float64, or the search directions lose conjugacy
    return (first * second).sum(-1, dtype=torch.float64)


def _check(
    innovation: Tensor, observed: Tensor, prior: Prior, error: Tensor, operator: Observes | None
) -> None:
    problems = Problems()
    fields = 1 if operator is None else len(matrices_of(operator))
    shape = fields * prior.shape[0], *prior.shape[1:]
    if tuple(innovation.shape[-3:]) != shape:
        problems.add(
            f"innovation has the grid {tuple(innovation.shape[-3:])}, the prior {shape}",
            "make both for the same (time, y, x)",
        )
    if not bool(innovation[observed].isfinite().all()):
        problems.add("an innovation is not finite where observed", "mark it as not observed")
    used = error[observed]
    if not bool((used.isfinite() & (used > 0)).all()):
        problems.add(
            "an observation error variance is zero, negative or not finite",
            "give a positive error variance for every observation",
        )
    problems.raise_if_any()
