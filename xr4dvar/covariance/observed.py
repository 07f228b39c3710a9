"""Gridded analysis of what an observation operator sees of a field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from xr4dvar.covariance.interfaces import Observes, Root
from xr4dvar.covariance.models import Separable
from xr4dvar.covariance.on_grid import Prior
from xr4dvar.covariance.roots import ProductRoot, SumRoot

__all__ = [
    "ObservedRoot",
    "analyse_complete",
    "factorised_through",
    "is_complete",
    "least_error",
    "norm_squared",
]

#: Iterations between two looks at the bound of the error.
LOOK = 5

#: Iterations of the power method, and room for what it has not found.
POWER, ROOM = 10, 1.2

#: Cells of the fields that are observed at once.
CELLS = 2**23


@dataclass(frozen=True)
class ObservedRoot:
    """``H L`` of samples, as a root: what solvers do with observations of the field itself.

    The K observed fields lie one after the other along time.

    Parameters
    ----------
    root : Root
        L, of the state.
    operator : Observes
        H, of fields (n, 1, time, y, x).
    """

    root: Root
    operator: Observes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (time, y, x) of an observed field, that of the state."""
        return self.root.shape

    @cached_property
    def squares(self) -> Tensor:
        """Squares (K, size) of what each field holds of each control.

        Known where H is one matrix an axis; else those of the state stand for it.
        """
        squares = [
            self.root.spectrum if matrices is None else _squares(self.root, matrices)
            for matrices in matrices_of(self.operator)
        ]
        return torch.stack(squares)

    @property
    def spectrum(self) -> Tensor:
        """Diagonal of ``L^T H^T H L``."""
        return self.squares.sum(0)

    def information(self, precision: Tensor) -> Tensor:
        """Diagonal (n, size) of ``L^T H^T W H L`` of precisions (n, K time, y, x) spread evenly."""
        density = precision.unflatten(-3, (-1, self.shape[0])).mean((-3, -2, -1))
        found: Tensor = density @ self.squares.to(density)
        return found

    def apply(self, control: Tensor) -> Tensor:
        """H L: controls (n, size) to observations (n, K time, y, x)."""
        seen: Tensor = self.operator(self.root.apply(control)[:, None]).flatten(1, 2)
        return seen

    def adjoint(self, field: Tensor) -> Tensor:
        """Its transpose."""
        fields = field.unflatten(1, (-1, self.shape[0]))
        state: Tensor = self.operator.adjoint(fields)[:, 0]
        return self.root.adjoint(state)


def matrices_of(operator: Observes) -> list[Mapping[int, Tensor] | None]:
    """Matrices of each observed field by axis, where that is all it is.

    Of samples with an operator each, those of the first, which the others are like.
    """
    each = getattr(operator, "operators", None)
    if each is not None:
        return matrices_of(each[0])
    layers = getattr(operator, "layers", None)
    parts = [operator] if layers is None else [part for _, part in layers]
    return [getattr(part, "matrices", None) for part in parts]


def _squares(root: Root, matrices: Mapping[int, Tensor]) -> Tensor:
    """Squares of what is observed of each control of a product root, or of a sum of them."""
    if isinstance(root, SumRoot):
        return torch.cat([_squares(term, matrices) for term in root.terms])
    if not isinstance(root, ProductRoot):
        return root.spectrum
    squares = [
        ((matrices[dim].to(part) @ part if dim in matrices else part) ** 2).sum(0)
        for dim, part in ((-3, root.time), (-2, root.y), (-1, root.x))
    ]
    return torch.einsum("a,b,c->abc", *squares).flatten()


