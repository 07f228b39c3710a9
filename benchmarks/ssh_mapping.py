"""Map sea surface height on the Gulf Stream twin, and score what comes out.

    python benchmarks/ssh_mapping.py --data ../shared/data/twin_gulfstream

Both observation sets, protocols A (observations until the last scored day) and B (until 18 days
after it), scored from 2012-10-22 to 2012-12-02 on all but one degree at each side. Rows: linear
interpolation, the optimal interpolation of the 2020a challenge (all observations, exact), a tuned
optimal interpolation (sum of two Gaussians about the mean map of the training period) and
4DVarNet, trained on 2013-02-01 to 2014-07-31 and never on anything before.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import xarray as xr

import xr4dvar as xv

TRAIN = slice("2013-02-01", "2014-10-02")
VALIDATION = slice("2014-08-01", "2014-10-02")
SCORED = slice("2012-10-22", "2012-12-02")
PROTOCOLS = {"A": slice("2012-10-01", "2012-12-02"), "B": slice("2012-10-01", "2012-12-20")}
OBSERVATIONS = {"nadir4": "ssh_nadir4", "swot": "ssh_nadir4_swot"}

#: Tuned on the validation period: two lengths (degree, day, weight), and noise over the variance
#: of the first.
TUNED = {
    "nadir4": ((1.394, 8.80, 1.0), (0.710, 3.88, 0.303), 0.129),
    "swot": ((1.297, 7.69, 1.0), (0.651, 3.87, 0.111), 0.055),
}


def main() -> None:
    options = parse()
    data = Path(options.data)
    truth = xr.open_dataset(data / "truth.nc").ssh.astype("float32").load()
    obs = xr.open_dataset(data / "obs.nc")
    table = []
    for name in options.observations:
        y = obs[OBSERVATIONS[name]].astype("float32").load()
        table += bench(name, y, truth, options)
    print(format_table(table))
    if options.output:
        Path(options.output).write_text(json.dumps(table, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="../shared/data/twin_gulfstream")
    parser.add_argument(
        "--observations", nargs="+", default=list(OBSERVATIONS), choices=OBSERVATIONS
    )
    parser.add_argument("--steps", type=int, default=6000, help="training steps; 0: no 4DVarNet")
    parser.add_argument("--precision", default="32-true", help="of training, such as bf16-mixed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", help="folder to keep models in, and to take them from")
    parser.add_argument("--output", help="JSON file for the table")
    return parser.parse_args()


def bench(name: str, y: xr.DataArray, truth: xr.DataArray, options: argparse.Namespace) -> list:
    """All methods on one observation set."""
    rows = []
    reference = {}
    for method, (model, seconds) in methods(name, y, truth, options).items():
        for protocol, period in PROTOCOLS.items():
            started = time.perf_counter()
            maps = xv.reconstruct(y.sel(time=period), model, progress=False)
            solved = time.perf_counter() - started
            row = scores(maps, truth)
            daily = row.pop("daily")
            reference.setdefault(protocol, {})[method] = daily
            row = {"observations": name, "protocol": protocol, "method": method, **row}
            row |= {"fit_s": seconds, "solve_s": solved}
            if "tuned OI" in reference[protocol]:
                row |= paired(daily, reference[protocol]["tuned OI"])
            rows.append(row)
            print(format_table([row], header=False), flush=True)
    return rows


def methods(name: str, y: xr.DataArray, truth: xr.DataArray, options: argparse.Namespace) -> dict:
    """Models by name, with the seconds that fitting them took."""
    challenge = xv.OptimalInterpolation(
        length={"time": "7D", "lat": 1.0, "lon": 1.0},
        variance=1.0,
        error_variance=0.05**2,
        mean=0.0,
    )
    tuned = tuned_oi(name)
    chosen = {
        "linear": (xv.LinearInterpolation(), 0.0),
        "challenge OI": (challenge, 0.0),
        "tuned OI": fitted("oi", name, y, truth, tuned, options),
    }
    if options.steps:
        training = xv.Training(steps=options.steps, patience=1000)
        learned = xv.FourDVarNet(background=tuned, mirror=True, training=training)
        chosen["4DVarNet"] = fitted("4dvarnet", name, y, truth, learned, options)
    return chosen


def tuned_oi(name: str) -> xv.OptimalInterpolation:
    """The reference: a sum of two Gaussians about the mean map."""
    (l1, t1, w1), (l2, t2, w2), noise = TUNED[name]
    return xv.OptimalInterpolation(
        length=[{"time": f"{t1}D", "lat": l1, "lon": l1}, {"time": f"{t2}D", "lat": l2, "lon": l2}],
        variance=[w1, w2],
        error_variance=noise,
        mean="map",
    )


def fitted(label, name, y, truth, method, options):
    """Fit, or take the model that an earlier run kept."""
    path = Path(options.models) / f"{label}-{name}.safetensors" if options.models else None
    if path and path.exists():
        return xv.load(path), 0.0
    started, worked = time.perf_counter(), time.process_time()
    model = xv.fit(
        y.sel(time=TRAIN),
        method,
        truth.sel(time=TRAIN),
        validation=VALIDATION,
        seed=options.seed,
        precision=options.precision,
    )
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    print(
        f"{label} {name}: fitted in {seconds:.0f} s, {worked:.0f} s of processor time", flush=True
    )
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
    return model, seconds


def scores(maps: xr.DataArray, truth: xr.DataArray) -> dict:
    inner = {"lat": slice(10, -10), "lon": slice(10, -10)}
    maps, truth = maps.sel(time=SCORED).isel(inner), truth.sel(time=SCORED).isel(inner)
    total = xv.score(maps, truth)
    daily = xv.score(maps, truth, dim=("lat", "lon"), metrics="rmse").rmse.values
    row = {metric: float(total[metric]) for metric in ("mu", "sigma", "lambda_x", "lambda_t")}
    return {**row, "rmse_cm": 100 * float(total.rmse), "daily": daily}


def paired(daily: np.ndarray, reference: np.ndarray) -> dict:
    """Ratio to the tuned OI, and the share of days on which the map is better."""
    ratio = np.sqrt((daily**2).mean() / (reference**2).mean())
    return {"ratio": float(ratio), "days_better": float((daily < reference).mean())}


def format_table(rows: list[dict], header: bool = True) -> str:
    head = (
        f"{'obs':7} {'':2}{'method':13} {'mu':>6} {'sigma':>6} {'lx deg':>7} {'lt d':>6} "
        f"{'RMSE cm':>8} {'ratio':>6} {'days':>5} {'fit s':>7} {'solve s':>8}"
    )
    lines = [head] if header else []
    for r in rows:
        lines.append(
            f"{r['observations']:7} {r['protocol']:2}{r['method']:13} {r['mu']:6.3f} "
            f"{r['sigma']:6.3f} {r['lambda_x']:7.2f} {r['lambda_t']:6.1f} {r['rmse_cm']:8.2f} "
            f"{r.get('ratio', np.nan):6.2f} {100 * r.get('days_better', np.nan):4.0f}% "
            f"{r['fit_s']:7.0f} {r['solve_s']:8.1f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
