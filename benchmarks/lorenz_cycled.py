"""Cycled assimilation of long series, in the set-ups of DAPPER.

    python benchmarks/lorenz.py --problem cycled

Every series is assimilated in overlapping windows. Scored is the root mean square error over the
components at the times of observation, averaged over them and the series, without the first
cycles: smoothed (with the observations of a window ahead) and filtered (with those until then).
Where DAPPER is installed (``pip install dapper``) it assimilates the same observations.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

import xr4dvar as xv

#: Cycles of each series that are left out of the scores.
BURN_IN = 20


@dataclass(frozen=True)
class SetUp:
    """A problem by name, its model, and how long a window is."""

    name: str
    protocol: str
    model: xv.Lorenz63 | xv.Lorenz96
    lag: int  # observations of a window

    @property
    def on_a_ring(self) -> bool:
        return isinstance(self.model, xv.Lorenz96)

    @property
    def settings(self) -> Mapping[str, Any]:
        return xv.datasets.LORENZ_PROTOCOLS[self.protocol]

    @property
    def every(self) -> int:
        return self.settings["every"]

    @property
    def variance(self) -> float:
        return self.settings.get("noise_variance", 2.0)

    def simulate(self, series: int, cycles: int) -> xr.Dataset:
        last = cycles * self.every
        length = {"steps": last + 1} | ({} if self.on_a_ring else {"last": last})
        make = xv.datasets.lorenz96 if self.on_a_ring else xv.datasets.lorenz63
        ds = make(series, seed=5, **{**self.settings, **length})
        return ds.assign(obs=ds.obs.where(ds.time > 0))

    def cycle(self, obs: xr.DataArray, estimate: str) -> xr.DataArray:
        method = xv.FourDVar(self.model, self.variance, starts=1 if self.on_a_ring else 5)
        window = self.lag * self.every + 1
        cycled = xv.CycledFourDVar(method, window, self.every, estimate=estimate, inflation=1.1)
        ring = {"dims": {"time": "time", "x": "site"}, "periodic": ("x",)}
        return obs.fourdvar.reconstruct(cycled, **(ring if self.on_a_ring else {}))


SET_UPS = (
    SetUp("Lorenz-63, all, every 25", "l63-all-cycled", xv.Lorenz63(), 4),
    SetUp("Lorenz-63, x, every 8", "l63-x-cycled", xv.Lorenz63(), 12),
    SetUp("Lorenz-96, all, every 1", "l96-all-cycled", xv.Lorenz96(), 6),
)


def run(series: int, cycles: int, only: str | None) -> None:
    """Print the table."""
    print(f"{series} series of {cycles} cycles, the first {BURN_IN} of each not scored")
    print(f"{'':46}{'smoothed':>10}{'filtered':>10}{'seconds':>9}")
    for setup in SET_UPS:
        if only and only not in setup.name:
            continue
        ds = setup.simulate(series, cycles)
        started = time.perf_counter()
        found = [
            rmse(setup.cycle(ds.obs, estimate) - ds.truth, setup.every)
            for estimate in ("smoothed", "filtered")
        ]
        report(f"{setup.name}: 4DVar, lag {setup.lag}", *found, started)
        for name, smoothed, filtered, started in peers(setup, ds):
            report(f"{setup.name}: {name}", smoothed, filtered, started)


def report(name: str, smoothed: float, filtered: float, started: float) -> None:
    seconds = time.perf_counter() - started
    print(f"{name:46}{smoothed:10.3f}{filtered:10.3f}{seconds:9.0f}", flush=True)


def rmse(error: xr.DataArray, every: int) -> float:
    """At the times of observation, after the first cycles."""
    at = error.isel(time=slice(every * (BURN_IN + 1), None, every))
    components = [dim for dim in error.dims if dim not in ("window", "time")]
    return float(((at**2).mean(components) ** 0.5).mean())


def peers(setup: SetUp, ds: xr.Dataset) -> Iterator[tuple[str, float, float, float]]:
    """The same observations through DAPPER's iterative ensemble Kalman smoother."""
    try:
        import dapper.da_methods as da
        import dapper.mods as modelling
        import dapper.tools.progressbar as progressbar
    except ImportError:
        return
    progressbar.disable_progbar = True
    hmm = hidden_markov_model(setup, ds, modelling)
    order = ("window", "time", "site" if setup.on_a_ring else "component")
    truth, obs = (ds[name].transpose(*order).values for name in ("truth", "obs"))
    members = 50 if setup.on_a_ring else 10
    for lag in (1, 3):
        started, scores = time.perf_counter(), []
        for n in range(len(truth)):
            seen = obs[n, setup.every :: setup.every]
            yy = seen[:, np.isfinite(seen).all(0)]
            np.random.seed(n)  # DAPPER draws from it
            smoother = da.iEnKS("Sqrt", N=members, Lag=lag, infl=1.02, rot=True, nIter=10)
            smoother.assimilate(hmm, truth[n], yy, liveplots=False)
            smoother.stats.average_in_time()
            averages = smoother.avrgs.rmse
            scores.append((averages.s.val, averages.a.val))
        smoothed, filtered = np.mean(scores, 0)
        yield f"DAPPER iEnKS, lag {lag}, N {members}", smoothed, filtered, started


def hidden_markov_model(setup: SetUp, ds: xr.Dataset, modelling: object):
    """DAPPER's description of the set-up, with the times of the data."""
    if setup.on_a_ring:
        from dapper.mods.Lorenz96.sakov2008 import HMM
    else:
        from dapper.mods.Lorenz63.sakov2012 import HMM
    from dapper.mods.utils import partial_Id_Obs
    from dapper.tools.chronos import Chronology
    from dapper.tools.randvars import GaussRV

    step = float(ds.time[1])
    cycles = (ds.sizes["time"] - 1) // setup.every
    times = Chronology(step, dko=setup.every, Ko=cycles - 1, BurnIn=BURN_IN * setup.every * step)
    n = HMM.Nx
    seen = np.array([0]) if setup.settings["observed"] == ("x",) else np.arange(n)
    states = setup.simulate(50, BURN_IN).truth.isel(time=-1).values
    climate = GaussRV(mu=states.mean(0), C=np.cov(states.T) + 1e-3 * np.eye(n))
    observation = {**partial_Id_Obs(n, seen), "noise": setup.variance}
    return modelling.HiddenMarkovModel(HMM.Dyn, observation, times, climate)
