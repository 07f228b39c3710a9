"""Observation operators bound to the cells of patches: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["AlongAxes", "Bound", "ByGradient", "EachPatch", "InTurn"]


@runtime_checkable
class Bound(Protocol):
    """H of some patches. No dataclass: Lightning Fabric would take those apart."""

    linear: bool

    def __call__(self, x: Tensor) -> Tensor:
        """Observations (B, V, T, Y, X) of states of that shape."""

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed operator."""

    def take(self, index: Tensor) -> Bound:
        """The operator of some of the samples, by their numbers."""


class AlongAxes:
    """Weighted sums along axes: a matrix for time, y or x, or one for each row of y.

    Parameters
    ----------
    weights : mapping of int to Tensor, or to (rows, Tensor) pairs
        By dimension of a field (B, V, T, Y, X), -3, -2 and -1: weights (n, n) of the cells,
        float64. Along x, rows of y that share weights may be given with them.
    domain : Tensor of bool, shape (T, Y, X), optional
        Cells that hold a state. Those outside count for nothing, and sums are divided by the
        weight that lies inside.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.operators.bound import AlongAxes
    >>> mean = torch.tensor([[0.5, 0.5], [0.0, 0.0]])
    >>> h = AlongAxes({-1: mean})
    >>> h(torch.tensor([[[[[1.0, 3.0]]]]])).flatten().tolist()
    [2.0, 0.0]
    """

    linear = True

    def __init__(self, weights: Mapping[int, Any], domain: Tensor | None = None):
        self.weights = dict(weights)
        self.domain = self.inverse = None
        self._cast: dict[Any, AlongAxes] = {}
        if domain is not None:
            inside = domain.to(torch.float64)
            held = self._sums(inside[None, None])[0, 0]
            self.domain = inside
            self.inverse = torch.where(held > 0, 1.0 / held, 0.0)

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the weights."""
        own = self._like(x)
        if own.domain is None or own.inverse is None:
            return own._sums(x)
        return own.inverse * own._sums(own.domain * x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the transposed weights."""
        own = self._like(y)
        if own.domain is None or own.inverse is None:
            return own._sums(y, transposed=True)
        return own.domain * own._sums(own.inverse * y, transposed=True)

    def take(self, index: Tensor) -> AlongAxes:
        """The same: all samples share it."""
        return self

    @property
    def matrices(self) -> dict[int, Tensor] | None:
        """One matrix an axis, where that is all there is."""
        plain = all(isinstance(weights, Tensor) for weights in self.weights.values())
        return self.weights if plain and self.domain is None else None

    def _sums(self, x: Tensor, *, transposed: bool = False) -> Tensor:
        order = list(self.weights.items())
        for dim, weights in reversed(order) if transposed else order:
            if isinstance(weights, Tensor):
                x = _along(x, weights.mT if transposed else weights, dim)
            else:
                x = torch.cat(
                    [
                        _along(x[..., rows, :], w.mT if transposed else w, dim)
                        for rows, w in weights
                    ],
                    -2,
                )
        return x

    def _like(self, x: Tensor) -> AlongAxes:
        """The same in the float type and on the device of a tensor, made once."""
        key = x.dtype, x.device
        if key not in self._cast:
            own = AlongAxes({dim: _to(w, x) for dim, w in self.weights.items()})
            if self.domain is not None and self.inverse is not None:
                own.domain, own.inverse = self.domain.to(x), self.inverse.to(x)
            self._cast[key] = own
        return self._cast[key]


def _to(weights: Any, like: Tensor) -> Any:
    if isinstance(weights, Tensor):
        return weights.to(like)
    return [(rows, w.to(like)) for rows, w in weights]


def _along(x: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Sums over one dimension; rows of the weights are cells of the result."""
    if dim == -1:
        return x @ weights.mT
    if dim == -2:
        return weights @ x
    return (weights @ x.flatten(-2)).view(*x.shape[:-3], -1, *x.shape[-2:])


class ByGradient:
    """A function of fields, whose adjoint is its derivative's, by automatic differentiation.

    Parameters
    ----------
    function : callable
        From states (B, V, T, Y, X) to observations of that shape, each sample by itself.
    adjoint : callable, optional
        The transposed function, of a linear one.
    linear : bool
        Whether it is.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.operators.bound import ByGradient
    >>> h = ByGradient(lambda x: 3 * x)
    >>> h.adjoint(torch.ones(1, 1, 1, 1, 1)).item()
    3.0
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        adjoint: Callable[[Tensor], Tensor] | None = None,
        *,
        linear: bool = False,
    ):
        self.function, self.transposed, self.linear = function, adjoint, linear

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the transposed function."""
        if self.transposed is not None:
            return self.transposed(y)
        with torch.enable_grad():
            x = torch.zeros_like(y).requires_grad_()
            (found,) = torch.autograd.grad(self.function(x), x, y)
        return found

    def take(self, index: Tensor) -> ByGradient:
        """The same: all samples share it."""
        return self


class InTurn:
    """One operator after the other."""

    def __init__(self, last: Bound, first: Bound):
        self.last, self.first = last, first
        self.split: Bound | None = None  # see `operators.layers`
        self.linear = last.linear and first.linear

    @property
    def matrices(self) -> dict[int, Tensor] | None:
        """One matrix an axis, where that is all there is."""
        last, first = (getattr(one, "matrices", None) for one in (self.last, self.first))
        if last is None or first is None:
            return None
        both = {dim: last[dim] @ first[dim] for dim in last if dim in first}
        return {**first, **last, **both}

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the first, then the last."""
        return self.last(self.first(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the transposed ones in the other order."""
        return self.first.adjoint(self.last.adjoint(y))

    def take(self, index: Tensor) -> InTurn:
        """Both of some of the samples."""
        return InTurn(self.last.take(index), self.first.take(index))


class EachPatch:
    """An operator for each of B samples; samples that share one are solved together.

    Parameters
    ----------
    operators : sequence of Bound
    """

    def __init__(self, operators: Sequence[Bound]):
        self.operators = list(operators)
        self.linear = all(operator.linear for operator in operators)

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to each sample its own."""
        return self._each(x, lambda operator, part: operator(part))

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply to each sample its own, transposed."""
        return self._each(y, lambda operator, part: operator.adjoint(part))

    def take(self, index: Tensor) -> Bound:
        """Those of some of the samples."""
        return one_or_each([self.operators[n] for n in index.tolist()])

    def _each(self, x: Tensor, apply: Callable[[Bound, Tensor], Tensor]) -> Tensor:
        groups: dict[int, list[int]] = {}
        for n, operator in enumerate(self.operators):
            groups.setdefault(id(operator), []).append(n)
        order = [n for numbers in groups.values() for n in numbers]
        found = torch.cat([apply(self.operators[ns[0]], x[ns]) for ns in groups.values()])
        back = torch.empty(len(order), dtype=torch.long)
        back[order] = torch.arange(len(order))
        return found[back.to(found.device)]


def one_or_each(operators: Sequence[Bound]) -> Bound:
    """One operator where all samples share it, else that of each."""
    first = operators[0]
    return first if all(one is first for one in operators) else EachPatch(operators)
