"""The models of Lorenz, observed in part and with noise: the teaching problems of assimilation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr4dvar.arguments import (
    check_count,
    check_finite,
    check_flag,
    check_number,
    check_seed,
    is_word,
    shown,
)
from xr4dvar.errors import InputError, Problems

__all__ = ["LORENZ_PROTOCOLS", "lorenz63", "lorenz96"]

_PROTOCOLS: dict[str, dict[str, Any]] = {
    "l63-x": {"observed": ("x",)},
    "l63-x-rk45": {"observed": ("x",), "truth": "rk45"},
    "l63-x-exact": {"observed": ("x",), "noise_variance": 0.0},
    "l63-x-cycled": {"observed": ("x",), "every": 8, "first": 8, "last": 960, "steps": 961},
    "l63-all": {"observed": ("x", "y", "z")},
    "l63-all-rk45": {"observed": ("x", "y", "z"), "truth": "rk45"},
    "l63-all-cycled": {
        "observed": ("x", "y", "z"),
        "every": 25,
        "first": 25,
        "last": 3000,
        "steps": 3001,
    },
    "l96-12": {"observed": 20, "every": 4},
    "l96-all-cycled": {"observed": 40, "every": 1, "noise_variance": 1.0, "steps": 121},
}
#: Arguments of :func:`lorenz63` and :func:`lorenz96` by the names of the published problems.
#: ``"l63-x"`` and ``"l63-all"`` are those of the course notebooks behind the 4DVarNet papers, with
#: ``-rk45`` also in their integrator, with ``-exact`` without noise. The cycled ones are long
#: series in the set-ups of DAPPER (120 cycles, of Lorenz-96 also time 0), for
#: :class:`xr4dvar.CycledFourDVar`.
LORENZ_PROTOCOLS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {k: MappingProxyType(v) for k, v in _PROTOCOLS.items()}
)

#: Time units that a trajectory runs before it is used, from a random state to the attractor.
SPIN_UP = 20.0

FloatArray = npt.NDArray[np.float64]


def lorenz63(
    windows: int = 100,
    *,
    steps: int = 200,
    dt: float = 0.01,
    observed: Sequence[Literal["x", "y", "z"]] = ("x",),
    every: int = 8,
    first: int = 16,
    last: int = 184,
    noise_variance: float = 2.0,
    truth: Literal["accurate", "rk45"] = "accurate",
    seed: int = 0,
) -> xr.Dataset:
    """Simulate windows of the model of Lorenz (1963), each from a start of its own.

    Parameters
    ----------
    windows, steps : int
        Number of windows, and of states in each.
    dt : float
        Time between states.
    observed : sequence of {"x", "y", "z"}
        Components that are seen.
    every, first, last : int
        Steps that are seen: ``first``, ``first + every``, ... up to ``last``.
    noise_variance : float
        Of the observations.
    truth : {"accurate", "rk45"}
        Runge and Kutta's fourth order at a tenth of `dt` (to 1e-6 over a window), or what
        ``scipy.integrate.solve_ivp`` gives by default, as in the course notebooks.
    seed : int
        Other seeds give other starts, so trajectories that are disjoint.

    Returns
    -------
    Dataset
        float64 on (window, time, component): ``truth``, and ``obs`` with NaN where not seen.

    Raises
    ------
    InputError
        An argument cannot be used.

    See Also
    --------
    LORENZ_PROTOCOLS : the published problems by name.

    Examples
    --------
    >>> ds = xv.datasets.lorenz63(windows=3, **xv.datasets.LORENZ_PROTOCOLS["l63-x"])
    >>> dict(ds.sizes), int(ds.obs.notnull().sum())
    ({'window': 3, 'time': 200, 'component': 3}, 66)
    """
    from xr4dvar.dynamics import Lorenz63Tendency

    names = ["x", "y", "z"]
    problems = _check(windows, steps, dt, every, noise_variance, seed)
    for name, value in (("first", first), ("last", last)):
        check_count(name, value, problems, least=0)
    given: object = observed
    if not isinstance(given, Sequence):
        problems.add(f"observed is {shown(observed)}", "give a sequence of 'x', 'y' and 'z'")
    elif unknown := [name for name in observed if name not in names]:
        problems.add(f"observed has {unknown}", "choose from 'x', 'y', 'z'")
    if not is_word(truth, "accurate", "rk45"):
        problems.add(f"truth is {shown(truth)}", "use 'accurate' or 'rk45'")
    problems.raise_if_any()
    seen = np.zeros((steps, len(names)), bool)
    seen[first : last + 1 : every, [names.index(name) for name in observed]] = True
    if not seen.any():
        what = f"of {steps} steps none is seen: first {first}, last {last}, observed {observed!r}"
        raise InputError([(what, f"see some of the steps from 0 to {steps - 1}")])
    generator = np.random.default_rng([seed, 63])
    start = np.array([0.0, 0.0, 25.0]) + 8 * generator.standard_normal((windows, 3))
    tendency = Lorenz63Tendency()
    start = _integrate(tendency, start, dt, round(SPIN_UP / dt) + 1, substeps=1)[:, -1]
    if truth == "rk45":
        states = np.stack([_solve_ivp(tendency, one, dt, steps) for one in start])
    else:
        states = _integrate(tendency, start, dt, steps, substeps=10)
    seen = np.broadcast_to(seen, states.shape)
    return _dataset(states, seen, noise_variance, dt, names, "Lorenz-63", generator)


def lorenz96(
    windows: int = 100,
    *,
    sites: int = 40,
    forcing: float = 8.0,
    steps: int = 200,
    dt: float = 0.05,
    observed: int = 20,
    every: int = 4,
    same_sites: bool = False,
    noise_variance: float = 2.0,
    seed: int = 0,
) -> xr.Dataset:
    """Simulate windows of the model of Lorenz (1996), each from a start of its own.

    Parameters
    ----------
    windows, steps : int
        Number of windows, and of states in each.
    sites : int
        Points on the ring.
    forcing : float
        F of the model.
    dt : float
        Time between states; the truth is integrated with it, by Runge and Kutta's fourth order.
    observed : int
        Sites seen at a time, drawn anew for each time and window.
    every : int
        Every so many steps something is seen, from step 0 on.
    same_sites : bool
        Draw the sites once, for all windows alike, as the published benchmark did: an easier
        problem, for what is learned in one window then holds in all.
    noise_variance : float
        Of the observations.
    seed : int
        Other seeds give other starts, so trajectories that are disjoint.

    Returns
    -------
    Dataset
        float64 on (window, time, site): ``truth``, and ``obs`` with NaN where not seen.

    Raises
    ------
    InputError
        An argument cannot be used.

    Examples
    --------
    >>> ds = xv.datasets.lorenz96(windows=2, **xv.datasets.LORENZ_PROTOCOLS["l96-12"])
    >>> float(ds.obs.notnull().mean())
    0.125
    """
    from xr4dvar.dynamics import Lorenz96Tendency

    problems = _check(windows, steps, dt, every, noise_variance, seed)
    check_finite("forcing", forcing, problems)
    check_flag("same_sites", same_sites, problems)
    check_count("sites", sites, problems, least=4)
    check_count("observed", observed, problems)
    if not problems.found and observed > sites:
        problems.add(f"observed is {observed}, there are {sites} sites", "observe fewer")
    problems.raise_if_any()
    generator = np.random.default_rng([seed, 96])
    start = forcing + generator.standard_normal((windows, sites))
    tendency = Lorenz96Tendency(forcing)
    start = _integrate(tendency, start, dt, round(SPIN_UP / dt) + 1, substeps=1)[:, -1]
    states = _integrate(tendency, start, dt, steps, substeps=1)
    seen = np.zeros(states.shape, bool)
    drawn = generator.random((1 if same_sites else windows, len(range(0, steps, every)), sites))
    seen[:, ::every] = drawn.argsort(-1).argsort(-1) < observed
    ds = _dataset(states, seen, noise_variance, dt, list(range(sites)), "Lorenz-96", generator)
    return ds.rename(component="site")


def _check(
    windows: object,
    steps: object,
    dt: object,
    every: object,
    noise_variance: object,
    seed: object,
) -> Problems:
    problems = Problems()
    for name, value in (("windows", windows), ("steps", steps), ("every", every)):
        check_count(name, value, problems)
    check_number("dt", dt, problems)
    check_number("noise_variance", noise_variance, problems, zero=True)
    check_seed(seed, problems)
    return problems


def _integrate(
    tendency: Any, start: FloatArray, dt: float, steps: int, substeps: int
) -> FloatArray:
    """States (n, steps, components) from starts (n, components)."""
    import torch

    from xr4dvar.dynamics import Flow, trajectory

    flow = Flow(tendency, dt, substeps=substeps)
    with torch.no_grad():
        states: FloatArray = trajectory(flow, torch.from_numpy(start), steps).numpy()
    if not np.isfinite(states).all():
        raise InputError([(f"with dt {dt:g} the model runs out of bounds", "take a smaller dt")])
    return states


def _solve_ivp(tendency: Any, start: FloatArray, dt: float, steps: int) -> FloatArray:
    """States (steps, components) as scipy's default integrator gives them."""
    import torch
    from scipy.integrate import solve_ivp

    def rate(_: float, state: FloatArray) -> FloatArray:
        with torch.no_grad():
            found: FloatArray = tendency(torch.from_numpy(state)).numpy()
        return found

    end = dt * (steps - 1)
    solution = solve_ivp(rate, (0.0, end), start, t_eval=np.linspace(0.0, end, steps))
    states: FloatArray = solution.y.T
    return states


def _dataset(
    states: FloatArray,
    seen: npt.NDArray[np.bool_],
    noise_variance: float,
    dt: float,
    names: Sequence[str | int],
    model: str,
    generator: np.random.Generator,
) -> xr.Dataset:
    noise = noise_variance**0.5 * generator.standard_normal(states.shape)
    dims = ("window", "time", "component")
    fields = {
        "truth": (dims, states, {"long_name": f"state of {model}", "units": "1"}),
        "obs": (
            dims,
            np.where(seen, states + noise, np.nan),
            {"long_name": f"observed state of {model}", "units": "1"},
        ),
    }
    coords = {
        "window": np.arange(len(states)),
        "time": ("time", dt * np.arange(states.shape[1]), {"axis": "T", "long_name": "time"}),
        "component": ("component", list(names), {"axis": "X"}),
    }
    return xr.Dataset(fields, coords)
