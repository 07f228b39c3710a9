"""Priors that are learned from complete windows, whatever observes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, TypeGuard, runtime_checkable

from torch import nn

from xr4dvar.networks.layout import Layout
from xr4dvar.priors.auto_encoder import AutoEncoder
from xr4dvar.priors.denoiser import Denoiser
from xr4dvar.priors.eof import EOFs
from xr4dvar.priors.two_scale import GibbsField

__all__ = ["ModulePrior", "StaticPrior", "is_module_prior"]

StaticPrior: TypeAlias = EOFs | AutoEncoder | Denoiser | GibbsField


@runtime_checkable
class ModulePrior(Protocol):
    """A prior whose Phi is a module: what a prior of your own has to be.

    A frozen dataclass with this method, for `Variational`, which trains the module by itself, and
    for `FourDVarNet`, which trains it together with the solver. Where there are such,
    ``check(problems)`` notes settings that cannot be used, and ``training`` says how long to train
    it by itself.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import torch
    >>> from xr4dvar.priors import ModulePrior
    >>> class Damped(torch.nn.Module):
    ...     def forward(self, x, context=None):
    ...         return 0.9 * x
    >>> @dataclass(frozen=True)
    ... class Damping:
    ...     def module(self, shape, context, layout):
    ...         return Damped()
    >>> isinstance(Damping(), ModulePrior)
    True
    """

    def module(self, shape: Sequence[int], context: int, layout: Layout) -> nn.Module:
        """Give Phi, a module ``(x, context) -> Phi(x)``.

        Parameters
        ----------
        shape : sequence of int
            Of a state, (V, T, Y, X).
        context : int
            Channels of the context, as they are laid out.
        layout : Layout
            From states to images, and whether x closes on itself.
        """


def is_module_prior(value: object) -> TypeGuard[ModulePrior]:
    """Whether a value is a prior whose Phi is a module: one of its classes is none yet."""
    return not isinstance(value, type) and isinstance(value, ModulePrior)
