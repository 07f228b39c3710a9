"""Which architecture, and why: score against training time, and against what a map costs.

    python benchmarks/architectures.py --data ../shared/data/twin_gulfstream --minutes 10

Every architecture learns for the same processor time, on one thread, from the same data (four
nadir altimeters, the truth of the training period) on top of the same optimal interpolation, and
is scored by the protocols of `ssh_mapping.py`. FLOPs are those of the network for one day of map,
overlaps included.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr
from ssh_mapping import OBSERVATIONS, PROTOCOLS, TRAIN, VALIDATION, scores, tuned_oi
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import xr4dvar as xv

#: Name: what it changes in `FourDVarNet`.
ARCHITECTURES = {
    "ConvLSTM, 5 steps": {"solver": "lstm", "steps": 5, "widths": (48,)},
    "U-Net, 1 step": {"steps": 1, "widths": (48, 64, 96)},
    "U-Net, 2 steps": {"steps": 2, "widths": (48, 64, 96)},
    "wider U-Net, 2 steps": {"steps": 2, "widths": (64, 96, 128)},
}
#: Steps that are timed, to know how many fit into the time.
TIMED = 20


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    data = Path(options.data)
    truth = xr.open_dataset(data / "truth.nc").ssh.astype("float32").load()
    y = xr.open_dataset(data / "obs.nc")[OBSERVATIONS[options.observations]]
    y = y.astype("float32").load()
    results = []
    for name in options.architectures:
        results.append(one(name, y, truth, options))
        print(line(results[-1]), flush=True)
        if options.output:
            folder = Path(options.output)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "architectures.json").write_text(json.dumps(results, indent=1))
            draw(results).savefig(folder / "architectures.png", dpi=120)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="../shared/data/twin_gulfstream")
    parser.add_argument("--observations", default="nadir4", choices=OBSERVATIONS)
    parser.add_argument(
        "--architectures", nargs="+", default=list(ARCHITECTURES), choices=ARCHITECTURES
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="training time of each")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--output", help="folder for architectures.json and architectures.png")
    return parser.parse_args()


def one(name: str, y: xr.DataArray, truth: xr.DataArray, options: argparse.Namespace) -> dict:
    """Train one architecture for the time given, and score it."""

    def fit(steps: int) -> xv.Model:
        method = xv.FourDVarNet(
            background=tuned_oi(options.observations),
            mirror=True,
            training=xv.Training(steps=steps, patience=1000),
            **ARCHITECTURES[name],
        )
        return xv.fit(
            y.sel(time=TRAIN),
            method,
            truth.sel(time=TRAIN),
            validation=VALIDATION,
            precision=options.precision,
        )

    # processor time, not the clock's: what else the machine does must not choose the winner
    started = time.process_time()
    fit(TIMED)
    short = time.process_time() - started
    fit(3 * TIMED)
    a_step = (time.process_time() - started - 2 * short) / (2 * TIMED)
    steps = int(60 * options.minutes / a_step)
    started = time.process_time()
    model = fit(steps)
    seconds = time.process_time() - started
    history = model.history
    result = {
        "architecture": name,
        "steps": steps,
        "seconds": (seconds * history.step / steps).values.tolist(),
        "validation": (history.validation_loss / history.attrs["background_loss"]).values.tolist(),
        "weights": int(sum(array.size for array in model.parameters.arrays.values())),
        "gflops_a_day": flops(model, y) / 1e9,
    }
    for protocol, period in PROTOCOLS.items():
        row = scores(xv.reconstruct(y.sel(time=period), model, progress=False), truth)
        reference = scores(
            xv.reconstruct(y.sel(time=period), model.background, progress=False), truth
        )
        result[protocol] = row["rmse_cm"]
        result[f"ratio {protocol}"] = row["rmse_cm"] / reference["rmse_cm"]
    return result


def flops(model: xv.Model, y: xr.DataArray) -> float:
    """Operations of the network for one day of map."""
    obs = y.sel(time=PROTOCOLS["A"])
    totals = []
    for one in (model, model.background):  # the first includes the second
        with CountFlops() as counter:
            xv.reconstruct(obs, one, progress=False)
        totals.append(counter.total)
    return (totals[0] - totals[1]) / obs.sizes["time"]


class CountFlops(TorchDispatchMode):
    """Count convolutions and matrix products (torch's own mode cannot see inside autograd.grad)."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        if count := flop_registry.get(operator._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def line(result: dict) -> str:
    return (
        f"{result['architecture']:20} {result['steps']:6d} steps {result['seconds'][-1]:6.0f} s "
        f"{result['weights']:8,d} weights "
        f"{result['gflops_a_day']:7.1f} GFLOP a day  "
        f"A {result['A']:.2f} cm ({result['ratio A']:.3f} of OI)  "
        f"B {result['B']:.2f} cm ({result['ratio B']:.3f})"
    )


def draw(results: list[dict]) -> plt.Figure:
    """Validation error against training time; test error against the cost of a map."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for result in results:
        name = result["architecture"]
        minutes = np.array(result["seconds"]) / 60
        (curve,) = left.plot(minutes, result["validation"], label=name)
        right.plot(result["gflops_a_day"], result["ratio A"], "o", color=curve.get_color())
        right.annotate(
            name,
            (result["gflops_a_day"], result["ratio A"]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    left.set(
        xlabel="training, minutes of one core",
        ylabel="validation RMSE / that of OI",
        ylim=(None, 1.05),
    )
    right.set(xlabel="GFLOP for a day of map", ylabel="test RMSE / that of OI", xscale="log")
    right.margins(x=0.35, y=0.2)
    left.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
