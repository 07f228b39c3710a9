"""The same map from threads and from two worker processes; weights sent; one worker killed.

python benchmarks/cluster.py
"""

from __future__ import annotations

import argparse
import os
import pickle
import signal
from collections import Counter
from time import perf_counter
from typing import Any

import numpy as np
import synthetic
import torch
from distributed import Client, LocalCluster, SchedulerPlugin


class Watch(SchedulerPlugin):
    """Counts the tiles that are done, and kills the worker of one of them half-way if asked."""

    def __init__(self, n_tiles: int, workers: dict[str, int] | None = None):
        self.n_tiles = n_tiles
        self.workers = workers
        self.done: Counter[Any] = Counter()

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        if finish != "memory" or "-tile" not in str(key):
            return
        self.done[key] += 1
        if self.workers and len(self.done) >= self.n_tiles // 2:
            os.kill(self.workers[kwargs["worker"]], signal.SIGKILL)
            self.workers = None


def count_unpickled() -> None:
    """Make a worker count how often it unpickles what holds the weights."""
    from xr4dvar.verbs._patch_work import PatchWork

    def setstate(self: Any, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        PatchWork.unpickled += 1

    PatchWork.unpickled = 0
    PatchWork.__setstate__ = setstate


def unpickled() -> int:
    """Return that count."""
    from xr4dvar.verbs._patch_work import PatchWork

    return PatchWork.unpickled


def run(maps: Any, kill: bool) -> tuple[np.ndarray, Watch, dict[str, int], float]:
    """Compute on two worker processes."""
    n_tiles = sum("-tile" in str(key) for key in maps.__dask_graph__())
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.run(count_unpickled)
        watch = Watch(n_tiles, client.run(os.getpid) if kill else None)
        cluster.scheduler.add_plugin(watch)
        start = perf_counter()
        values = maps.compute().values
        seconds = perf_counter() - start
        counts = {} if kill else client.run(unpickled)
    return values, watch, counts, seconds


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=160)
    parser.add_argument("--size", type=int, default=120, help="cells along latitude and longitude")
    args = parser.parse_args()
    # dask gives torch one thread in each worker. With more of them sums are taken in another order,
    # and the conjugate gradients of OI may stop an iteration sooner: differences of their tolerance
    torch.set_num_threads(1)
    model = synthetic.two_stages(args.size)
    obs = synthetic.observations(0, args.days, args.size).chunk(time=20)
    maps = obs.fourdvar.reconstruct(model)
    start = perf_counter()
    expected = maps.compute(scheduler="threads").values
    print(f"threads: {perf_counter() - start:.1f} s")

    weights = sum(array.nbytes for array in model.arrays.values())
    read = dict(obs.data.dask)
    added = [task for key, task in dict(maps.data.dask).items() if key not in read]
    tasks = [len(pickle.dumps(task)) for task in added]
    holders = sum(size > weights for size in tasks)
    print(f"weights: {weights} bytes, in {holders} of {len(tasks)} tasks")
    values, watch, counts, seconds = run(maps, kill=False)
    print(f"two workers: {seconds:.1f} s, {sum(watch.done.values())} tile tasks run")
    print(f"models unpickled by each worker, of 2 stages: {sorted(counts.values())}")
    print(f"largest difference from threads: {np.abs(values - expected).max():.1e}")
    values, watch, _, seconds = run(maps, kill=True)
    solved = sum(watch.done.values())
    print(
        f"one worker killed half-way: {seconds:.1f} s, {len(watch.done)} tile tasks run, ", end=""
    )
    print(f"{solved - len(watch.done)} of them again")
    print(f"largest difference from threads: {np.abs(values - expected).max():.1e}")


if __name__ == "__main__":
    main()
