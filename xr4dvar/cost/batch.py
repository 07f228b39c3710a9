"""What a method sees: the numbers of some patches, on one device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Batch", "Interpolated", "Observes", "coarse_state", "coarsen", "interpolate"]


class Observes(Protocol):
    """An observation operator H of the patches of a batch."""

    def __call__(self, x: Tensor) -> Tensor:
        """What is observed of states (B, V, T, Y, X), of the shape of the observations."""

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed operator."""

    def take(self, index: Tensor) -> Any:
        """The operator of some of the samples."""


@dataclass(frozen=True)
class Batch:
    """Observations, and what is known beforehand, of B patches.

    Parameters
    ----------
    y : Tensor, shape (B, K, T, Y, X)
        K observed fields, 0 where there is none: the V variables, unless `shape` says otherwise.
    weight : Tensor, same shape
        Number of observations behind each value of `y`: 0 where there is none, 1 where the
        cell was seen, more where `coarsen` has merged cells.
    context : Tensor, shape (B, C, T, Y, X), optional
        Known fields that the prior and the solver may look at, such as the background.
    coordinates : mapping of str to Tensor, shape (B, n)
        Positions along ``"time"``, ``"y"`` and ``"x"``, in the grid's units.
    initial : Tensor, shape (B, n), optional
        What was known of the first state of each patch before its observations.
    initial_covariance : Tensor, shape (B, n, n), optional
        Covariance of the errors of `initial`.
    forcing : Tensor, optional
        What is added to each step of a model, shape (B, T - 1, n), or to what a prior says of a
        window, shape (B, V, T, Y, X).
    mean : Tensor, of the shape of an increment, optional
        What an increment is expected to be; 0 where it is not given.
    operator : Observes, optional
        H, where observations are not the state itself.
    shape : tuple of int, optional
        Shape (V, T, Y, X) of a state, where it is not that of the observations.
    density : Tensor, shape (B, K, T, y, x), optional
        Number of observations at each cell of such a state.

    Examples
    --------
    >>> import torch
    >>> batch = Batch.from_gappy(torch.tensor([[[[[1.0, float("nan")]]]]]))
    >>> batch.y.flatten().tolist(), batch.weight.flatten().tolist()
    ([1.0, 0.0], [1.0, 0.0])
    """

    y: Tensor
    weight: Tensor
    context: Tensor | None = None
    coordinates: Mapping[str, Tensor] = field(default_factory=dict)
    initial: Tensor | None = None
    initial_covariance: Tensor | None = None
    forcing: Tensor | None = None
    mean: Tensor | None = None
    operator: Observes | None = None
    shape: tuple[int, ...] | None = None
    density: Tensor | None = None

    @classmethod
    def from_gappy(cls, y: Tensor, context: Tensor | None = None) -> Batch:
        """Make a batch from values with NaN where nothing was observed."""
        observed = torch.isfinite(y)
        return cls(torch.where(observed, y, 0.0), observed.to(y.dtype), context)

    def zeros(self) -> Tensor:
        """A state of zeros: where solvers start that are given no other."""
        return self.y.new_zeros(len(self.y), *(self.shape or self.y.shape[1:]))

    def misfit(self, x: Tensor) -> Tensor:
        """``H(x) - y`` of a state, of the shape of the observations; anything where none is."""
        return (x if self.operator is None else self.operator(x)) - self.y

    def perturbed(self, error: Tensor) -> Batch:
        """The same with errors added to the observations; n of them share one of 1 / n."""
        shared = error / self.weight.clamp(min=1e-300).sqrt()
        return replace(self, y=torch.where(self.weight > 0, self.y + shared, 0.0))

    def take(self, index: Tensor) -> Batch:
        """Only some of the samples, by their numbers; one may be taken more than once."""

        def part(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[index]

        return Batch(
            self.y[index],
            self.weight[index],
            part(self.context),
            {name: values[index] for name, values in self.coordinates.items()},
            part(self.initial),
            part(self.initial_covariance),
            part(self.forcing),
            part(self.mean),
            None if self.operator is None else self.operator.take(index),
            self.shape,
            part(self.density),
        )


class Interpolated:
    """H of a field that is interpolated from a coarse one, see `interpolate`."""

    def __init__(self, operator: Observes, factor: int, size: tuple[int, int], wraps: bool):
        self.operator, self.how = operator, (factor, size, wraps)

    def __call__(self, x: Tensor) -> Tensor:
        """What is observed of coarse states."""
        return self.operator(interpolate(x, *self.how))

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed operator, by differentiation."""
        factor, size, _ = self.how
        fine, coarse = self.operator.adjoint(y), [-(-n // factor) for n in size]
        with torch.enable_grad():
            x = y.new_zeros(*fine.shape[:3], *coarse).requires_grad_()
            (found,) = torch.autograd.grad(interpolate(x, *self.how), x, fine)
        return found

    def take(self, index: Tensor) -> Interpolated:
        """That of some of the samples."""
        return Interpolated(self.operator.take(index), *self.how)


def coarse_state(batch: Batch, factor: int, wraps: bool = False) -> Batch:
    """The same observations of a state with ``factor`` x ``factor`` fewer cells in y and x.

    Observations of the field itself are merged (`coarsen`); what an operator observes stays as it
    is, and the operator is one of the interpolated state.
    """
    if batch.operator is None or factor == 1:
        return coarsen(batch, factor)
    size = batch.y.shape[-2], batch.y.shape[-1]
    merged = coarsen(batch, factor)
    return replace(
        batch,
        context=merged.context,
        operator=Interpolated(batch.operator, factor, size, wraps),
        shape=((batch.shape or batch.y.shape[1:])[0], *merged.weight.shape[2:]),
        density=merged.weight,
    )


def coarsen(batch: Batch, factor: int) -> Batch:
    """Merge cells of a batch, ``factor`` x ``factor`` in y and x.

    The observation term of the cost keeps its value, up to a constant, for every state that
    is constant within the merged cells: their `y` is the mean of the observations inside and
    their `weight` the number of them. Ragged edges make smaller cells.
    """
    if factor == 1:
        return batch
    weight = _pool(batch.weight, factor)
    y = _pool(batch.y * batch.weight, factor) / weight.clamp(min=1e-12)
    context = None
    if batch.context is not None:
        cells = _pool(torch.ones_like(batch.context[:1, :1]), factor)
        context = _pool(batch.context, factor) / cells
    return replace(batch, y=y, weight=weight, context=context)


def _pool(values: Tensor, factor: int) -> Tensor:
    """Sum over blocks in y and x; a ragged last block is a smaller one."""
    flat = values.flatten(0, 2)[:, None]
    pooled = functional.avg_pool2d(flat, factor, ceil_mode=True, count_include_pad=False)
    ny, nx = values.shape[-2:]
    sizes = [_block_sizes(n, factor, values) for n in (ny, nx)]
    pooled = pooled * sizes[0][:, None] * sizes[1]
    return pooled.view(*values.shape[:3], *pooled.shape[-2:])


def _block_sizes(n: int, factor: int, like: Tensor) -> Tensor:
    starts = torch.arange(0, n, factor, device=like.device)
    return (n - starts).clamp(max=factor).to(like.dtype)


def interpolate(x: Tensor, factor: int, size: tuple[int, int], wraps: bool = False) -> Tensor:
    """Interpolate a coarse field (B, V, T, y, x) linearly to ``size``, centres on centres.

    The blocks are those of `coarsen`. Beyond the outermost centres the field is constant; where x
    `wraps`, the last centre's neighbour is the first.
    """
    if factor == 1:
        return x
    flat = x.flatten(1, 2)
    if wraps:
        flat = functional.pad(flat, (1, 1, 0, 0), mode="circular")
    ny, nx = (factor * n for n in flat.shape[-2:])
    fine = functional.interpolate(flat, size=(ny, nx), mode="bilinear", align_corners=False)
    fine = fine[..., factor:] if wraps else fine
    return fine[..., : size[0], : size[1]].reshape(*x.shape[:3], *size)
