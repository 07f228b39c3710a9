"""Time ``import xr4dvar`` against ``import xarray``, in fresh processes that take turns.

Run ``python benchmarks/import_time.py``; it fails where the ratio of the medians exceeds the limit.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

LIMIT = 1.15
CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    """Import one module in a fresh Python and return what the import took."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(module)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    """Print both medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats

    modules = ("xarray", "xr4dvar")
    for module in modules:
        seconds(module)  # the first import fills the disk cache
    rounds = [[seconds(module) for module in modules] for _ in range(repeats)]
    base, ours = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"import xarray {base:.3f} s, import xr4dvar {ours:.3f} s, ratio {ours / base:.3f}")
    if ours / base > LIMIT:
        raise SystemExit(f"the ratio is above {LIMIT}")


if __name__ == "__main__":
    main()
