"""Optimal interpolation against a dense solve in float64: how far maps and errors are from it.

Run from the repository root::

    OMP_NUM_THREADS=1 python benchmarks/oi_exact.py [--quick] [--observations 50 300 301 1500 5000]
        [--ratios 0.1 0.01 1e-4 1e-6 1e-8] [--families gaussian matern12 matern32 matern52]
        [--swath]

A field is drawn from its prior and observed at random cells of a grid, or at random places, with an
error variance R of so many shares of the prior variance B. `reconstruct` and `map_points` with
``error=True`` are held against the Cholesky solve of the same covariance at all cells (at 1,500 of
them where there are more). Printed per case: the largest difference of the map, in standard
deviations of the prior and of the analysis error, the largest difference of the error, in standard
deviations of the prior, and seconds. The bounds are those of the docs:

- `map_points` up to 5,000 observations: 1e-6 of the prior;
- `reconstruct`: 1 % of the analysis error, and 1e-6 of the prior (rounding of the dense solve);
- errors: 2 % of the prior.

``--swath``: bands of cells without a gap, another one each day, 7,200 in a window of 10 lengths:
dense observations in a large window, at error variances of swath altimetry.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.covariance import FAMILIES, Covariance, Separable, Spherical

RATIOS = (1e-1, 1e-2, 1e-4, 1e-6, 1e-8)
OBSERVATIONS = (50, 300, 301, 1500, 5000)
START = np.datetime64("2020-01-01", "ns")
CHECKED = 1500
NANOSECONDS = 86_400 * 10**9


@dataclass(frozen=True)
class Case:
    """Axes of a grid, the lengths of the prior on it, and the covariance that they mean."""

    name: str
    days: np.ndarray | None
    lat: np.ndarray | None
    lon: np.ndarray | None
    length: dict[str, str | float]
    periodic: tuple[str, ...] = ()

    def covariance(self, family: str) -> Covariance:
        if "km" in str(self.length.get("lat", "")):
            return Spherical(
                (_days(self.length), float(str(self.length["lat"]).split()[0])), family
            )
        lengths = _days(self.length), *(float(self.length.get(n, 1.0)) for n in ("lat", "lon"))
        circle = None, None, 360.0 if self.periodic else None
        return Separable(lengths, family, 1.0, circle)

    def axes(self) -> list[np.ndarray]:
        return [np.zeros(1) if a is None else a for a in (self.days, self.lat, self.lon)]

    def grid(self) -> xr.DataArray:
        coords = {}
        if self.days is not None:
            steps = np.rint(self.days * NANOSECONDS).astype("m8[ns]")
            coords["time"] = START + steps
        coords |= {n: a for n, a in (("lat", self.lat), ("lon", self.lon)) if a is not None}
        shape = [len(a) for a in coords.values()]
        return xr.DataArray(np.zeros(shape), coords=coords, dims=list(coords), name="x")


def _days(length: dict[str, str | float]) -> float:
    return float(str(length.get("time", "1D"))[:-1])


def spaced(kind: str, n: int, step: float, seed: int = 0) -> np.ndarray:
    """An even axis, one of two spacings, or an irregular one, of about the same length."""
    if kind == "even":
        return step * np.arange(n)
    if kind == "two spacings":
        steps = np.where(np.arange(n - 1) < n // 2, 1.8 * step, 0.2 * step)
    else:
        steps = step * np.random.default_rng(seed).uniform(0.2, 1.8, n - 1)
    return np.round(np.concatenate([[0.0], np.cumsum(steps)]), 6)


def cases(count: int) -> list[Case]:
    """Grids with about 2.5 cells an observation, for each kind of axes."""
    cells = max(130, int(2.5 * count))
    side, cube = int(np.ceil(cells**0.5)), int(np.ceil((cells / 6) ** 0.5))
    found = []
    for kind in ("even", "two spacings", "irregular"):
        lat, lon = 30 + spaced(kind, side, 0.25, 1), spaced(kind, side, 0.25, 2)
        days = spaced(kind, cells, 0.25)
        found.append(Case(f"time, {kind}", days, None, None, {"time": "1D"}))
        found.append(Case(f"plane, {kind}", None, lat, lon, {"lat": 1.0, "lon": 1.2}))
        space = 30 + spaced(kind, cube, 0.3, 3), spaced(kind, cube, 0.3, 4)
        days = spaced(kind, 6, 1.0, 5)
        found.append(
            Case(f"all three, {kind}", days, *space, {"time": "3D", "lat": 1.0, "lon": 1.2})
        )
    east = 0.25 * np.arange(side)
    found.append(Case("sphere", None, 50 + 0.25 * np.arange(side), east, {"lat": "100 km"}))
    round_ = max(8, side // 3)
    circle = np.arange(0.0, 360.0, 360.0 / (3 * round_))
    found.append(
        Case(
            "periodic",
            None,
            np.linspace(-10, 10, round_),
            circle,
            {"lat": 8.0, "lon": 16.0},
            ("lon",),
        )
    )
    return found


def dense(
    covariance: Covariance,
    points: torch.Tensor,
    values: torch.Tensor,
    ratio: float,
    at: torch.Tensor,
) -> tuple[np.ndarray, np.ndarray]:
    """Map and standard deviation of its error by one Cholesky factorisation."""
    system = covariance.between(points, points)
    system.diagonal().add_(ratio)
    factor = torch.linalg.cholesky(system)
    cross = covariance.between(points, at)
    gain = torch.linalg.solve_triangular(factor, cross, upper=False)
    map_ = cross.T @ torch.cholesky_solve(values[:, None], factor)[:, 0]
    return map_.numpy(), (1.0 - gain.square().sum(0)).clamp(min=0.0).sqrt().numpy()


def draw(covariance: Covariance, points: torch.Tensor, ratio: float, seed: int) -> torch.Tensor:
    """Observations of a field of the prior."""
    system = covariance.between(points, points)
    system.diagonal().add_(ratio + 1e-10)
    normal = np.random.default_rng(seed).standard_normal(len(points))
    return torch.linalg.cholesky(system) @ torch.tensor(normal)


@dataclass(frozen=True)
class Row:
    """Differences from the dense solve."""

    map_prior: float
    map_error: float
    error: float
    seconds: float


def bands(days: int = 10, side: int = 60, width: int = 12) -> np.ndarray:
    """Cells (days, side, side) of a swath that crosses the domain aslant, elsewhere each day."""
    day, row, column = np.ogrid[:days, :side, :side]
    return ((column + row // 3 + 23 * day) % side) < width


SWATH = Case(
    "swath",
    np.arange(10.0),
    30 + 0.1 * np.arange(60),
    0.1 * np.arange(60),
    {"time": "7D", "lat": 0.6, "lon": 0.6},
)


def gridded(
    case: Case, family: str, ratio: float, count: int, seen: np.ndarray | None = None
) -> Row:
    grid, covariance = case.grid(), case.covariance(family)
    cells = torch.cartesian_prod(*(torch.tensor(a, dtype=torch.float64) for a in case.axes()))
    chosen = np.sort(np.random.default_rng(1).permutation(len(cells))[:count])
    chosen = chosen if seen is None else np.flatnonzero(seen)
    values = draw(covariance, cells[chosen], ratio, 2)
    field = np.full(len(cells), np.nan)
    field[chosen] = values.numpy()
    obs = grid.copy(data=field.reshape(grid.shape))
    oi = xv.OptimalInterpolation(
        length=case.length, variance=1.0, error_variance=ratio, mean=0.0, family=family
    )
    begin = time.perf_counter()
    maps = xv.reconstruct(obs, oi, error=True, periodic=case.periodic, progress=False)
    seconds = time.perf_counter() - begin
    some = np.linspace(0, len(cells) - 1, min(CHECKED, len(cells))).astype(int)
    expected = dense(covariance, cells[chosen], values, ratio, cells[some])
    return compared(
        maps.x.values.ravel()[some], maps.x_error.values.ravel()[some], expected, seconds
    )


def scattered(case: Case, family: str, ratio: float, count: int) -> Row:
    grid, covariance = case.grid(), case.covariance(family)
    generator = np.random.default_rng(1)
    places = [
        generator.uniform(a[0], a[-1], count) if len(a) > 1 else np.zeros(count)
        for a in case.axes()
    ]
    if case.days is not None:  # what dates can hold
        places[0] = np.rint(places[0] * NANOSECONDS) / NANOSECONDS
    points = torch.tensor(np.stack(places, -1))
    values = draw(covariance, points, ratio, 2)
    coords = {}
    if case.days is not None:
        coords["time"] = ("obs", START + np.rint(places[0] * NANOSECONDS).astype("m8[ns]"))
    coords |= {
        n: ("obs", p) for n, p in zip(("lat", "lon"), places[1:], strict=True) if n in grid.dims
    }
    obs = xr.DataArray(values.numpy(), dims="obs", coords=coords, name="x")
    stride = max(1, int(np.ceil(grid.size / CHECKED)))
    last = grid.dims[-1]
    target = grid.isel({last: slice(None, None, stride)}) if grid.ndim > 1 else grid[::stride]
    oi = xv.OptimalInterpolation(
        length=case.length, variance=1.0, error_variance=ratio, mean=0.0, family=family
    )
    begin = time.perf_counter()
    maps = xv.map_points(obs, oi, target, error=True, periodic=case.periodic)
    seconds = time.perf_counter() - begin
    axes = case.axes()
    number = 0 if grid.ndim == 1 else 2
    axes[number] = axes[number][::stride]
    cells = torch.cartesian_prod(*(torch.tensor(a, dtype=torch.float64) for a in axes))
    expected = dense(covariance, points, values, ratio, cells)
    return compared(maps.x.values.ravel(), maps.x_error.values.ravel(), expected, seconds)


def compared(
    map_: np.ndarray, error: np.ndarray, expected: tuple[np.ndarray, np.ndarray], seconds: float
) -> Row:
    difference = np.abs(map_ - expected[0])
    # a millionth of the prior is the rounding of the dense solve
    relative = np.maximum(difference - 1e-6, 0.0) / np.maximum(expected[1], 1e-12)
    return Row(
        float(difference.max()),
        float(relative.max()),
        float(np.abs(error - expected[1]).max()),
        seconds,
    )


def runs(arguments: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    """Cases, families, ratios and counts, and what solves them."""
    if arguments.swath:
        seen = bands()
        solve = {"reconstruct": partial(gridded, seen=seen)}
        for family, ratio in itertools.product(arguments.families, (0.1, 0.017, 1e-3)):
            yield SWATH, family, ratio, int(seen.sum()), solve
        return
    both = {"reconstruct": gridded, "map_points": scattered}
    for count in (301,) if arguments.quick else arguments.observations:
        chosen = [c for c in cases(count) if not arguments.quick or "spacings" not in c.name]
        for case, family, ratio in itertools.product(chosen, arguments.families, arguments.ratios):
            yield case, family, ratio, count, both


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="even axes and 301 observations only")
    parser.add_argument("--observations", type=int, nargs="+", default=OBSERVATIONS)
    parser.add_argument("--ratios", type=float, nargs="+", default=RATIOS)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--swath", action="store_true", help="dense observations of a window alone")
    arguments = parser.parse_args()
    logging.getLogger("xr4dvar").setLevel(logging.WARNING)
    worst: dict[str, list[float]] = {"reconstruct": [0.0] * 3, "map_points": [0.0] * 3}
    titles = "method, family, R/B, axes, observations, map (prior), map (error), error (prior), s"
    print("|", " | ".join(titles.split(", ")), "|")
    print("|", " --- |" * 9)
    for case, family, ratio, count, methods in runs(arguments):
        for method, solve in methods.items():
            row = solve(case, family, ratio, count)
            found = (row.map_prior, row.map_error, row.error)
            worst[method] = [max(a, b) for a, b in zip(worst[method], found, strict=True)]
            numbers = " | ".join(f"{value:.1e}" for value in found)
            print(
                f"| {method} | {family} | {ratio:.0e} | {case.name} | {count} | {numbers} "
                f"| {row.seconds:.2f} |",
                flush=True,
            )
    for method, found in worst.items():
        print(
            f"\nworst of {method}: map {found[0]:.1e} prior, {found[1]:.1e} of its error; "
            f"error {found[2]:.1e} prior"
        )
    within = (
        worst["reconstruct"][1] <= 0.01
        and worst["map_points"][0] <= 1e-6
        and max(w[2] for w in worst.values()) <= 0.02
    )
    print("all within the bounds of the docs" if within else "NOT within the bounds of the docs")


if __name__ == "__main__":
    main()