def least_error(operator: Observes, precision: Tensor, shape: Sequence[int]) -> float:
    """Least variance of the error of what observations say of a state (time, y, x).

    Parameters
    ----------
    operator : Observes
        H of n samples.
    precision : Tensor (n, K time, y, x)
        Inverse of the error variances of the observations, 0 where there is none.
    shape : sequence of int
    """
    like = precision.new_zeros(len(precision), 1, *shape)
    fields = precision.unflatten(1, (-1, shape[0]))
    each = fields.amax((0, 2, 3, 4), keepdim=True)
    largest = each.amax()
    if fields.shape[1] == 1:
        return 1.0 / float(largest * norm_squared(operator, like).clamp(min=1.0))
    weighted = _Weighted(operator, (each / largest).sqrt())
    return 1.0 / float(largest * norm_squared(weighted, like))


@dataclass(frozen=True)
class _Weighted:
    """``W^(1/2) H``."""

    operator: Observes
    weight: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.weight * self.operator(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.operator.adjoint(self.weight * y)

    def take(self, index: Tensor) -> _Weighted:
        return _Weighted(self.operator.take(index), self.weight)


def norm_squared(operator: Observes, like: Tensor) -> Tensor:
    """Bound of ``|H x|^2 / |x|^2``, by the power method; of a derivative at 0 if not linear."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(like.shape, dtype=torch.float64, generator=generator).to(like)
    found = like.new_ones(())
    for _ in range(POWER):
        x = operator.adjoint(operator(x))
        found = x.norm()
        x = x / found.clamp(min=1e-300)
    return (ROOM * found).clamp(min=1e-12)


def is_complete(operator: Observes, precision: Tensor) -> bool:
    """Whether samples are of one field, observed wherever the operator gives anything."""
    if len(matrices_of(operator)) > 1:
        return False
    given = operator(torch.ones_like(precision)[:, None])[:, 0] != 0
    return bool((precision > 0)[given].all())


def analyse_complete(
    values: Tensor,
    precision: Tensor,
    prior: Prior,
    operator: Observes,
    tolerance: float,
    max_iterations: int,
    truncation: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Increments, iterations and bounds of samples, in units of the prior's deviation.

    Conjugate gradients for ``(I + A A^T) u = W^(1/2) d``, with ``A = W^(1/2) H L``: in the space of
    observations that are complete a sum of covariances has no two controls for one thing, and the
    system is all but diagonal in the eigenvectors of the axes. The increment is
    ``L A^T u``; its error at a cell is at most the norm of ``A^T`` of the residual times the
    standard deviation of the analysis error there.

    Parameters
    ----------
    values, precision : Tensor (n, time, y, x), float64
    prior : Prior
    operator : Observes
        H of the samples.
    tolerance, max_iterations, truncation
        See `analyse`.
    """
    least = least_error(operator, precision, prior.shape)
    root = prior.root(least, torch.float64, truncation)
    observed, half = ObservedRoot(root, operator), precision.sqrt()
    precondition = preconditioner(prior, operator, precision)
    residual = half * values
    found = torch.zeros_like(residual)
    direction = rest = precondition(residual)
    energy = _dot(residual, rest)
    bound = observed.adjoint(half * residual).norm(dim=-1)
    iterations = torch.zeros(len(values), dtype=torch.int64, device=values.device)
    for number in range(1, max_iterations + 1):
        active = (bound > tolerance) & (energy > 0)
        if not bool(active.any()):
            break
        iterations += active
        image = direction + half * observed.apply(observed.adjoint(half * direction))
        step = torch.where(active, energy / _dot(direction, image), 0.0)
        found = found + _scale(step, direction)
        residual = residual - _scale(step, image)
        rest = precondition(residual)
        before, energy = energy, torch.where(active, _dot(residual, rest), energy)
        direction = rest + _scale(torch.where(active, energy / before, 0.0), direction)
        if number % LOOK == 0:
            bound = observed.adjoint(half * residual).norm(dim=-1)
    increment = root.apply(observed.adjoint(half * found))
    return increment, iterations, observed.adjoint(half * residual).norm(dim=-1)


def preconditioner(
    prior: Prior, operator: Observes, precision: Tensor
) -> Callable[[Tensor], Tensor]:
    """An approximate inverse of ``I + A A^T``, for observations that are complete.

    In the eigenvectors of the sum of all covariances along each axis, as they are observed, each
    of them is nearly diagonal. Of covariances on the sphere, and of an operator without a matrix
    for each axis, nothing is known: the identity.
    """
    terms = prior.correlation.terms
    matrices = getattr(operator, "matrices", None)
    if matrices is None or not all(isinstance(term, Separable) for term in terms):
        return lambda field: field
    bases, spectrum = _observed_modes(terms, prior, matrices)  # type: ignore[arg-type]
    bases = [basis.to(precision) for basis in bases]
    rows = 1.0
    for axis, size in enumerate(precision.shape[1:]):
        matrix = matrices.get(axis - 3)
        rows *= size if matrix is None else int((matrix.abs().sum(1) > 0).sum())
    density = precision.sum((1, 2, 3)) / rows
    inverse = 1.0 / (1.0 + density[:, None, None, None] * spectrum.to(precision))

    def solve(field: Tensor) -> Tensor:
        return _rotate(inverse * _rotate(field, bases, transposed=True), bases)

    return solve


def _observed_modes(
    terms: tuple[Separable, ...], prior: Prior, matrices: Mapping[int, Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Orthogonal bases of time, y and x, and the variance (time, y, x) of their products."""
    seen = []  # covariances of each term along each axis, as they are observed
    for term in terms:
        along = [matrix.to(torch.float64) for matrix in term.along_axes(prior.coordinates)]
        for axis in range(3):
            if (h := matrices.get(axis - 3)) is not None:
                h = h.to(along[axis])
                along[axis] = h @ along[axis] @ h.T
        seen.append(along)
    shares = [term.variance for term in terms]
    bases = []
    for axis in range(3):
        total = sum(share * along[axis] for share, along in zip(shares, seen, strict=True))
        bases.append(torch.linalg.eigh(total).eigenvectors)
    spectrum = torch.zeros([len(basis) for basis in bases], dtype=torch.float64)
    for share, along in zip(shares, seen, strict=True):
        each = [
            torch.einsum("ij,ik,kj->j", basis, matrix, basis).clamp(min=0.0)
            for basis, matrix in zip(bases, along, strict=True)
        ]
        spectrum += share * torch.einsum("a,b,c->abc", *each)
    return bases, spectrum


def _rotate(field: Tensor, bases: list[Tensor], *, transposed: bool = False) -> Tensor:
    """Fields (n, time, y, x) in other bases, or back."""
    time, y, x = (basis.T if transposed else basis for basis in bases)
    field = y @ (field @ x.T)
    return (time @ field.flatten(-2)).view_as(field)


def factorised_through(root: Root, operator: Observes, values: Tensor, precision: Tensor) -> Tensor:
    """Increment (time, y, x) of one sample by a factorisation of ``H B H' + R``.

    Parameters
    ----------
    root : Root
        Of the state, float64.
    operator : Observes
        H of this sample.
    values, precision : Tensor (K time, y, x)
        Innovations, and the inverse of their error variances, 0 where nothing was observed.
    """
    at = (precision > 0).flatten().nonzero()[:, 0]
    observed = ObservedRoot(root, operator)
    system = values.new_zeros(len(at), len(at))
    for part in torch.arange(len(at), device=at.device).split(max(1, CELLS // values.numel())):
        unit = values.new_zeros(len(part), values.numel())
        unit.scatter_(1, at[part, None], 1.0)
        seen = observed.apply(observed.adjoint(unit.view(-1, *values.shape)))
        system[part] = seen.flatten(1)[:, at]
    system.diagonal().add_(1.0 / precision.flatten()[at])
    weights = torch.zeros_like(values).flatten()
    lower = torch.linalg.cholesky(system)
    weights[at] = torch.cholesky_solve(values.flatten()[at, None], lower)[:, 0]
    increment: Tensor = root.apply(observed.adjoint(weights.view(1, *values.shape)))[0]
    return increment


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum((1, 2, 3))


def _scale(factor: Tensor, field: Tensor) -> Tensor:
    return factor[:, None, None, None] * field
