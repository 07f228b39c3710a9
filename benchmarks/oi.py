"""Optimal interpolation on the SSH mapping twin: challenge parameters and tuned ones.

Run from the repository root::

    python benchmarks/oi.py [--data ../shared/data/twin_gulfstream] [--error]

Protocol: observations from 2012-10-01 to 2012-12-02, scored 2012-10-22 to 2012-12-02 on the inner
80 x 80 cells. Tuned on the validation period (observations from 2014-08-01, scored 2014-08-20 to
2014-10-02) from an untuned start. `--error` also times the analysis error field.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from xr4dvar.covariance import (
    TOLERANCE,
    Covariance,
    Prior,
    Separable,
    Sum,
    analyse,
    analysis_error,
    first_guess,
    tune,
)

TRAINING = slice("2013-02-01", "2014-07-31")
TEST = (slice("2012-10-01", "2012-12-02"), "2012-10-22")
VALIDATION = (slice("2014-08-01", "2014-10-02"), "2014-08-20")
INNER = {"lat": slice(10, -10), "lon": slice(10, -10)}

# Parameters tuned earlier, to compare the search with: (weight, degrees, days) and noise / prior.
REFERENCE = {
    "ssh_nadir4": {
        "one Gaussian": ([(1.0, 1.039, 5.82)], 0.161),
        "two Gaussians": ([(1.0, 1.394, 8.80), (0.303, 0.710, 3.88)], 0.129),
    },
    "ssh_nadir4_swot": {
        "one Gaussian": ([(1.0, 0.946, 5.47)], 0.059),
        "two Gaussians": ([(1.0, 1.297, 7.69), (0.111, 0.651, 3.87)], 0.055),
    },
}


@dataclass(frozen=True)
class Period:
    """Innovations of a period, and how its maps are scored."""

    innovation: torch.Tensor
    coordinates: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    background: xr.DataArray
    truth: xr.DataArray

    @property
    def observed(self) -> torch.Tensor:
        return self.innovation.isfinite()

    def analyse(self, model: Covariance, noise: float, tolerance: float) -> tuple[float, int]:
        """RMSE in cm and iterations."""
        prior = Prior(model, self.coordinates)
        result = analyse(self.innovation, self.observed, prior, noise, tolerance=tolerance)
        days = self.truth.sizes["time"]
        field = result.increment[-days:].numpy() + self.background.values
        error = (self.truth - field).isel(INNER).values
        return 100.0 * float(np.sqrt((error**2).mean())), int(result.iterations)


def read(data: Path, name: str, span: tuple[slice, str], *, mean: bool) -> Period:
    """One set of observations over one period, on the training mean or on zero."""
    with xr.open_dataset(data / "truth.nc") as file:
        truth = file.ssh.load()
    with xr.open_dataset(data / "obs.nc") as file:
        observations = file[name].sel(time=span[0]).load()
    background = truth.sel(time=TRAINING).mean("time") * (1.0 if mean else 0.0)
    day = (observations.time - observations.time[0]) / np.timedelta64(1, "D")
    coordinates = tuple(
        torch.tensor(axis.values, dtype=torch.float64)
        for axis in (day, observations.lat, observations.lon)
    )
    return Period(
        torch.from_numpy((observations - background).values),
        coordinates,
        background,
        truth.sel(time=slice(span[1], span[0].stop)),
    )


def gaussians(scales: list[tuple[float, float, float]]) -> Sum:
    """Sum of Gaussians from (weight, degrees, days)."""
    return Sum([Separable((days, size, size), variance=w) for w, size, days in scales])


def from_parameters(parameters: dict[str, float], family: str) -> Sum:
    """Covariance of one or two scales from what the search varies."""
    space = parameters["space"]
    terms = [Separable((parameters["time"], space, space), family)]
    if "second_weight" in parameters:
        space = parameters["second_space"]
        lengths = (parameters["second_time"], space, space)
        terms.append(Separable(lengths, family, parameters["second_weight"]))
    return Sum(terms)


def with_second(one: dict[str, float]) -> dict[str, float]:
    """Start of a search for two scales from the best single one."""
    longer = {"time": 1.3 * one["time"], "space": 1.3 * one["space"], "noise": one["noise"]}
    second = {"second_time": 0.7 * one["time"], "second_space": 0.7 * one["space"]}
    return {**longer, **second, "second_weight": 0.25}


def search(period: Period, family: str, start: dict[str, float], calls: int) -> dict[str, float]:
    """Parameters of the smallest validation RMSE."""
    found = tune(
        lambda p: period.analyse(from_parameters(p, family), p["noise"], 3.0)[0],
        start,
        max_evaluations=calls,
    )
    return found.parameters


def row(label: str, test: Period, validation: Period, model: Sum, noise: float, note: str) -> None:
    begin = time.perf_counter()
    score, iterations = test.analyse(model, noise, TOLERANCE)
    seconds = time.perf_counter() - begin
    check, _ = validation.analyse(model, noise, TOLERANCE)
    print(f"| {label} | {check:.3f} | {score:.3f} | {iterations} | {seconds:.2f} | {note} |")


def describe(model: Sum, noise: float, seconds: float) -> str:
    scales = ", ".join(
        f"{t.variance:.3f}: {t.lengths[1]:.3f} deg {t.lengths[0]:.2f} d" for t in model.terms
    )
    return f"{scales}; noise {noise:.3f}; tuned in {seconds:.0f} s"


def tuned_rows(test: Period, validation: Period) -> None:
    guess = first_guess(validation.innovation, validation.observed, validation.coordinates)
    start = {"time": guess["time"], "space": (guess["y"] * guess["x"]) ** 0.5}
    start |= {"noise": guess["noise"]}
    print(f"|   start | | | | | {', '.join(f'{k} {v:.3f}' for k, v in start.items())} |")
    for family in ("gaussian", "matern32"):
        begin = time.perf_counter()
        one = search(validation, family, start, 45)
        seconds = time.perf_counter() - begin
        model = from_parameters(one, family)
        note = describe(model, one["noise"], seconds)
        row(f"one {family}, tuned here", test, validation, model, one["noise"], note)
        if family == "gaussian":
            two = search(validation, family, with_second(one), 90)
            seconds = time.perf_counter() - begin
            model = from_parameters(two, family)
            note = describe(model, two["noise"], seconds)
            row(f"two {family}, tuned here", test, validation, model, two["noise"], note)


def error_rows(test: Period, references: dict[str, tuple[list[tuple[float, ...]], float]]) -> None:
    """Map and errors of 63 days, in turn, three times each: medians."""
    print("\n| errors beside maps | map s | errors s | ratio |\n| --- | --- | --- | --- |")
    for label, (scales, noise) in references.items():
        model, seconds = gaussians(scales), []
        for _ in range(3):
            prior = Prior(model, test.coordinates)
            begin = time.perf_counter()
            analyse(test.innovation, test.observed, prior, noise)
            middle = time.perf_counter()
            analysis_error(test.observed, noise, Prior(model, test.coordinates))
            seconds.append((middle - begin, time.perf_counter() - middle))
        map_, error = np.median(seconds, axis=0)
        print(f"| {label} | {map_:.2f} | {error:.2f} | {error / map_:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/twin_gulfstream"))
    parser.add_argument("--error", action="store_true", help="time the analysis error field too")
    arguments = parser.parse_args()
    for name, references in REFERENCE.items():
        print(f"\n{name}\n\n| OI | validation cm | test cm | iterations | s | parameters |")
        print("| --- | --- | --- | --- | --- | --- |")
        for mean in (False, True):
            periods = [read(arguments.data, name, s, mean=mean) for s in (TEST, VALIDATION)]
            if not mean:
                challenge = gaussians([(1.0, 1.0, 7.0)])
                row("challenge parameters, zero background", *periods, challenge, 0.0025, "")
            for label, (scales, noise) in references.items():
                where = "training mean" if mean else "zero background"
                row(f"{label}, reference, {where}", *periods, gaussians(scales), noise, "")
        tuned_rows(*periods)
        if arguments.error:
            error_rows(periods[0], references)


if __name__ == "__main__":
    main()
