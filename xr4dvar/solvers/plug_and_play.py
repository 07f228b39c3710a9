"""Half-quadratic splitting, whose prior is a denoiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost, ObservationTerm
from xr4dvar.errors import InputError
from xr4dvar.registry import register, shorthand
from xr4dvar.solvers.conjugate_gradient import conjugate_gradient
from xr4dvar.solvers.loop import State

__all__ = ["PlugAndPlay"]

#: Of the best estimate between observations H(x) and a state: what is left, and iterations.
ACCURACY, ITERATIONS = 1e-6, 100


@register
@dataclass(frozen=True)
class PlugAndPlay:
    r"""Observations and a denoiser in turn, at noise levels that fall.

    The error R of the observations is split in two by a field x between them and the state z:
    ``y - x`` of variance :math:`R - s^2`, ``x - z`` of variance :math:`s^2`. In turn x is the best
    estimate from both sides, and ``z = Den(x, s)``:

    .. math:: x = z + \min(1, n s^2 / R) (y - z), \qquad z \leftarrow \mathrm{Den}(x, s_k)

    With a linear observation operator H the error is R at all levels, and
    :math:`x = z + s^2 H^T (s^2 H H^T + R)^{-1} (y - H z)` by conjugate gradients.

    Parameters
    ----------
    denoiser : callable, optional
        Den, ``(x, s) -> z`` with s a tensor of shape (): the expected state, given the state plus
        white noise of standard deviation s. Default, as of the levels: what `Variational` takes
        from its prior.
    levels : sequence of float, optional
        s of each step, in the state's units; the last one is kept on.

    Raises
    ------
    InputError
        The levels are not positive.

    Notes
    -----
    With the Wiener filter of a Gaussian field as denoiser the fixed point is the optimal
    interpolation, whatever the level, as long as :math:`n s^2 \le R`
    (Venkatakrishnan et al. 2013, https://doi.org/10.1109/GlobalSIP.2013.6737048;
    Zhang et al. 2022, https://doi.org/10.1109/TPAMI.2021.3088914).

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import Variance
    >>> from xr4dvar.solvers import minimise
    >>> solver = PlugAndPlay(lambda x, s: x / (1 + s**2), levels=[1.0, 0.5])
    >>> batch = Batch.from_gappy(torch.full((1, 1, 1, 1, 1), 2.0))
    >>> round(minimise(Cost([ObservationTerm(Variance(1.0))]), solver, batch, steps=40).x.item(), 3)
    1.0
    """

    denoiser: Callable[[Tensor, Tensor], Tensor] | None = None
    levels: Sequence[float] | None = None

    needs_denoiser: ClassVar[bool] = True
    minimises: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.levels is not None:
            object.__setattr__(self, "levels", tuple(self.levels))
        levels = self.levels
        if levels is not None and not (levels and all(0 < s < float("inf") for s in levels)):
            raise InputError([(f"levels are {levels!r}", "give positive noise levels")])

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start from an estimate; from zero where there is none."""
        return State(batch.zeros() if x is None else x)

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Put the observations in, and take the noise off."""
        if self.denoiser is None or self.levels is None:
            what = "PlugAndPlay has no denoiser, or no noise levels"
            raise InputError([(what, "give both, or xr4dvar.Denoiser() as the prior")])
        level = self.levels[min(state.step, len(self.levels) - 1)]
        with torch.set_grad_enabled(differentiable):
            x = _best_estimate(state.x, level**2, _error_variance(cost), batch)
            z = self.denoiser(x, torch.as_tensor(level, dtype=x.dtype, device=x.device))
        return State(z, state.step + 1)


shorthand("solver", "plug_and_play", PlugAndPlay())


def _best_estimate(z: Tensor, variance: float, error: Tensor, batch: Batch) -> Tensor:
    """The likeliest x between observations and a state z that is off by so much variance."""
    precision = batch.weight * variance / error
    operator = batch.operator
    if operator is None:
        return z - precision.clamp(max=1) * batch.misfit(z)
    found = conjugate_gradient(
        lambda x: x + operator.adjoint(precision * operator(x)),
        -operator.adjoint(precision * batch.misfit(z)), ACCURACY, ITERATIONS,
    )  # fmt: skip
    return z + found


def _error_variance(cost: Cost) -> Tensor:
    """R of a cost of observations alone: the prior is in the denoiser."""
    if len(cost.terms) != 1 or not isinstance(cost.terms[0], ObservationTerm):
        names = ", ".join(type(term).__name__ for term in cost.terms)
        what = f"the prior of this solver is its denoiser, the cost has {names}"
        raise InputError([(what, "give a cost of one ObservationTerm")])
    variance: Tensor = cost.terms[0].variance()
    return variance
