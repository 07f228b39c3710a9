"""Inverse problems of the twin: what is blurred, averaged over blocks, or hidden, back to maps.

Run from the repository root::

    OMP_NUM_THREADS=1 python benchmarks/inverse_problems.py --data ../shared/data/twin_gulfstream
        [--enatl60 ../shared/data/enatl60_swot_med/eNATL60-BLB002_y2009m08d15.1d_SSH-med.nc]
        [--problems blur30 blur60 ...] [--steps 0] [--models FOLDER] [--output TABLE.json]

- ``blur30``, ``blur60``: daily maps of sea surface height behind a Gaussian of 30 or 60 km, with
  1 cm of noise; ``blur30gaps``, ``blur60gaps`` with 30 % of each day under clouds.
- ``ssh4``, ``ssh8``, ``sst4``, ``sst8``: means over blocks of 4 x 4 or 8 x 8 cells, with 0.5 cm or
  0.1 K of noise.
- ``enatl60``: a day of the western Mediterranean at 1/60 degree, means over blocks of 6 x 6 cells
  of which at least half are sea, without noise; scored on the sea of these blocks.

Of the twin are given 2012-10-01 .. 12-20, scored 2012-10-22 .. 12-02 on the inner 80 x 80 cells;
learned from the truth of 2013-02-01 .. 2014-07-31, validated on 2014-08-20 .. 10-02. Its grid is a
plane, in km. Methods: the field as it is given, `OptimalInterpolation` with the operator, fitted,
and with ``--steps`` a 4DVarNet on top of it. Anchors are those of a linear filter with the spectrum
of the training truth in space and time; of ``enatl60`` bicubic with the block means kept.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from scipy import ndimage

import xr4dvar as xv

TRAIN, VALIDATION = slice("2013-02-01", "2014-10-02"), slice("2014-08-20", "2014-10-02")
GIVEN, SCORED = slice("2012-10-01", "2012-12-20"), slice("2012-10-22", "2012-12-02")
NORTH, EAST = 11.12, 11.12 * float(np.cos(np.deg2rad(38.0)))
BLUR_NOISE = 0.01
BLOCK_NOISE = {"ssh": 0.005, "sst": 0.1}
#: RMSE of the space-time filter: cm, and K of temperature.
ANCHORS = {
    "blur30": 1.045, "blur60": 2.415, "blur30gaps": 1.250, "blur60gaps": 2.570,
    "ssh4": 0.817, "ssh8": 3.064, "sst4": 0.337, "sst8": 0.576,
    "enatl60": 0.060,
}  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """Observations and truth, to learn from and to be scored on."""

    name: str
    operator: xv.operators.Operator
    train: tuple[xr.DataArray, xr.DataArray]
    given: tuple[xr.DataArray, xr.DataArray]
    scale: float = 100.0

    def maps(self, model: xv.Model) -> xr.DataArray:
        """Maps on the grid of the truth."""
        obs, truth = self.given
        grid = truth if self.operator.other_grid else None
        return obs.fourdvar.reconstruct(model, grid=grid, progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--enatl60", help="file of the western Mediterranean")
    parser.add_argument("--problems", nargs="+", default=list(ANCHORS), choices=list(ANCHORS))
    parser.add_argument("--steps", type=int, default=0, help="of the network; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", help="folder to keep models in, and to take them from")
    parser.add_argument("--output", help="JSON file for the table")
    options = parser.parse_args()
    columns = "problem, method, RMSE, over the anchor, gradient, lambda_x (deg), fit (s), maps (s)"
    print("|", " | ".join(columns.split(", ")), "|")
    print("|", " --- |" * 8)
    rows = []
    for name in options.problems:
        if name == "enatl60":
            print(coastal(options.enatl60), flush=True)
            continue
        for row in solved(problem(name, options.data), options):
            rows.append(row)
            numbers = " | ".join(f"{row[k]:.4g}" for k in ("rmse", "ratio", "gradient", "lambda_x"))
            seconds = f"{row['fit_s']:.0f} | {row['maps_s']:.1f}"
            print(f"| {name} | {row['method']} | {numbers} | {seconds} |", flush=True)
    if options.output:
        Path(options.output).write_text(json.dumps(rows, indent=1))


def problem(name: str, data: str) -> Problem:
    """Degrade the twin as the protocol says."""
    variable = "sst" if name.startswith("sst") else "ssh"
    truth = on_plane(xr.open_dataset(f"{data}/truth.nc")[variable].load())
    parts = [truth.sel(time=period) for period in (TRAIN, GIVEN)]
    if name.startswith("blur"):
        width = float(name[4:6])
        operator = xv.operators.Blur({"y": f"{width} km", "x": f"{width} km"})
        seen = [blurred(part, width, seed) for part, seed in zip(parts, (5, 1), strict=True)]
        if name.endswith("gaps"):
            seen = [
                part.where(~clouds(part.shape, 0.3, seed))
                for part, seed in zip(seen, (6, 2), strict=True)
            ]
    else:
        factor, noise = int(name[3]), BLOCK_NOISE[variable]
        parts = [part.isel(y=slice(2, 98), x=slice(2, 98)) for part in parts]
        operator = xv.operators.BlockMean()
        seen = [blocks(part, factor, noise, s) for part, s in zip(parts, (7, 3), strict=True)]
    pairs = list(zip(seen, parts, strict=True))
    return Problem(name, operator, pairs[0], pairs[1], 1.0 if variable == "sst" else 100.0)


def coastal(path: str, factor: int = 6) -> str:
    """A row of the coast: a grid with 2-D coordinates, on which blocks are told by their cells."""
    fine = xr.open_dataset(path).sossheig.isel(y=slice(0, 600), x=slice(0, 342))
    fine = fine.astype(np.float64).squeeze(drop=True)
    sea, cells = fine.notnull(), {"y": factor, "x": factor}
    used = sea.coarsen(cells).mean() >= 0.5
    means = fine.coarsen(cells).mean().where(used)
    oi = xv.OptimalInterpolation(
        length="25 km",
        family="matern52",
        variance=5e-3,
        error_variance=1e-12,
        mean=float(means.mean()),
        operator=xv.operators.BlockMean(cells, weights="equal"),
    )
    begin = time.perf_counter()
    maps = means.fourdvar.reconstruct(oi, grid=fine, mask=sea, progress=False)
    seconds = time.perf_counter() - begin
    scored = sea & np.repeat(np.repeat(used.values, factor, 0), factor, 1)
    rmse = 100 * float(((maps - fine).where(scored) ** 2).mean() ** 0.5)
    back = float(abs(maps.coarsen(cells).mean() - means).max())
    ratio = rmse / ANCHORS["enatl60"]
    return (
        f"| enatl60 | OI, means to {back:.0e} m | {rmse:.4g} | {ratio:.4g} | | | | {seconds:.0f} |"
    )


def on_plane(field: xr.DataArray) -> xr.DataArray:
    """The twin on its own grid: a plane, in km."""
    axes = {"y": NORTH * np.arange(field.sizes["lat"]), "x": EAST * np.arange(field.sizes["lon"])}
    plane = field.rename(lat="y", lon="x")
    return plane.assign_coords({n: (n, values, {"units": "km"}) for n, values in axes.items()})


def blurred(truth: xr.DataArray, width: float, seed: int) -> xr.DataArray:
    widths = (0.0, width / NORTH, width / EAST)
    smooth = ndimage.gaussian_filter(truth.values, widths, mode="reflect", truncate=6.0)
    return truth.copy(data=smooth + np.random.default_rng(seed).normal(0, BLUR_NOISE, truth.shape))


def clouds(shape: tuple[int, ...], share: float, seed: int, width: float = 5.0) -> np.ndarray:
    """Gaps that hide a share of each field."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    noise = ndimage.gaussian_filter(noise, (0, width, width), mode="wrap")
    return noise > np.quantile(noise, 1 - share, axis=(1, 2), keepdims=True)


