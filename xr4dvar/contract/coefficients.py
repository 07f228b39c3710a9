"""What `fit` has found of a model, with labels and in the units of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from xr4dvar.contract.method import Parameters
from xr4dvar.dynamics.learned import PREFIX, learns, without
from xr4dvar.dynamics.model import Dynamics

__all__ = ["learned_coefficients"]

#: What the weights of a model that is the prior of a network are called.
PRIOR_PREFIX = "cost.terms.1.prior.step."


def learned_coefficients(method: object, parameters: Parameters) -> xr.Dataset | None:
    """Label what a fitted method has found of its dynamics, or of the model that is its prior.

    Returns
    -------
    Dataset or None
        Of a `QuadraticODE` ``constant`` (component), ``linear`` (component, of) and ``quadratic``
        (component, of, with), in which each product has one place, the component that comes first
        along ``of``. Of other models their parameters, of an `ODE` those of its module. None
        where there is nothing to be read.
    """
    for setting, prefix in (("dynamics", PREFIX), ("prior", PRIOR_PREFIX)):
        dynamics = getattr(method, setting, None)
        if isinstance(dynamics, Dynamics) and learns(dynamics):
            weights = without(prefix, parameters.arrays)
            return _coefficients(dynamics, weights, parameters.settings["components"])
    return None


def _coefficients(
    dynamics: Dynamics, weights: Mapping[str, np.ndarray], names: Sequence[str]
) -> xr.Dataset | None:
    """Coefficients from the weights of a flow and the names of the components."""
    own = without("tendency.", weights)
    if (known := getattr(dynamics, "known", None)) is not None:  # what corrects it is a network
        own = without("known.", own) if learns(known) else {}
    if "tendency.quadratic" in own:
        return _polynomial(own, names)
    called = {name: name.removeprefix("function.") for name in own}  # of the user's own module
    found = {
        called[name]: ([f"{called[name]}_{n}" for n in range(value.ndim)], value)
        for name, value in own.items()
    }
    return xr.Dataset(found) if own else None


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
