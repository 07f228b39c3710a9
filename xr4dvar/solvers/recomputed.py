"""A function that is computed again for its gradient: memory for time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

__all__ = ["recomputed"]

#: ``(*inputs, differentiable) -> outputs``: from some tensors to others, with a graph or without.
Run: TypeAlias = Callable[..., Sequence[Tensor]]


def recomputed(
    run: Run, inputs: Sequence[Tensor], parameters: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Compute ``run(*inputs)`` and keep no graph; back-propagation computes it once more.

    ``torch.utils.checkpoint`` gives the same gradients. But `run` may take gradients itself, as
    the step of a solver does, and it would run again for each of them on the way forward.

    Parameters
    ----------
    run : callable
        ``(*inputs, differentiable) -> outputs``.
    inputs : sequence of Tensor
    parameters : sequence of Tensor
        What else `run` depends on and is to be differentiated by.

    Returns
    -------
    tuple of Tensor

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (square,) = recomputed(lambda x, differentiable: (x * x,), [x], [])
    >>> torch.autograd.grad(square, x)
    (tensor(6.),)
    """
    apply: Callable[..., tuple[Tensor, ...]] = _Recomputed.apply
    return apply(run, len(inputs), *inputs, *parameters)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: Run, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.run, ctx.count = run, count
        ctx.save_for_backward(*tensors)
        kind = tensors[0].device.type
        enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        ctx.autocast = {"device_type": kind, "enabled": enabled, "dtype": dtype}
        return tuple(part.detach() for part in run(*tensors[:count], differentiable=False))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs = [part.detach().requires_grad_() for part in ctx.saved_tensors[: ctx.count]]
        with torch.enable_grad(), torch.autocast(**ctx.autocast):
            outputs = ctx.run(*inputs, differentiable=True)
        wanted = [*inputs, *ctx.saved_tensors[ctx.count :]]
        known = [n for n, part in enumerate(outputs) if part.requires_grad]
        found = torch.autograd.grad(
            [outputs[n] for n in known], wanted, [gradients[n] for n in known], allow_unused=True
        )
        return (None, None, *found)
