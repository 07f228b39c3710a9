"""How fast the minimum of a weak-constraint cost is reached.

    OMP_NUM_THREADS=1 python benchmarks/lorenz_speed.py --windows 2000

All components of Lorenz-63 are seen at 22 of 200 times; the cost and the start are those of the
course notebooks. First what 20,000 gradient steps by autograd reach; then every other solver, when
it has come to that cost and, where it knows, when it has converged. Seconds are those of the
processor, so that a busy machine does not tell. The error is that of the observed span.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from lorenz_notebook import STEP_SIZE, STEPS, notebook_cost, notebook_start

import xr4dvar as xv
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost
from xr4dvar.solvers import (
    LBFGS,
    Adam,
    GaussNewton,
    GaussNewtonCG,
    GradientDescent,
    State,
    minimise,
)
from xr4dvar.solvers.loop import Solver

#: Times between the first and the last observation.
SPAN = slice(16, 185)
#: Solvers, and their steps at most on the way to the cost of the first.
SOLVERS: dict[str, tuple[Solver, int]] = {
    "momentum 0.9": (GradientDescent(STEP_SIZE, momentum=0.9), 10_000),
    "Adam": (Adam(0.05), 10_000),
    "L-BFGS": (LBFGS(tolerance=1e-6), 2_000),
    "Gauss-Newton, CG": (GaussNewtonCG(tolerance=1e-6), 100),
    "Gauss-Newton": (GaussNewton(tolerance=1e-6), 500),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--scheme", choices=("euler", "rk4"), default="euler")
    parser.add_argument("--steps", type=int, default=STEPS, help="gradient steps")
    parser.add_argument("--solvers", nargs="*", choices=SOLVERS, default=list(SOLVERS))
    options = parser.parse_args()
    protocol = xv.datasets.LORENZ_PROTOCOLS["l63-all"]
    ds = xv.datasets.lorenz63(options.windows, seed=11, **protocol)
    batch, x = notebook_start(ds.obs)
    cost = notebook_cost(options.scheme)

    started = time.process_time()
    state = minimise(cost, GradientDescent(STEP_SIZE), batch, options.steps, start=State(x))
    seconds = time.process_time() - started
    compare(cost, batch, x, state, seconds, ds.truth.values, options.solvers)


def compare(
    cost: Cost,
    batch: Batch,
    x: torch.Tensor,
    descended: State,
    seconds: float,
    truth: np.ndarray,
    solvers: list[str],
) -> None:
    """Print a row for the first solver, and one or two for each of the others."""
    print(f"{'':32}{'steps':>8}{'seconds':>9}{'faster':>8}{'cost':>9}{'MSE':>8}")

    def report(name: str, state: State, own: float) -> None:
        error = float(((state.x[:, 0, SPAN, 0].numpy() - truth[:, SPAN]) ** 2).mean())
        value = mean_cost(cost, state.x, batch)
        row = f"{name:32}{state.step:8}{own:9.2f}{seconds / own:8.1f}{value:9.4f}{error:8.4f}"
        print(row, flush=True)

    report("gradient descent", descended, seconds)
    goal = mean_cost(cost, descended.x, batch)
    for name in solvers:
        solver, most = SOLVERS[name]
        started = time.process_time()
        state = solver.init(cost, batch, x)
        while mean_cost(cost, state.x, batch) > goal and state.step < most:
            state = minimise(cost, solver, batch, 1, start=state)
        report(f"{name}, to that cost", state, time.process_time() - started)
        if state.converged is not None:
            started = time.process_time()
            state = minimise(cost, solver, batch, most, start=solver.init(cost, batch, x))
            how = "converged" if bool(state.converged.all()) else "most steps"
            report(f"{name}, {how}", state, time.process_time() - started)


def mean_cost(cost: Cost, x: torch.Tensor, batch: Batch) -> float:
    with torch.no_grad():
        return float(cost(x, batch).mean())


if __name__ == "__main__":
    main()
