"""What needs no training: assimilation of the models of Lorenz by the models themselves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np
import xarray as xr
from lorenz_notebook import notebook_4dvar

import xr4dvar as xv

Rows: TypeAlias = dict[str, Callable[[], xr.DataArray]]


def from_the_model(obs: xr.DataArray, shown: xr.Dataset, members: int) -> Rows:
    """Lorenz-63 by its model, known or identified in windows that are shown first."""
    strong = xv.FourDVar(xv.Lorenz63(), 2.0)
    loose = xv.FourDVar(xv.Lorenz63(), 2.0, 1e-5)
    notebook = {
        f"notebook's weights, {scheme}, {solver}": partial(notebook_4dvar, obs, scheme, solver)
        for scheme in ("euler", "rk4")
        for solver in ("descent", "converged")
    }
    return {
        **notebook,
        "weak constraint, Q 1e-5": lambda: obs.fourdvar.reconstruct(loose),
        **from_other_starts(obs, loose),
        "strong constraint": lambda: obs.fourdvar.reconstruct(strong),
        f"mean of an ensemble of {members}": lambda: obs.fourdvar.reconstruct(
            strong, ensemble=members
        ),
        **identified(obs, shown),
    }


def from_other_starts(obs: xr.DataArray, method: xv.FourDVar) -> Rows:
    """The same from one first guess, and from those of other free runs."""
    alone = replace(method, starts=1)

    def guessed(seed: int) -> xr.DataArray:
        return obs.fourdvar.reconstruct(obs.fourdvar.fit(method, seed=seed))

    others = {
        f"the same, other first guesses, {seed}": partial(guessed, seed) for seed in (1, 2, 3)
    }
    return {"the same, one first guess": lambda: obs.fourdvar.reconstruct(alone), **others}


def from_a_model_on_a_ring(obs: xr.DataArray, **ring: object) -> Rows:
    """Lorenz-96 by its model."""
    method = xv.FourDVar(xv.Lorenz96(), 2.0, 1e-3, starts=1)
    return {"weak constraint, Q 1e-3": lambda: obs.fourdvar.reconstruct(method, **ring)}


def identified(obs: xr.DataArray, shown: xr.Dataset) -> Rows:
    """Strong constraint with models that are found in other windows first."""
    noise = np.random.default_rng(0).normal(size=shown.truth.shape)
    targets = {
        "the truth": shown.truth,
        "the truth with noise 0.1": shown.truth + 0.1**0.5 * noise,
    }
    if bool(shown.obs.notnull().any(("window", "time")).all()):
        targets["observations"] = None

    def reconstruct(target: xr.DataArray | None) -> xr.DataArray:
        started = time.perf_counter()
        method = xv.FourDVar(xv.QuadraticODE(dt=0.01), 2.0)
        model = shown.obs.fourdvar.fit(method, target)
        print(f"(a model found in {time.perf_counter() - started:.0f} s)")
        print(f"({against_the_truth(model.coefficients)})", flush=True)
        return obs.fourdvar.reconstruct(model)

    return {
        f"model identified from {name}": partial(reconstruct, target)
        for name, target in targets.items()
    }


def against_the_truth(found: xr.Dataset) -> str:
    """Coefficients that Lorenz-63 has beside those that were found, and the largest of the rest."""
    true = {
        ("linear", "x", "x"): -10.0, ("linear", "x", "y"): 10.0, ("linear", "y", "x"): 28.0,
        ("linear", "y", "y"): -1.0, ("linear", "z", "z"): -8 / 3,
        ("quadratic", "y", "x", "z"): -1.0, ("quadratic", "z", "x", "y"): 1.0,
    }  # fmt: skip
    rest, texts = found.copy(deep=True), []
    for (kind, *place), value in true.items():
        where = dict(zip(("component", "of", "with"), place, strict=False))
        texts.append(f"{float(found[kind].sel(where)):.3f} for {value:.3f}")
        rest[kind].loc[where] = 0.0
    others = max(float(abs(rest[kind]).max()) for kind in ("constant", "linear", "quadratic"))
    return f"coefficients found: {', '.join(texts)}; the other 23: at most {others:.3f}"
