"""Time and memory of cutting arrays into patches and blending them again.

python benchmarks/tiling.py            # times, against plain numpy and xbatcher
python benchmarks/tiling.py --memory   # peak memory of a lazy run by length of the time axis

Rows that compare are run in turn within each round, so that a busy machine slows all alike;
medians and the median of the rounds' ratios are printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
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


def compare(title: str, rows: dict[str, Callable[[], Any]], rounds: int) -> None:
    """Print the median time of each row and its ratio to the first."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(rounds + 1):
        for name, run in rows.items():
            start = perf_counter()
            run()
            if turn:  # the first round warms up
                times[name].append(perf_counter() - start)
    base = times[next(iter(rows))]
    print(f"\n{title}\n{'':44}{'ms':>10}{'ratio':>8}")
    for name, own in times.items():
        ratio = statistics.median(a / b for a, b in zip(own, base, strict=True))
        print(f"{name:44}{1e3 * statistics.median(own):10.1f}{ratio:8.2f}")


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


def xbatcher_rows(x: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return xbatcher's extraction, if it is installed."""
    if importlib.util.find_spec("xbatcher") is None:
        print("xbatcher is not installed: its row is left out")
        return {}
    import xarray as xr
    import xbatcher

    dims = ("time", "y", "x")
    array = xr.DataArray(x, dims=dims)
    overlap = {d: p - s for d, p, s in zip(dims, PATCH, STRIDE, strict=True)}

    def run() -> None:
        # xbatcher does not snap to the edge: compare by the patch
        batches = xbatcher.BatchGenerator(
            array, dict(zip(dims, PATCH, strict=True)), input_overlap=overlap
        )
        patches = [batch.to_numpy().copy() for batch in batches]
        run.n_patches = len(patches)  # type: ignore[attr-defined]

    run()
    return {f"xbatcher ({run.n_patches} patches: none at the edges)": run}  # type: ignore[attr-defined]


def times(rounds: int) -> None:
    """Compare extraction, blending, and dask with eager."""
    import dask.array as da

    x = np.random.default_rng(0).normal(size=SHAPE).astype("float32")
    plan = make_plan(SHAPE, PATCH, STRIDE)
    origins, patches = plan.origins(), extract(x, plan)
    rows = {
        "numpy sliding_window_view": lambda: numpy_extract(x, origins, PATCH),
        "xr4dvar extract": lambda: extract(x, plan),
        **xbatcher_rows(x),
    }
    compare(f"extract {plan.n_patches} patches of {PATCH} from {SHAPE}", rows, rounds)
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


MEMORY_SCRIPT = """
import sys, dask, dask.array as da
from xr4dvar.tiling import make_plan, run_dask
from benchmarks.tiling import PATCH, STRIDE, first_field
source, target, stride, workers = sys.argv[1:]
x = da.from_zarr(source)
plan = make_plan(x.shape, PATCH, (int(stride), *STRIDE[1:]))
y = run_dask([x], plan, first_field, batch_size=2)[0]
with dask.config.set(scheduler="threads", num_workers=int(workers)):
    y.to_zarr(target)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def peak_mib(source: Path, target: Path, stride: int, workers: int, env: dict[str, str]) -> float:
    """Return the peak resident memory of a fresh process that reads, solves and writes."""
    command = [sys.executable, "-c", MEMORY_SCRIPT, str(source), str(target)]
    answer = subprocess.run(
        [*command, str(stride), str(workers)],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **env},
        check=True,
        capture_output=True,
        text=True,
    )
    return int(answer.stdout) / 1024


def memory(lengths: tuple[int, ...], workers: int) -> None:
    """Print the peak memory of a lazy run from zarr to zarr by length of the time axis.

    glibc keeps freed arrays for a while, the more the longer a process runs. dask.distributed
    sets MALLOC_TRIM_THRESHOLD_ for its workers against that; both ways are shown.
    """
    import dask.array as da

    mallocs = {"as is": {}, "trim": {"MALLOC_TRIM_THRESHOLD_": "65536"}}
    heads = " ".join(f"{f'T={n}':>8}" for n in lengths)
    print(f"{'chunks':>16}{'stride':>8}{'malloc':>9} {heads} ratio  (MiB, {workers} threads)")
    cases = ((CHUNKS, 8), ((15, 500, 500), 8), ((1, 500, 500), 8), ((1, 500, 500), 1))
    for chunks, stride in cases:
        peaks: dict[str, list[float]] = {malloc: [] for malloc in mallocs}
        for length in lengths:
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder, "in.zarr")
                x = da.random.default_rng(0).random((length, 500, 500), "float32", chunks=chunks)
                x.to_zarr(str(source))
                for malloc, env in mallocs.items():
                    target = Path(folder, f"{malloc}.zarr")
                    peaks[malloc].append(peak_mib(source, target, stride, workers, env))
        for malloc, own in peaks.items():
            text = " ".join(f"{peak:8.0f}" for peak in own)
            ratio = own[-1] / own[0]
            print(f"{chunks!s:>16}{stride:8}{malloc:>9} {text} {ratio:5.2f}", flush=True)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", action="store_true", help="peak memory in place of times")
    parser.add_argument("--lengths", type=int, nargs="+", default=[60, 240])
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    if args.memory:
        memory(tuple(args.lengths), args.workers)
    else:
        times(args.rounds)
        graphs()


if __name__ == "__main__":
    main()