def blocks(truth: xr.DataArray, factor: int, noise: float, seed: int) -> xr.DataArray:
    means = truth.coarsen(y=factor, x=factor).mean(keep_attrs=True)
    return means + np.random.default_rng(seed).normal(0, noise, means.shape)


def solved(case: Problem, options: argparse.Namespace) -> list[dict]:
    """Rows of all methods on one problem."""
    rows = []
    if not case.operator.other_grid and not case.name.endswith("gaps"):
        rows.append(scores(case, case.given[0], "as given", 0.0, 0.0))
    oi = xv.OptimalInterpolation(mean="map", operator=case.operator)
    methods = {"OI": oi}
    if options.steps:
        training = xv.Training(steps=options.steps, patience=1000)
        methods["4DVarNet"] = xv.FourDVarNet(
            background=oi,
            operator=case.operator,
            training=training,
            mirror=case.train[1].name == "ssh",
        )
    for method, configured in methods.items():
        begin = time.perf_counter()
        model = fitted(case, method, configured, options)
        middle = time.perf_counter()
        maps = case.maps(model)
        end = time.perf_counter()
        rows.append(scores(case, maps, method, middle - begin, end - middle))
    return rows


def fitted(case: Problem, name: str, method: object, options: argparse.Namespace) -> xv.Model:
    """Fit, or take the model that an earlier run kept."""
    path = Path(options.models or ".") / f"{name}-{case.name}.safetensors"
    if options.models and path.exists():
        return xv.load(path)
    obs, truth = case.train
    model = obs.fourdvar.fit(
        method, truth, validation=VALIDATION, seed=options.seed, progress=False
    )
    if options.models:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
    return model


def scores(case: Problem, maps: xr.DataArray, method: str, fit_s: float, maps_s: float) -> dict:
    """RMSE, that of the gradient per 100 km, and the shortest resolved wavelength."""
    truth = case.given[1]
    edge = (100 - 80) // 2 - (100 - truth.sizes["y"]) // 2
    inner = {"time": SCORED}, {"y": slice(edge, -edge), "x": slice(edge, -edge)}
    error = (maps - truth).sel(inner[0])
    parts = [error.differentiate(dim).isel(inner[1]) for dim in ("y", "x")]
    rmse = case.scale * float((error.isel(inner[1]) ** 2).mean() ** 0.5)
    resolved = xv.score(
        in_degrees(maps.sel(inner[0]).isel(inner[1])),
        in_degrees(truth.sel(inner[0]).isel(inner[1])),
        metrics=["lambda_x"],
    )
    return {
        "problem": case.name,
        "method": method,
        "rmse": rmse,
        "ratio": rmse / ANCHORS[case.name],
        "gradient": 100 * case.scale * float(sum((part**2).mean() for part in parts) ** 0.5),
        "lambda_x": float(resolved.lambda_x),
        "fit_s": fit_s,
        "maps_s": maps_s,
    }


def in_degrees(field: xr.DataArray) -> xr.DataArray:
    """Back to the twin's degrees, in which wavelengths are told."""
    axes = {
        "lat": ("y", 0.1 * np.arange(field.sizes["y"])),
        "lon": ("x", 0.1 * np.arange(field.sizes["x"])),
    }
    return field.drop_vars(["y", "x"]).assign_coords(axes).swap_dims(y="lat", x="lon")


if __name__ == "__main__":
    main()
