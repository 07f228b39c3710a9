"""A fitted method: what `fit` returns, `reconstruct` takes and a file holds."""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr

from xr4dvar.contract.coefficients import learned_coefficients
from xr4dvar.methods import Describes, Method, Parameters, to_config

__all__ = ["Model", "digest_of"]


@dataclass(frozen=True, eq=False)
class Model:
    """A method with the parameters that `fit` found.

    Parameters
    ----------
    method : Method
        Its configuration.
    parameters : Parameters
        Settings and weights.
    variables : mapping of str to str
        Names and units of the variables that it is for.
    grid : mapping
        Axes, units and spacing that it is for (`Grid.signature`).
    seed : int
    background : Model, optional
        The fitted background method.
    covariates : mapping of str to str
        Names and units of the fields that it looks at and does not map.
    computed : tuple of Computed
        Those of them that follow from coordinates.
    leads : int
        Times that it forecasts: it was fitted to windows whose last ones are not observed.
    states : mapping of str to str
        Names and units of the variables that it maps, where these are others than are observed.

    Examples
    --------
    >>> ds = xv.datasets.gulfstream_twin().isel(time=slice(0, 20))
    >>> oi = xv.OptimalInterpolation(length={"time": "7D", "lat": 1.0, "lon": 1.0})
    >>> model = xv.fit(ds.ssh_nadir4, oi)
    >>> model.save("oi.safetensors")
    >>> xv.load("oi.safetensors").digest == model.digest
    True
    """

    method: Method
    parameters: Parameters
    variables: Mapping[str, str]
    grid: Mapping[str, Any]
    seed: int = 0
    background: Model | None = None
    covariates: Mapping[str, str] = field(default_factory=dict)
    computed: tuple[Any, ...] = ()
    leads: int = 0
    states: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Everything but the weights, ready for JSON."""
        known: dict[str, Any] = {}  # of models without these the digest is what it always was
        if self.covariates:
            computed = [to_config(part) for part in self.computed]
            known = {"covariates": dict(self.covariates), "computed": computed}
        if self.leads:
            known["leads"] = self.leads
        if self.states:
            known["states"] = dict(self.states)
        return {
            "method": to_config(self.method),
            "settings": to_config(self.parameters.settings),
            "variables": dict(self.variables),
            "grid": dict(self.grid),
            "seed": int(self.seed),
            "background": None if self.background is None else self.background.config,
            **known,
        }

    @cached_property
    def digest(self) -> str:
        """Digest of the configuration and of all weights: the same for equal models."""
        return digest_of(self.config, self.arrays)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All weights, with those of the background under ``background/``."""
        arrays = dict(self.parameters.arrays)
        if self.background is not None:
            arrays |= {f"background/{name}": a for name, a in self.background.arrays.items()}
        return arrays

    @property
    def history(self) -> xr.Dataset | None:
        """How training went, along ``epoch``; None where nothing was trained."""
        return self.parameters.history

    @property
    def coefficients(self) -> xr.Dataset | None:
        """What `fit` found of the dynamics, labelled, in the units of data and time.

        Of a `QuadraticODE` ``constant`` (component), ``linear`` (component, of) and ``quadratic``
        (component, of, with), in which each product has one place, the component that comes first
        along ``of``; of other models their parameters. None where nothing was learned that can be
        read, such as a network.
        """
        return learned_coefficients(self.method, self.parameters)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write one safetensors file; see `xr4dvar.load`."""
        from xr4dvar.persistence import save

        save(self, path, overwrite=overwrite)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__qualname__, self.digest

    def __repr__(self) -> str:
        return "\n".join([f"<xr4dvar.Model: {type(self.method).__name__}>", *self._lines()])

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        pairs = (map(html.escape, line.strip().split(": ", 1)) for line in self._lines())
        rows = "".join(
            f"<tr><th {left}>{name}</th><td {left}>{value}</td></tr>" for name, value in pairs
        )
        title = f"xr4dvar.Model: {type(self.method).__name__}"
        return f"<strong>{html.escape(title)}</strong><table>{rows}</table>"

    def _lines(self) -> list[str]:
        axes = self.grid["axes"]
        spacing = ", ".join(
            f"{role} {axis['spacing']:.4g} {axis['units']}" if axis["spacing"] else role
            for role, axis in axes.items()
        )
        names, maps = (
            ", ".join(f"{name} ({units or 'no units'})" for name, units in one.items())
            for one in (self.variables, self.states)
        )
        weights = sum(array.size for array in self.parameters.arrays.values())
        lines = [f"  variables: {names}", f"  grid: {spacing}", f"  weights: {weights:,} numbers"]
        if self.states:
            lines.insert(1, f"  maps: {maps}")
        if self.covariates:
            lines.insert(1, f"  covariates: {', '.join(self.covariates)}")
        if self.leads:
            lines.insert(1, f"  forecast: {self.leads} times ahead")
        if isinstance(self.method, Describes):
            found = self.method.described(self.parameters, self.grid["axes"])
            lines += [f"  {name}: {text}" for name, text in found.items()]
        if self.background is not None:
            lines.append(f"  background: {type(self.background.method).__name__}")
        return [*lines, f"  digest: {self.digest}"]


def digest_of(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Digest of a configuration, ready for JSON, and of weights."""
    total = hashlib.blake2b(digest_size=16)
    total.update(json.dumps(config, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        total.update(f"{name}{array.dtype}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
