"""Assimilation of the models of Lorenz: model-based and learned methods in one table.

    python benchmarks/lorenz.py --problem l63-x
    python benchmarks/lorenz.py --problem l63-all
    python benchmarks/lorenz.py --problem l96-12
    python benchmarks/lorenz.py --problem cycled

Training and test are windows from trajectories of their own. Scored is the mean square error over
all components and times of a window, in the model's units squared: its mean and median over the
test windows, and the standard error of the mean.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import lorenz_cycled
import numpy as np
import torch
import xarray as xr
from lorenz_notebook import linear, notebook_4dvar

import xr4dvar as xv

#: Seeds of the training and the test windows.
TRAIN, TEST = 1000, 11
#: A network that learns to minimise the cost of 4DVar, from noisy observations alone.
COST_ALONE = {
    "iterations": 1,
    "widths": (96,),
    "error_variance": 2.0,
    "model_error_variance": 0.01,
    "loss": {"variational": 1.0, "supervised": 0.0, "regularisation": 0.0},
}
#: Name, what makes the maps (or an ensemble of them), and numbers that were learned.
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
    rows = {"l63-x": lorenz63_x, "l63-all": lorenz63_all, "l96-12": lorenz96}[options.problem]
    for name, reconstruct, learned_numbers in rows(test, options):
        if options.only and options.only not in name:
            continue
        started = time.perf_counter()
        maps = reconstruct()
        seconds = time.perf_counter() - started
        print(f"{name:42}{scores(maps, test)}{seconds:9.0f}{learned_numbers:10,}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--problem", choices=("l63-x", "l63-all", "l96-12", "cycled"), default="l63-x"
    )
    parser.add_argument("--windows", type=int, default=400, help="test windows")
    parser.add_argument("--training-windows", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=10_000, help="training steps of each network")
    parser.add_argument("--prior-steps", type=int, default=3_000, help="the same of each prior")
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


def lorenz63_x(test: xr.Dataset, options: argparse.Namespace) -> Iterator[Row]:
    obs, model = test.obs, xv.Lorenz63()
    yield "linear interpolation", lambda: linear(test.obs), 0
    yield from from_the_model(test, options)
    data = windows(options.problem, options.training_windows, TRAIN).astype("float32")
    shown = obs.astype("float32")
    for name, network in {
        "4DVarNet, learned prior": {},
        "4DVarNet, Lorenz-63 as prior": {"prior": model},
        "direct network, U-Net": {"prior": None, "iterations": 1, "depth": 8},
        "direct network, LSTM both ways": {
            "prior": None,
            "iterations": 1,
            "solver": "recurrent",
            "widths": (128,),
            "depth": 2,
        },
        "DAN (a filter)": {"method": xv.DataAssimilationNetwork, "width": 128},
    }.items():
        yield from learned(name, network, data, shown, options)
    yield from fixed_point(test, options)
    name = "4DVarNet, Lorenz-63 as prior, no truth"
    yield from learned(name, {"prior": model, **COST_ALONE}, data[["obs"]], shown, options)


def fixed_point(test: xr.Dataset, options: argparse.Namespace) -> Iterator[Row]:
    """Of the same windows, seen without noise: perfect observations are put in as they are."""
    train, shown = (
        windows(options.problem, count, seed, noise_variance=0.0).astype("float32")
        for count, seed in ((options.training_windows, TRAIN), (test.sizes["window"], TEST))
    )
    network = {
        "prior": "unet",
        "prior_width": 128,
        "solver": "fixed_point",
        "iterations": 3,
        "error_variance": 1e-4,
        "loss": {"regularisation": 0.0},
    }
    name = "fixed point (noise-free observations)"
    yield from learned(name, network, train, shown.obs, options)


def lorenz63_all(test: xr.Dataset, options: argparse.Namespace) -> Iterator[Row]:
    yield "linear interpolation", lambda: linear(test.obs), 0
    yield from from_the_model(test, options)
    yield from from_static_priors(test, options)


def from_static_priors(test: xr.Dataset, options: argparse.Namespace) -> Iterator[Row]:
    """Priors learned from the truth of other windows, which know nothing of the observations."""
    training = xv.Training(
        steps=options.prior_steps,
        batch_size=64,
        learning_rate=3e-3,
        steps_per_epoch=250,
        averaging=0.998,
        patience=1000,
    )
    data = windows(options.problem, options.training_windows, TRAIN)
    for name, prior in {
        "EOF prior, 10 modes": xv.EOFs(10),
        "auto-encoder prior": xv.AutoEncoder(code=5, training=training),
    }.items():
        if options.only and options.only not in name:
            continue
        model = fit(name, xv.Variational(prior, 2.0, control="latent"), data)
        for control in ("state", "latent"):  # what was learned is the same
            same = replace(model, method=replace(model.method, control=control))
            yield f"{name}, {control}", partial(test.obs.fourdvar.reconstruct, same), numbers(model)


def from_the_model(test: xr.Dataset, options: argparse.Namespace) -> Iterator[Row]:
    """What needs no training."""
    obs = test.obs
    for scheme in ("euler", "rk4"):
        for solver in ("descent", "converged"):
            name = f"notebook's weights, {scheme}, {solver}"
            yield name, lambda s=scheme, how=solver: notebook_4dvar(obs, s, how), 0
    for name, q in {"weak constraint, Q 1e-5": 1e-5, "strong constraint": None}.items():
        method = xv.FourDVar(xv.Lorenz63(), 2.0, q)
        yield name, lambda method=method: obs.fourdvar.reconstruct(method), 0
    yield from identified(test, options)
    strong = xv.FourDVar(xv.Lorenz63(), 2.0)
    name = f"mean of an ensemble of {options.members}"
    yield name, lambda: obs.fourdvar.reconstruct(strong, ensemble=options.members), 0


def identified(test: xr.Dataset, options: argparse.Namespace) -> Iterator[Row]:
    """Strong constraint with models that were found in training windows first."""
    data = windows(options.problem, 100, TRAIN)
    noise = xr.zeros_like(data.truth) + np.random.default_rng(0).normal(size=data.truth.shape)
    cases = {
        "model identified from the truth": data.truth,
        "model identified with noise 0.1": data.truth + 0.1**0.5 * noise,
    }
    if options.problem == "l63-all":
        cases["model identified from observations"] = None
    for name, target in cases.items():
        if options.only and options.only not in name:
            continue
        method = xv.FourDVar(xv.QuadraticODE(dt=0.01), 2.0)
        started = time.perf_counter()
        model = data.obs.fourdvar.fit(method, target)
        print(f"({name}: found in {time.perf_counter() - started:.0f} s)", flush=True)
        yield name, lambda model=model: test.obs.fourdvar.reconstruct(model), 30


def lorenz96(test: xr.Dataset, options: argparse.Namespace) -> Iterator[Row]:
    obs, settings = test.obs, {"dims": {"time": "time", "x": "site"}, "periodic": ("x",)}
    yield "linear interpolation", lambda: linear(test.obs), 0
    for name, q in {"weak constraint, Q 1e-3": 1e-3}.items():
        method = xv.FourDVar(xv.Lorenz96(), 2.0, q, starts=1)
        yield name, lambda method=method: obs.fourdvar.reconstruct(method, **settings), 0
    data = windows(options.problem, options.training_windows, TRAIN).astype("float32")
    for name, network in {
        "4DVarNet, learned prior": {},
        "4DVarNet, Lorenz-96 as prior": {"prior": xv.Lorenz96()},
    }.items():
        network = {"widths": (48,), "coarsen": 4, **network}
        shown = obs.astype("float32")
        yield from learned(name, network, data, shown, options, batch_size=8, **settings)


def learned(
    name: str,
    network: dict,
    data: xr.Dataset,
    shown: xr.DataArray,
    options: argparse.Namespace,
    batch_size: int = 32,
    **settings: object,
) -> Iterator[Row]:
    """Train, and give the row."""
    if options.only and options.only not in name:
        return
    training = xv.Training(
        steps=options.steps,
        batch_size=batch_size,
        learning_rate=2e-3,
        steps_per_epoch=250,
        averaging=0.998,
        patience=1000,
    )
    network = dict(network)
    kind = network.pop("method", xv.FourDVarNet)
    if kind is xv.FourDVarNet:
        network = {"background": None, "widths": (256,), **network}
    model = fit(name, kind(training=training, **network), data, **settings)
    yield name, lambda: shown.fourdvar.reconstruct(model, **settings), numbers(model)


def fit(name: str, method: object, data: xr.Dataset, **settings: object) -> xv.Model:
    """Fit, and say how long that took."""
    started = time.perf_counter()
    busy = time.process_time()
    model = data.obs.fourdvar.fit(method, data.get("truth"), validation=0.05, **settings)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    print(f"({name}: trained for {seconds:.0f} s, {busy:.0f} s of processor time)", flush=True)
    return model


def numbers(model: xv.Model) -> int:
    """How many were learned."""
    return sum(array.size for array in model.arrays.values())


if __name__ == "__main__":
    main()
