"""Fit 4DVarNet, map a test period, score it and draw it.

    python examples/demo.py --output demo                       the bundled sample
    python examples/demo.py --output demo --data my.nc --variable sst     your own gappy file

With the bundled sample the truth is known, and 4DVarNet learns from it. From your own file it
learns from the gappy data alone, and is scored on observed cells that it was not shown.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import xarray as xr

import xr4dvar as xv
from xr4dvar.datasets import GULFSTREAM_PERIODS, GULFSTREAM_SCORED, gulfstream_twin

#: Ways up, left out of the scores on the sample: one degree at each side.
INNER = {"lat": slice(10, -10), "lon": slice(10, -10)}


def main() -> None:
    options = parse()
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    if options.data:
        own_file(folder, Path(options.data), options.variable, options.steps)
    else:
        sample(folder, options.steps)
    print(f"\n{time.perf_counter() - started:.0f} s in all. Look into {folder}/:")
    for path in sorted(folder.iterdir()):
        print(f"  {path.name}  {path.stat().st_size / 2**20:.1f} MB")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default="demo", help="folder for what the demo makes")
    parser.add_argument("--data", help="a netCDF file or zarr store of your own")
    parser.add_argument("--variable", help="its variable, where it has more than one")
    parser.add_argument("--steps", type=int, default=700, help="training steps")
    return parser.parse_args()


def sample(folder: Path, steps: int) -> None:
    """Learn from a year of truth, map a test period and compare."""
    ds = gulfstream_twin()
    y, truth = ds.ssh_nadir4, ds.ssh
    learn = slice(GULFSTREAM_PERIODS["train"].start, GULFSTREAM_PERIODS["validation"].stop)
    method = xv.FourDVarNet(mirror=True, training=xv.Training(steps=steps))
    print("Fitting 4DVarNet on a year of simulated altimetry; it tunes its own OI first.")
    model = y.sel(time=learn).fourdvar.fit(
        method,
        truth.sel(time=learn),
        validation=GULFSTREAM_PERIODS["validation"],
        checkpoint=str(folder / "training.ckpt"),
        progress=True,
    )
    test = y.sel(time=GULFSTREAM_PERIODS["test"]).chunk(time=27)
    maps = {
        "linear": test.fourdvar.reconstruct(xv.LinearInterpolation()),
        "tuned OI": test.fourdvar.reconstruct(model.background),
        "4DVarNet": test.fourdvar.reconstruct(model),
    }
    print(test.fourdvar.plan(model))
    scored = truth.sel(time=GULFSTREAM_SCORED["test"])
    maps = {
        name: field.compute().sel(time=GULFSTREAM_SCORED["test"]) for name, field in maps.items()
    }
    print(f"\n{'':10}{'RMSE cm':>8}{'mu':>8}{'sigma':>8}{'lambda_x':>10}{'lambda_t':>10}")
    for name, field in maps.items():
        s = field.isel(INNER).fourdvar.score(scored.isel(INNER))
        print(
            f"{name:10}{100 * s.rmse:8.2f}{s.mu:8.3f}{s.sigma:8.3f}"
            f"{s.lambda_x:8.2f} °{s.lambda_t:8.1f} d"
        )
    keep(folder, model, maps["4DVarNet"])
    shown = {name: maps[name] for name in ("tuned OI", "4DVarNet")}
    day = "2012-11-12"
    figure = xv.plotting.plot_panels(observations=y, reconstruction=shown, truth=scored, time=day)
    figure.savefig(folder / "maps.png", dpi=120)


def own_file(folder: Path, path: Path, variable: str | None, steps: int) -> None:
    """Learn from gappy data alone, and score on cells that were hidden before all else."""
    ds = xr.open_zarr(path) if path.suffix == ".zarr" else xr.open_dataset(path, chunks={})
    names = [str(name) for name, array in ds.data_vars.items() if array.ndim >= 2]
    if variable is None and len(names) != 1:
        sys.exit(
            f"{path} holds {', '.join(names)}: say which, make demo DATA={path} VAR={names[0]}"
        )
    y = ds[variable or names[0]].astype("float32").compute()
    mask = sea(y)
    shown, hidden = y.fourdvar.hold_out(0.1)
    method = xv.FourDVarNet(training=xv.Training(steps=steps))
    print(f"Fitting 4DVarNet on the gaps of {y.name!r} alone; it tunes its own OI first.")
    model = shown.fourdvar.fit(
        method, mask=mask, progress=True, checkpoint=str(folder / "training.ckpt")
    )
    methods = {"linear": xv.LinearInterpolation(), "tuned OI": model.background, "4DVarNet": model}
    print(f"\nRMSE on {int(hidden.notnull().sum()):,} observed cells that were hidden from all:")
    for name, one in methods.items():
        s = shown.fourdvar.reconstruct(one, mask=mask, progress=True).fourdvar.score(
            hidden, metrics=("rmse", "r_score")
        )
        print(f"{name:10}{float(s.rmse):10.4g}  explained variance {float(s.r_score):5.1f} %")
    maps = {
        name: y.fourdvar.reconstruct(methods[name], mask=mask, progress=True)
        for name in ("tuned OI", "4DVarNet")
    }
    keep(folder, model, maps["4DVarNet"])
    figure = xv.plotting.plot_panels(observations=y, reconstruction=maps)
    figure.savefig(folder / "maps.png", dpi=120)


def sea(y: xr.DataArray) -> xr.DataArray | None:
    """Cells that were seen at least once; the others are taken for land, and left missing."""
    axes = xv.labels.find_axes(y)
    if "time" not in axes.roles:
        return None
    seen = y.notnull().any(axes.dim("time"))
    print(f"{100 * float(1 - seen.mean()):.0f} % of the cells are never observed: taken for land.")
    return seen


def keep(folder: Path, model: xv.Model, field: xr.DataArray) -> None:
    """Write the map as CF netCDF, the model as one file, and the training curve."""
    compress = {"zlib": True, "shuffle": True, "dtype": "float32"}
    field.to_dataset(name=field.name or "map").to_netcdf(
        folder / "maps.nc", encoding={field.name or "map": compress}
    )
    model.save(folder / "model.safetensors", overwrite=True)
    xv.plotting.plot_training(model.history).savefig(folder / "training.png", dpi=120)
    (folder / "training.ckpt").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
