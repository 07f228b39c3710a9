"""Time of cutting arrays into patches and blending them again, and size of the graphs.

python benchmarks/tiling.py   # against plain numpy, and xbatcher if it is installed

Rows that compare are run in turn within each round, so that a busy machine slows all alike;
medians and the median of the rounds' ratios are printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from xr4dvar.tiling import extract, make_plan, run_dask, run_eager, stitch

SHAPE, PATCH, STRIDE, CHUNKS = (60, 500, 500), (15, 240, 240), (8, 120, 120), (15, 250, 250)
AWKWARD = {
    "plain": (SHAPE, CHUNKS),
    "smaller than the patch": (SHAPE, (7, 100, 100)),
    "uneven": (SHAPE, ((1, 30, 2, 27), (499, 1), (17, 250, 233))),
    "one time step": (SHAPE, (1, 250, 250)),
    "one time step, stride 1": (SHAPE, (1, 500, 500)),
    "50 members": ((50, *SHAPE), (1, 15, 250, 250)),
}


def first_field(patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
    """Stand in for a model."""
    return patches[0][:, np.newaxis]


def compare(title: str, rows: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Print the median time of each row and its ratio to the first; return the ratios."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(rounds + 1):
        for name, run in rows.items():
            start = perf_counter()
            run()
            if turn:  # the first round warms up
                times[name].append(perf_counter() - start)
    base = times[next(iter(rows))]
    print(f"\n{title}\n{'':44}{'ms':>10}{'ratio':>8}")
    ratios = {}
    for name, own in times.items():
        ratios[name] = statistics.median(a / b for a, b in zip(own, base, strict=True))
        print(f"{name:44}{1e3 * statistics.median(own):10.1f}{ratios[name]:8.2f}")
    return ratios


def numpy_extract(x: np.ndarray, origins: np.ndarray, patch: tuple[int, ...]) -> np.ndarray:
    """Copy patches by fancy indexing into a sliding window view."""
    return np.lib.stride_tricks.sliding_window_view(x, patch)[tuple(origins.T)]


def numpy_stitch(patches: np.ndarray, origins: np.ndarray, plan: Any) -> np.ndarray:
    """Blend three-dimensional patches by hand: separable weights, one sum, one division."""
    t, y, x = (w.weight.astype(patches.dtype) for w in plan.windows)
    weight = t[:, None, None] * (y[:, None] * x)
    total = np.zeros(plan.shape, patches.dtype)
    nt, ny, nx = plan.patch_shape
    for patch, (a, b, c) in zip(patches, origins.tolist(), strict=True):
        total[a : a + nt, b : b + ny, c : c + nx] += patch * weight
    t, y, x = (w.weight_sum.astype(patches.dtype) for w in plan.windows)
    total /= t[:, None, None]
    total /= y[:, None] * x
    return total


def xbatcher_extract(x: np.ndarray) -> int:
    """Copy patches with xbatcher; return how many: it leaves out those at the far edges."""
    import xarray as xr
    import xbatcher

    sizes = dict(zip(("time", "y", "x"), PATCH, strict=True))
    overlap = {d: p - s for (d, p), s in zip(sizes.items(), STRIDE, strict=True)}
    array = xr.DataArray(x, dims=tuple(sizes))
    batches = xbatcher.BatchGenerator(array, sizes, input_overlap=overlap)
    return len([batch.to_numpy().copy() for batch in batches])


def times(rounds: int) -> None:
    """Compare extraction, blending, and dask with eager."""
    import dask.array as da

    x = np.random.default_rng(0).normal(size=SHAPE).astype("float32")
    plan = make_plan(SHAPE, PATCH, STRIDE)
    origins, patches = plan.origins(), extract(x, plan)
    rows = {
        "numpy sliding_window_view": lambda: numpy_extract(x, origins, PATCH),
        "xr4dvar extract": lambda: extract(x, plan),
    }
    if installed := importlib.util.find_spec("xbatcher") is not None:
        rows["xbatcher"] = lambda: xbatcher_extract(x)
    ratios = compare(f"extract {plan.n_patches} patches of {PATCH} from {SHAPE}", rows, rounds)
    if installed:
        own = xbatcher_extract(x)
        per_patch = ratios["xbatcher"] / own * plan.n_patches / ratios["xr4dvar extract"]
        print(f"xbatcher gives {own} patches, none at the edges; a patch takes {per_patch:.1f}")
        print("times as long as with xr4dvar")
    rows = {
        "numpy by hand": lambda: numpy_stitch(patches, origins, plan),
        "xr4dvar stitch": lambda: stitch(patches, plan),
    }
    compare("blend them", rows, rounds)
    lazy = run_dask([da.from_array(x, CHUNKS)], plan, first_field, batch_size=4)
    rows = {
        "eager": lambda: run_eager([x], plan, first_field, batch_size=4),
        "dask, one thread": lambda: lazy.compute(scheduler="synchronous"),
        "dask, threads": lambda: lazy.compute(scheduler="threads"),
    }
    compare("extract and blend", rows, rounds)


def graphs() -> None:
    """Print the time to build a graph and its tasks, a chunk."""
    import dask.array as da

    print(f"\n{'graph':28}{'chunks':>8}{'tasks/chunk':>14}{'build ms/chunk':>16}")
    for name, (shape, chunks) in AWKWARD.items():
        x = da.zeros(shape, chunks=chunks, dtype="float32")
        stride = (1, *STRIDE[1:]) if "stride 1" in name else STRIDE
        plan, build = make_plan(shape, PATCH, stride), []
        for _ in range(5):
            start = perf_counter()
            y = run_dask([x], plan, first_field)
            build.append(1e3 * (perf_counter() - start) / x.npartitions)
        tasks = (len(y.dask) - len(x.dask)) / x.npartitions
        print(f"{name:28}{x.npartitions:8}{tasks:14.1f}{statistics.median(build):16.3f}")


def two_stages() -> None:
    """Print the same for `reconstruct`, labels and both stages of a 4DVarNet on top of OI."""
    import synthetic

    model = synthetic.two_stages(120)
    title = "reconstruct, OI and 4DVarNet"
    print(f"\n{title:28}{'chunks':>8}{'tasks/chunk':>14}{'build ms/chunk':>16}")
    for name, chunks in (("whole fields", {"time": 20}), ("split", {"time": 20, "lat": 60})):
        obs = synthetic.observations(0, 240, 120).chunk(chunks)
        build = []
        for _ in range(6):  # the first one loads torch
            start = perf_counter()
            maps = obs.fourdvar.reconstruct(model)
            build.append(1e3 * (perf_counter() - start) / maps.data.npartitions)
        tasks = (len(maps.data.dask) - len(obs.data.dask)) / maps.data.npartitions
        median = statistics.median(build[1:])
        print(f"{name:28}{maps.data.npartitions:8}{tasks:14.1f}{median:16.3f}")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    times(args.rounds)
    graphs()
    two_stages()


if __name__ == "__main__":
    main()
