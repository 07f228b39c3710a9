"""What `fit` has found of a model, with labels and in the units of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from xr4dvar.methods.base import Parameters
from xr4dvar.methods.dynamics import Dynamics
from xr4dvar.methods.learned_dynamics import PREFIX, Corrected, QuadraticODE, learns, without

__all__ = ["coefficients", "learned_coefficients"]

#: What the weights of a model that is the prior of a network are called.
PRIOR_PREFIX = "prior.step."


def learned_coefficients(method: object, parameters: Parameters) -> xr.Dataset | None:
    """What a fitted method has found of its dynamics, or of the model that is its prior."""
    for setting, prefix in (("dynamics", PREFIX), ("prior", PRIOR_PREFIX)):
        dynamics = getattr(method, setting, None)
        if isinstance(dynamics, Dynamics) and learns(dynamics):
            weights = without(prefix, parameters.arrays)
            return coefficients(dynamics, weights, parameters.settings["components"])
    return None


def coefficients(
    dynamics: Dynamics, weights: Mapping[str, np.ndarray], names: Sequence[str]
) -> xr.Dataset | None:
    """Label what was found of a model, in the units of data and time.

    Parameters
    ----------
    dynamics : Dynamics
    weights : mapping of str to numpy.ndarray
        Of its flow.
    names : sequence of str
        The components of a state.

    Returns
    -------
    Dataset or None
        Of a `QuadraticODE` ``constant`` (component), ``linear`` (component, of) and ``quadratic``
        (component, of, with), in which each product has one place, the component that comes first
        along ``of``. Of other models their parameters. None where there is nothing to be read.
    """
    own = without("tendency.", weights)
    if isinstance(dynamics, Corrected):
        known = {f"tendency.{name}": v for name, v in without("known.", own).items()}
        return coefficients(dynamics.known, known, names) if learns(dynamics.known) else None
    if isinstance(dynamics, QuadraticODE):
        return _polynomial(own, names)
    return xr.Dataset({name: float(value) for name, value in own.items()})


def _polynomial(own: Mapping[str, np.ndarray], names: Sequence[str]) -> xr.Dataset:
    """The coefficients of the scaled states as those of the states."""
    n = len(names)
    mean, spread, rate = own["mean"], own["spread"], own["rate"]
    c, a = own["tendency.constant"], own["tendency.linear"] / spread
    b = np.zeros((n, n, n))
    b[:, *np.triu_indices(n)] = own["tendency.quadratic"]
    b = b / spread[:, None] / spread
    both = b + b.swapaxes(1, 2)
    out = rate * spread
    constant = out * (c - a @ mean + np.einsum("ijk,j,k->i", b, mean, mean))
    linear = out[:, None] * (a - both @ mean)
    dims = ("component", "of", "with")
    labels = list(names)
    return xr.Dataset(
        {
            "constant": (dims[:1], constant),
            "linear": (dims[:2], linear),
            "quadratic": (dims, out[:, None, None] * b),
        },
        coords=dict.fromkeys(dims, labels),
    )
