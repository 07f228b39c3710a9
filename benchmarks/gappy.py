"""Learning from gappy data alone: a cloudy sea surface temperature, trained without the truth.

    python benchmarks/gappy.py --data ../shared/data/twin_gulfstream

Trained on what the clouds left of 2013-02-01 to 2014-10-02. Of the test, 2012-10-01 to 2012-12-20,
a tenth of the observed cells is hidden one by one and a tenth in cloud-shaped patches before all
else; maps from the rest are held against both (noise of 0.2 K included), and against the truth
from 2012-10-22 to 2012-12-02, everywhere and where nothing was shown.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import xarray as xr
from ssh_mapping import PROTOCOLS, SCORED, TRAIN, VALIDATION

import xr4dvar as xv


def main() -> None:
    options = parse()
    data = Path(options.data)
    y = xr.open_dataset(data / "obs.nc").sst_cloudy.astype("float32").load()
    truth = xr.open_dataset(data / "truth.nc").sst.astype("float32").load()
    model, seconds = fitted(y, options)
    shown, hidden = hold_out(y.sel(time=PROTOCOLS["B"]))
    print(f"training: {seconds:.0f} s")
    print(f"{'RMSE, K':14}{'random':>9}{'patches':>9}{'truth':>9}{'under clouds':>14}")
    for name, method in (
        ("linear", xv.LinearInterpolation()),
        ("tuned OI", model.background),
        ("4DVarNet", model),
    ):
        row = errors(xv.reconstruct(shown, method, progress=False), shown, hidden, truth)
        print(
            f"{name:14}" + "".join(f"{v:{w}.3f}" for v, w in zip(row, (9, 9, 9, 14), strict=True)),
            flush=True,
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="../shared/data/twin_gulfstream")
    parser.add_argument("--steps", type=int, default=2000, help="training steps")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="file to keep the model in, and to take it from")
    return parser.parse_args()


def fitted(y: xr.DataArray, options: argparse.Namespace) -> tuple[xv.Model, float]:
    """Fit from the gappy data alone, or take the model that an earlier run kept."""
    if options.model and Path(options.model).exists():
        return xv.load(options.model), 0.0
    started = time.perf_counter()
    model = y.sel(time=TRAIN).fourdvar.fit(
        xv.FourDVarNet(training=xv.Training(steps=options.steps)),
        validation=VALIDATION,
        seed=options.seed,
        precision=options.precision,
    )
    if options.model:
        model.save(options.model)
    return model, time.perf_counter() - started


def hold_out(y: xr.DataArray) -> tuple[xr.DataArray, dict[str, xr.DataArray]]:
    """Hide a tenth in patches and a tenth of the rest cell by cell; give what is left, and both."""
    rest, patches = y.fourdvar.hold_out(0.1, shape="patches")
    shown, random = rest.fourdvar.hold_out(0.1, shape="random")
    return shown, {"patches": patches, "random": random}


def errors(
    maps: xr.DataArray,
    shown: xr.DataArray,
    hidden: dict[str, xr.DataArray],
    truth: xr.DataArray,
) -> list[float]:
    """RMSE on cells hidden at random, in patches, against the truth, and where nothing was seen."""
    against = [hidden["random"], hidden["patches"], truth, truth.where(shown.isnull())]
    scored = [
        xv.score(maps.sel(time=SCORED), one.sel(time=SCORED), metrics="rmse") for one in against
    ]
    return [float(score.rmse) for score in scored]


if __name__ == "__main__":
    main()
