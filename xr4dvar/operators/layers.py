"""Several observed fields of one state: bound operators of single variables, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xr4dvar.operators.bound import Bound, EachPatch, InTurn, one_or_each

__all__ = ["Layered", "of_variable"]


class Layered:
    """K observed fields, each of one of the V variables of the state.

    Parameters
    ----------
    layers : sequence of (int, Bound)
        Number of the variable that a field is observed of, and how.
    variables : int
        V.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.operators.bound import AlongAxes
    >>> from xr4dvar.operators.layers import Layered
    >>> same, twice = AlongAxes({}), AlongAxes({-1: 2 * torch.eye(2)})
    >>> h = Layered([(0, same), (0, twice)], 1)
    >>> h(torch.tensor([[[[[1.0, 3.0]]]]])).flatten().tolist()
    [1.0, 3.0, 2.0, 6.0]
    """

    def __init__(self, layers: Sequence[tuple[int, Bound]], variables: int):
        self.layers, self.variables = list(layers), variables
        self.linear = all(operator.linear for _, operator in layers)
        self._of: dict[int, tuple[Bound, list[int]]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Observations (B, K, T, Y, X) of states (B, V, T, Y, X)."""
        return torch.cat([operator(x[:, v : v + 1]) for v, operator in self.layers], 1)

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed operator: each variable gets what all of its fields give."""
        found = y.new_zeros(len(y), self.variables, *y.shape[2:])
        for k, (v, operator) in enumerate(self.layers):
            found[:, v : v + 1] += operator.adjoint(y[:, k : k + 1])
        return found

    def take(self, index: Tensor) -> Layered:
        """Those of some of the samples."""
        return Layered([(v, op.take(index)) for v, op in self.layers], self.variables)

    def of(self, v: int) -> tuple[Bound, list[int]]:
        """The fields of one variable alone, made once, and their numbers."""
        if v not in self._of:
            numbers = [k for k, (of, _) in enumerate(self.layers) if of == v]
            own = [(0, self.layers[k][1]) for k in numbers]
            self._of[v] = Layered(own, 1), numbers
        return self._of[v]


def in_layers(operator: Bound) -> Bound:
    """Two operators in turn, field by field where either has several: neither may join them."""
    if not isinstance(operator, InTurn):
        return operator
    last, first = in_layers(operator.last), in_layers(operator.first)
    if not (isinstance(last, Layered) or isinstance(first, Layered)):
        return operator
    if operator.split is None:
        before = first.layers if isinstance(first, Layered) else None
        after = last.layers if isinstance(last, Layered) else None
        layers = [(v, InTurn(last, one)) for v, one in before or []]
        if after is not None:
            pairs = [(k, first) if before is None else before[k] for k, _ in after]
            layers = [
                (v, InTurn(one, own)) for (v, own), (_, one) in zip(pairs, after, strict=True)
            ]
        whole = first if isinstance(first, Layered) else last
        operator.split = Layered(layers, getattr(whole, "variables", 1))
    return operator.split


def of_variable(operator: Bound | None, v: int) -> tuple[Bound | None, list[int]]:
    """What an operator observes of one variable of the state, and the numbers of the fields."""
    operator = None if operator is None else in_layers(operator)
    if isinstance(operator, EachPatch):
        pairs = [of_variable(one, v) for one in operator.operators]
        return one_or_each([one for one, _ in pairs if one is not None]), pairs[0][1]
    if isinstance(operator, Layered):
        return operator.of(v)
    return operator, [v]
