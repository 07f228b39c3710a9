"""Assimilation of the models of Lorenz: model-based and learned methods in one table.

    python benchmarks/lorenz.py --problem l63-x
    python benchmarks/lorenz.py --problem l63-all
    python benchmarks/lorenz.py --problem l96-12
    python benchmarks/lorenz.py --problem cycled

Training and test are windows from trajectories of their own. Scored is the mean square error over
all components and times of a window, in the model's units squared: its mean and median over the
test windows, and the standard error of the mean. Each network learns as long as its row of the
documentation says; ``--steps`` and ``--training-windows`` make all of them shorter.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import lorenz_cycled
import torch
import xarray as xr
from lorenz_learned import LORENZ63_ALL, LORENZ63_X, LORENZ96, Learner
from lorenz_models import from_a_model_on_a_ring, from_the_model
from lorenz_notebook import linear

import xr4dvar as xv

#: Seeds of the training and the test windows.
TRAIN, TEST = 1000, 11
#: Sites on a ring have no usual names.
RING = {"dims": {"time": "time", "x": "site"}, "periodic": ("x",)}
#: What is told of a run: a name, what makes the maps, and how many numbers were learned.
Row: TypeAlias = tuple[str, Callable[[], xr.DataArray], int]


def main() -> None:
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.problem == "cycled":
        lorenz_cycled.run(options.series, options.cycles, options.only)
        return
    test = windows(options.problem, options.windows, TEST)
    print(f"{options.problem}: {options.windows} test windows, seed {TEST}")
    print(f"{'':42}{'mean':>8}{'median':>8}{'error':>8}{'seconds':>9}{'numbers':>10}")
    for name, reconstruct, learned_numbers in rows(test, options):
        started = time.perf_counter()
        maps = reconstruct()
        seconds = time.perf_counter() - started
        print(f"{name:42}{scores(maps, test)}{seconds:9.0f}{learned_numbers:10,}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--problem", choices=("l63-x", "l63-all", "l96-12", "cycled"), default="l63-x"
    )
    parser.add_argument("--windows", type=int, default=300, help="test windows")
    parser.add_argument("--training-windows", type=int, help="at most so many for each network")
    parser.add_argument("--steps", type=int, help="training steps at most of each network")
    parser.add_argument("--members", type=int, default=50, help="of the ensemble")
    parser.add_argument("--series", type=int, default=10, help="of the cycled set-ups")
    parser.add_argument("--cycles", type=int, default=120, help="of each series")
    parser.add_argument("--only", help="rows with this text in their names")
    parser.add_argument("--threads", type=int, help="of torch")
    return parser.parse_args()


def windows(problem: str, count: int, seed: int, **changes: float) -> xr.Dataset:
    """Truth and observations, of a problem or of one that differs from it."""
    protocol = xv.datasets.LORENZ_PROTOCOLS[problem]
    make = xv.datasets.lorenz96 if problem == "l96-12" else xv.datasets.lorenz63
    return make(count, seed=seed, **{**protocol, **changes})


def scores(maps: xr.DataArray, test: xr.Dataset) -> str:
    """Mean and median over the windows, standard error; of ensembles, of their mean."""
    ensemble = maps if "member" in maps.dims else None
    maps = maps if ensemble is None else maps.mean("member")
    square = (maps - test.truth) ** 2
    each = square.mean([dim for dim in square.dims if dim != "window"])
    error = float(each.std()) / each.size**0.5
    line = f"{float(each.mean()):8.3f}{float(each.median()):8.3f}{error:8.3f}"
    if ensemble is None:
        return line
    metrics = ("spread_skill", "crps", "rank_histogram")
    found = ensemble.fourdvar.score(test.truth, dim=test.truth.dims, metrics=metrics)
    ranks = found.rank_histogram * found.sizes["rank"]
    return (
        f"{line} (spread/skill {float(found.spread_skill):.2f}, CRPS {float(found.crps):.3f}, "
        f"ranks {float(ranks.min()):.2f}-{float(ranks.max()):.2f})"
    )


def rows(test: xr.Dataset, options: argparse.Namespace) -> Iterator[Row]:
    """All rows of a problem whose names are asked for."""
    ring = RING if options.problem == "l96-12" else {}

    def wanted(name: str) -> bool:
        return not options.only or options.only in name

    known: dict[str, Callable[[], xr.DataArray]] = {
        "linear interpolation": lambda: linear(test.obs)
    }
    if options.problem == "l96-12":
        known |= from_a_model_on_a_ring(test.obs, **ring)
    else:
        shown = windows(options.problem, 100, TRAIN)
        known |= from_the_model(test.obs, shown, options.members)
    for name, reconstruct in known.items():
        if wanted(name):
            yield name, reconstruct, 0
    learners = {"l63-x": LORENZ63_X, "l63-all": LORENZ63_ALL, "l96-12": LORENZ96}[options.problem]
    for learner in learners:
        if wanted(learner.name):
            yield from learned(learner, test, options, ring)


def learned(
    learner: Learner, test: xr.Dataset, options: argparse.Namespace, ring: Mapping[str, object]
) -> Iterator[Row]:
    """Train, and give the rows of what has been learned."""
    count = min(learner.windows, options.training_windows or learner.windows)
    data = windows(options.problem, count, TRAIN, **learner.changes)
    if learner.changes:  # test windows that differ in the same way
        test = windows(options.problem, options.windows, TEST, **learner.changes)
    steps = min(learner.steps, options.steps or learner.steps)
    for name, model in learner.fit(data, steps, **ring).items():
        numbers = sum(array.size for array in model.arrays.values())
        obs = test.obs.astype("float32")
        yield name, lambda obs=obs, model=model: obs.fourdvar.reconstruct(model, **ring), numbers


if __name__ == "__main__":
    main()
