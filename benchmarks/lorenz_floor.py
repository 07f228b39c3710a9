"""The exact posterior mean of Lorenz-63 seen through one component: what no method can beat.

    python benchmarks/lorenz_floor.py --windows 300 --chunks 25

Importance sampling: trajectories of the model's climate, weighted by the likelihood of the
observations of each window. Half of them are mirrored, (x, y) to (-x, -y), a symmetry of the model.
The scores are those of `lorenz.py`, on the same windows.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import xr4dvar as xv
from xr4dvar.dynamics import Flow, Lorenz63Tendency, trajectory
from xr4dvar.dynamics.climate import free_run

#: Trajectories of a chunk, the seed of the test windows, the variance of the noise.
CHUNK, TEST, R = 20_000, 11, 2.0
MIRROR = torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--windows", type=int, default=300)
    parser.add_argument("--chunks", type=int, default=25, help="of 20,000 trajectories")
    options = parser.parse_args()
    ds = xv.datasets.lorenz63(options.windows, seed=TEST, **xv.datasets.LORENZ_PROTOCOLS["l63-x"])
    x = ds.obs.sel(component="x")
    seen = torch.from_numpy(x.notnull().all("window").values)
    mean, effective = posterior_mean(torch.from_numpy(x.values)[:, seen], seen, options.chunks)
    each = ((mean.numpy() - ds.truth.values) ** 2).mean((1, 2))
    error = each.std() / len(each) ** 0.5
    print(f"mean {each.mean():.3f}, median {np.median(each):.3f}, error {error:.3f}")
    print(f"effective sample: median {effective.median():.0f}, least {effective.min():.0f}")


def posterior_mean(
    y: torch.Tensor, seen: torch.Tensor, chunks: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean states (windows, times, 3) and effective sample sizes, one chunk after the other."""
    step = Flow(Lorenz63Tendency(), 0.01)
    generator = torch.Generator().manual_seed(0)
    start = torch.from_numpy(free_run(step, 3, CHUNK, seed=123))
    largest = torch.full((len(y),), -torch.inf, dtype=torch.float64)
    weight, square, total = (torch.zeros(len(y), n, dtype=torch.float64) for n in (1, 1, 600))
    with torch.no_grad():
        for _ in range(chunks):
            mirrored = torch.rand(CHUNK, 1, generator=generator) < 0.5
            runs = trajectory(step, torch.where(mirrored, MIRROR * start, start), len(seen))
            likelihood = -(torch.cdist(y, runs[:, seen, 0]) ** 2) / (2 * R)
            new = torch.maximum(largest, likelihood.amax(1))
            older = torch.exp(largest - new)[:, None]
            own = torch.exp(likelihood - new[:, None])
            weight = older * weight + own.sum(1, keepdim=True)
            square = older**2 * square + (own**2).sum(1, keepdim=True)
            total = older * total + own @ runs.flatten(1)
            largest, start = new, runs[:, -50]
    return (total / weight).unflatten(1, (len(seen), 3)), (weight**2 / square)[:, 0]


if __name__ == "__main__":
    main()
