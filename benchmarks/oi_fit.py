"""Time and score of the fit of a default `OptimalInterpolation`, beside that of another checkout.

Run from the repository root::

    OMP_NUM_THREADS=1 python benchmarks/oi_fit.py [--against ../other] [--seeds 4]

Each fit on the training period of the SSH mapping twin runs in a process of its own, those of the
two checkouts in turn. Printed: medians of CPU seconds of `fit`, and the mean RMSE in cm over the
seeds, of the inner cells of the test period (2012-10-22 to 12-02) and of the validation period
(2014-08-20 to 10-02), fitted on the gappy data alone and with the truth.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import xarray as xr

TRAINING = slice("2013-02-01", "2014-07-31")
PERIODS = (
    ("2012-10-01", "2012-10-22", "2012-12-02"),
    ("2014-08-01", "2014-08-20", "2014-10-02"),
)
SETS = ("ssh_nadir4", "ssh_nadir4_swot")


def one(data: Path, name: str, supervised: bool, seed: int) -> list[float]:
    """CPU seconds of one fit, and the RMSE of its maps of each period."""
    import torch  # noqa: F401  (its import is not what is timed)

    import xr4dvar as xv

    with xr.open_dataset(data / "truth.nc") as file:
        truth = file.ssh.load()
    with xr.open_dataset(data / "obs.nc") as file:
        obs = file[name].load()
    target = truth.sel(time=TRAINING) if supervised else None
    begin = time.process_time()
    model = xv.fit(
        obs.sel(time=TRAINING), xv.OptimalInterpolation(), target, seed=seed, progress=False
    )
    found = [time.process_time() - begin]
    for first, scored, last in PERIODS:
        maps = xv.reconstruct(obs.sel(time=slice(first, last)), model, progress=False)
        error = (maps - truth).sel(time=slice(scored, last)).isel(lat=slice(10, -10))
        found.append(100 * float(np.sqrt((error.isel(lon=slice(10, -10)) ** 2).mean())))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/twin_gulfstream"))
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--one", nargs=3, metavar=("SET", "SUPERVISED", "SEED"))
    arguments = parser.parse_args()
    if arguments.one:
        name, supervised, seed = arguments.one
        print(json.dumps(one(arguments.data, name, supervised == "True", int(seed))))
        return
    roots = [p.resolve() for p in (Path(), arguments.against) if p is not None]
    print("| set | fitted on | checkout | fit, cpu s | test cm | validation cm |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in SETS:
        for supervised in (False, True):
            rows: list[list[list[float]]] = [[] for _ in roots]
            for seed in range(arguments.seeds):
                for root, found in zip(roots, rows, strict=True):
                    command = [sys.executable, __file__, "--data", str(arguments.data)]
                    command += ["--one", name, str(supervised), str(seed)]
                    done = subprocess.run(
                        command, check=True, capture_output=True, text=True,
                        env={**os.environ, "PYTHONPATH": str(root)},
                    )  # fmt: skip
                    found.append(json.loads(done.stdout.splitlines()[-1]))
            kind = "truth" if supervised else "gappy data"
            for label, found in zip(("this", "the other"), rows, strict=False):
                test, validation = np.mean(found, 0)[1:]
                seconds = np.median([row[0] for row in found])
                scores = f"{test:.3f} | {validation:.3f}"
                print(f"| {name} | {kind} | {label} | {seconds:.1f} | {scores} |", flush=True)


if __name__ == "__main__":
    main()
