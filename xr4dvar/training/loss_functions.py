"""Training losses: each a function ``(analysis, target, ...) -> loss of each sample``.

All leave out cells where the target is NaN, and are means per cell of each sample, in units of
the variance of the first guess's error: 1 is what the background scores.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost, PriorTerm

__all__ = ["cost_as_loss", "gradient_loss", "supervised_loss"]

#: Share of training in which a given variance of the model's error falls to its value.
ANNEALED = 0.5


def supervised_loss(analysis: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean square error over the cells where the target is known.

    Parameters
    ----------
    analysis, target : Tensor, shape (B, V, T, Y, X)
        `target` may hold NaN where it is not known.
    weight : Tensor, broadcastable to them
        Weight of each cell, such as that of its place in the window.

    Returns
    -------
    Tensor, shape (B,)

    Examples
    --------
    >>> import torch
    >>> x, nan = torch.zeros(1, 1, 1, 1, 2), float("nan")
    >>> supervised_loss(x, torch.tensor([[[[[3.0, nan]]]]]), torch.ones(1))
    tensor([9.])
    """
    known = torch.isfinite(target)
    # where, not multiplication: NaN times 0 is NaN, in the backward pass too
    error = torch.where(known, analysis - torch.where(known, target, 0.0), 0.0)
    return _mean(error**2, known * weight)


def gradient_loss(analysis: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean square error of the differences between neighbours in y and x.

    Sharp fronts count more here than in `supervised_loss`. Shapes are the same.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(1, 1, 1, 1, 3)
    >>> gradient_loss(x, torch.tensor([[[[[0.0, 2.0, 2.0]]]]]), torch.ones(1, 1, 1, 1, 3))
    tensor([2.])
    """
    weight = weight.expand_as(analysis)
    total = torch.zeros(len(analysis), dtype=analysis.dtype, device=analysis.device)
    for dim in (-2, -1):
        if analysis.shape[dim] > 1:
            inner = weight.narrow(dim, 1, weight.shape[dim] - 1)
            total = total + supervised_loss(analysis.diff(dim=dim), target.diff(dim=dim), inner)
    return total


def cost_as_loss(cost: Cost, state: Tensor, batch: Batch, progress: float = 1.0) -> Tensor:
    """The cost of each sample as a loss: larger variances must not look like a better fit.

    A given variance of the model's error is approached from 1, the variance of the state,
    geometrically, as training goes on (`progress`, from 0 to 1). With a tight model from the
    start a network learns to rest where the model does, whatever is observed
    (annealing of the precision: Ye et al. 2015, https://doi.org/10.5194/npg-22-205-2015).
    """
    variances = {
        name: parameter.detach()
        for name, parameter in cost.named_parameters()
        if name.endswith("variance.log")
    }
    looser = max(0.0, 1 - progress / ANNEALED)
    for number, term in enumerate(cost.terms):
        if isinstance(term, PriorTerm) and not term.variance.learned:
            name = f"terms.{number}.variance.log"
            given = variances[name]
            variances[name] = given.clamp(min=0) + (1 - looser) * given.clamp(max=0)
    value: Tensor = torch.func.functional_call(cost, variances, (state, batch))
    return value


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    weight = weight.expand_as(values)
    total = weight.flatten(1).sum(1)
    return (values * weight).flatten(1).sum(1) / total.clamp(min=1e-12)
