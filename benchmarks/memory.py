"""Peak memory of mapping a long record from zarr to zarr, by its length.

python benchmarks/memory.py
python benchmarks/memory.py --days 60 240 480 --size 300 --repeats 5

Each run is a fresh process with dask's threaded scheduler; its peak is VmHWM, medians are printed.
glibc's malloc keeps freed arrays for a while, in as many heaps as there are threads, and takes some
time to fill them. dask's workers are told not to, by MALLOC_TRIM_THRESHOLD_=65536 in their
environment; rows are printed for both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import synthetic

RUN = """
import sys, dask, xarray as xr, xr4dvar as xv
source, target, model, threads = sys.argv[1:]
obs = xr.open_zarr(source, consolidated=False).ssh
with dask.config.set(scheduler="threads", num_workers=int(threads)):
    obs.fourdvar.reconstruct(xv.load(model)).to_zarr(target, consolidated=False, mode="w")
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
MALLOC = {"as it is": {}, "trimming": {"MALLOC_TRIM_THRESHOLD_": "65536"}}


def peak_mib(source: Path, model: Path, threads: int, malloc: dict[str, str]) -> float:
    """Return the peak resident memory of one run, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(source), str(Path(folder, "maps.zarr")), str(model), str(threads)]
        done = subprocess.run(
            [sys.executable, "-c", RUN, *arguments],
            env={**os.environ, **malloc},
            check=True,
            capture_output=True,
            text=True,
        )
    return int(done.stdout) / 1024


def main() -> None:
    """Write the records, map them in turns, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, nargs="+", default=[60, 120, 240])
    parser.add_argument("--size", type=int, default=200, help="cells along latitude and longitude")
    parser.add_argument("--chunk", type=int, default=20, help="days of a chunk")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = synthetic.two_stages(args.size)
        network.save(folder / "OI, then 4DVarNet")
        network.background.save(folder / "OI")
        for days in args.days:
            synthetic.write(folder / f"{days}.zarr", days, args.size, args.chunk)
        heads = "".join(f"{f'{days} days':>10}" for days in args.days)
        print(f"{'peak MiB':20}{'malloc':12}{heads}{'ratio':>8}")
        for model in ("OI", "OI, then 4DVarNet"):
            for malloc, env in MALLOC.items():
                peaks: dict[int, list[float]] = {days: [] for days in args.days}
                for _ in range(args.repeats):
                    for days, own in peaks.items():
                        source = folder / f"{days}.zarr"
                        own.append(peak_mib(source, folder / model, args.threads, env))
                medians = [statistics.median(own) for own in peaks.values()]
                values = "".join(f"{median:10.0f}" for median in medians)
                print(f"{model:20}{malloc:12}{values}{medians[-1] / medians[0]:8.2f}", flush=True)


if __name__ == "__main__":
    main()
