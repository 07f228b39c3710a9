"""What `fit` finds of a model: its weights as arrays, and the model with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from xr4dvar.dynamics.integrators import Flow, Step
from xr4dvar.dynamics.model import Dynamics, flow_of

__all__ = ["PREFIX", "fitted_flow", "learns", "to_arrays", "without"]

#: What the weights of a model are called among the arrays of a fit.
PREFIX = "dynamics."


def learns(dynamics: object) -> bool:
    """Whether `fit` has something to find.

    Examples
    --------
    >>> from xr4dvar.dynamics.learned import learns
    >>> learns(xv.Lorenz63()), learns(xv.Lorenz63(learned=True)), learns(xv.QuadraticODE(0.01))
    (False, True, True)
    """
    return bool(getattr(dynamics, "learned", False))


def to_arrays(flow: Flow) -> dict[str, np.ndarray]:
    """What a fit has found, as arrays of `Parameters`."""
    return {PREFIX + name: value.cpu().numpy() for name, value in flow.state_dict().items()}


def fitted_flow(dynamics: Dynamics, spacing: float, arrays: Mapping[str, np.ndarray]) -> Step:
    """The model from one time of the data to the next, with what `fit` has found."""
    step = flow_of(dynamics, spacing, arrays["climate"].shape[1])
    weights = without(PREFIX, arrays)
    if isinstance(step, torch.nn.Module) and weights:
        step.load_state_dict({name: torch.as_tensor(value) for name, value in weights.items()})
        step.requires_grad_(False)
    return step


def without(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is called so, without the prefix."""
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
