"""Fields mirrored in space and time, as symmetries of the flow allow: more to learn from."""

from __future__ import annotations

import torch
from torch import Tensor

from xr4dvar.cost.batch import Batch, Observes

__all__ = ["MirroredOperator", "mirror", "mirrored"]


def mirrored(batch: Batch, target: Tensor, flags: int = 0) -> tuple[Batch, Tensor]:
    """Turn patches, and what their maps should be, into others that are as likely.

    Covariates change their sign with the field: what is warm where the sea stands high is cold
    where it stands low. The last fields of the context are `flags`, which do not.
    """
    context = batch.context
    if context is not None:
        signed, rest = context.split([context.shape[1] - flags, flags], dim=1)
        context = torch.cat([mirror(signed), mirror(rest, sign=1.0)], dim=1)
    operator = None if batch.operator is None else MirroredOperator(batch.operator)
    y, weight = mirror(batch.y), mirror(batch.weight, sign=1.0)
    return Batch(y, weight, context, operator=operator), mirror(target)


class MirroredOperator:
    """A linear operator that observes mirrored fields as it does the others, mirrored too.

    Parameters
    ----------
    operator : Observes
        Of as many samples as it will be given.
    """

    def __init__(self, operator: Observes):
        self.operator = operator

    def __call__(self, x: Tensor) -> Tensor:
        """Turn fields back, observe them, and turn the observations."""
        return mirror(self.operator(mirror(x)))

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed operator: a mirror is its own."""
        return mirror(self.operator.adjoint(mirror(y)))

    def take(self, index: Tensor) -> MirroredOperator:
        """Not of some: what a sample is mirrored by follows from its place in the batch."""
        raise NotImplementedError("mirrored batches are solved whole")


def mirror(x: Tensor, sign: float = -1.0) -> Tensor:
    """Of each four patches, leave one, mirror two in y and two in x and time.

    Parameters
    ----------
    x : Tensor, shape (B, V, T, Y, X)
        Patches of a stream function, such as sea surface height, or of weights.
    sign : float
        What a field mirrored in y is multiplied with.

    Notes
    -----
    Inviscid quasi-geostrophic flow, ``dq/dt + J(psi, q) + beta dpsi/dx = 0``, stays a solution
    under ``(y, psi) -> (-y, -psi)`` and under ``(x, t) -> (-x, -t)``.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.training.mirror import mirror
    >>> mirror(torch.tensor([1.0, 2.0]).expand(4, 1, 1, 1, 2))[:, 0, 0, 0].tolist()
    [[1.0, 2.0], [-1.0, -2.0], [2.0, 1.0], [-2.0, -1.0]]
    """
    x = x.clone()
    x[1::2] = sign * x[1::2].flip(-2)
    x[2::4], x[3::4] = x[2::4].flip(-3, -1), x[3::4].flip(-3, -1)
    return x
