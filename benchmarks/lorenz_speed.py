"""How fast the minimum of a weak-constraint cost is reached.

    python benchmarks/lorenz_speed.py --windows 2000

All components of Lorenz-63 are seen at 22 of 200 times; the cost and the start are those of the
course notebooks. One row a solver: what 20,000 gradient steps by autograd reach, then Gauss-Newton
when it has come to that cost, and when it has converged. The error is that of the observed span.
"""

from __future__ import annotations

import argparse
import time

import torch
import xarray as xr
from lorenz_notebook import STEP_SIZE, STEPS, notebook_cost, notebook_start

import xr4dvar as xv
from xr4dvar.batch import Batch
from xr4dvar.solvers import GaussNewton, GradientDescent, State, minimise

#: Times between the first and the last observation.
SPAN = slice(16, 185)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--scheme", choices=("euler", "rk4"), default="euler")
    parser.add_argument("--steps", type=int, default=STEPS, help="gradient steps")
    options = parser.parse_args()
    protocol = xv.datasets.LORENZ_PROTOCOLS["l63-all"]
    ds = xv.datasets.lorenz63(options.windows, seed=11, **protocol)
    batch, x = notebook_start(ds.obs)
    cost = notebook_cost(options.scheme)
    print(f"{'':28}{'steps':>8}{'seconds':>9}{'cost':>9}{'MSE':>8}")

    started = time.perf_counter()
    descended = minimise(cost, GradientDescent(STEP_SIZE), batch, options.steps, start=State(x)).x
    baseline = time.perf_counter() - started
    goal = report("gradient descent", options.steps, baseline, cost, descended, batch, ds)

    solver = GaussNewton(tolerance=1e-8)
    started = time.perf_counter()
    state = solver.init(cost, batch, x)
    while mean_cost(cost, state.x, batch) > goal:
        state = solver.step(cost, batch, state)
    seconds = time.perf_counter() - started
    report("Gauss-Newton, to that cost", state.step, seconds, cost, state.x, batch, ds)
    print(f"{baseline / seconds:.0f} times faster")

    started = time.perf_counter()
    state = minimise(cost, solver, batch, 500, start=solver.init(cost, batch, x))
    seconds = time.perf_counter() - started
    report("Gauss-Newton, converged", state.step, seconds, cost, state.x, batch, ds)


def mean_cost(cost: torch.nn.Module, x: torch.Tensor, batch: Batch) -> float:
    with torch.no_grad():
        return float(cost(x, batch).mean())


def report(
    name: str,
    steps: int,
    seconds: float,
    cost: torch.nn.Module,
    x: torch.Tensor,
    batch: Batch,
    ds: xr.Dataset,
) -> float:
    value = mean_cost(cost, x, batch)
    error = float(((x[:, 0, SPAN, 0].numpy() - ds.truth.values[:, SPAN]) ** 2).mean())
    print(f"{name:28}{steps:8}{seconds:9.2f}{value:9.3f}{error:8.3f}", flush=True)
    return value


if __name__ == "__main__":
    main()
