"""Map real files as their users find them, score on cells that were kept back, draw each.

    python examples/real_data.py --data ../shared/data --output real_data
    python examples/real_data.py --data ../shared/data --output real_data --only alboran_sst

Every case opens its file with the defaults of xarray, keeps observed cells back (under the clouds
of another day, or off simulated tracks where the field has no gaps) and maps the rest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

import xr4dvar as xv
from xr4dvar.types import Labelled

#: Inclination (degrees), period (s) and first node (degrees east) of four altimeters.
ORBITS = ((66.0, 6746.0, 0.0), (66.0, 6746.0, 171.0), (98.5, 6036.0, 40.0), (108.0, 6037.0, 90.0))


@dataclass(frozen=True)
class Case:
    """What the methods see, what they are scored on, and how the file is mapped.

    `hidden` holds the values that were kept back, `sea` is True where a map is wanted, `learn`
    trains a 4DVarNet, `day` is the one to draw.
    """

    shown: Labelled
    hidden: Labelled
    sea: xr.DataArray
    method: xv.OptimalInterpolation
    learn: Callable[[xv.FourDVarNet], xv.Model] | None = None
    periodic: tuple[str, ...] = ()
    day: str | None = None

    def map(self, model: xv.Model | xv.OptimalInterpolation | xv.LinearInterpolation) -> Labelled:
        """Complete what is shown."""
        return self.shown.fourdvar.reconstruct(
            model, mask=self.sea, periodic=self.periodic, progress=False
        )

    def rmse(self, maps: Labelled) -> np.ndarray:
        """Root mean square error on what was kept back, one number a variable."""
        return np.atleast_1d(maps.fourdvar.score(self.hidden, metrics="rmse").rmse.values)

    def rmse_of_mean(self) -> np.ndarray:
        """The same of a map that is the mean of what is shown."""
        mean = self.shown.mean()
        squares = ((self.hidden - mean) ** 2).mean() ** 0.5
        named = squares.to_array().values if isinstance(squares, xr.Dataset) else squares.values
        return np.atleast_1d(named)


def alboran_sst(data: Path) -> Case:
    """Real clouds, a day missing from the time axis; clouds of cloudy days moved to clear ones."""
    ds = xr.open_dataset(data / "alboran_sst_2017/alboranSST_small.nc")
    sea = ds.mask == 1
    cloudy = ds.SST.isnull()
    clouds = xr.zeros_like(cloudy)
    for clear_day, cloudy_day in ((0, 5), (1, 4), (3, 8)):
        clouds[clear_day] = cloudy[cloudy_day].values
    shown = ds.SST.where(~clouds)
    scales = [
        {"time": "36h", "lat": 0.23, "lon": 0.39},
        {"time": "9h", "lat": 0.05, "lon": 0.085},
    ]
    oi = xv.OptimalInterpolation(length=scales, variance=[0.29, 0.1], error_variance=0.03)

    def learn(method: xv.FourDVarNet) -> xv.Model:
        return shown.fourdvar.fit(method, mask=sea, hidden_shape="patches", progress=False)

    return Case(shown, ds.SST.where(clouds), sea, oi, learn, day="2017-05-15")


def olci_north_sea(data: Path) -> Case:
    """Suspended matter over three decades, hence its logarithm; latitude descends; four scenes."""
    ds = xr.open_dataset(data / "olci_north_sea_2017/olci_sns_201701_4px.nc")
    tsm = np.log10(ds.conc_tsm).assign_attrs(
        units="1", long_name="log10 of total suspended matter in g m-3"
    )
    first = xr.DataArray(np.arange(tsm.sizes["time"]) == 0, dims="time")
    clouds = tsm.isnull().roll(lat=10, lon=-10) & first
    # the land flag knows only what the scenes cover: map what was seen at least once
    sea = (ds.land == 0) & tsm.notnull().any("time")
    oi = xv.OptimalInterpolation(length={"time": "2D", "lat": "10 km"}, family="matern12")
    return Case(tsm.where(~clouds), tsm.where(clouds), sea, oi, day="2017-01-16")


def duacs_med(data: Path) -> Case:
    """Sea level packed in int16 behind a real coast, seen along simulated tracks, in chunks."""
    truth = xr.open_dataset(data / "duacs_med_2005/dt_med_allsat_phy_l4_2005T2.nc").adt
    obs = xr.open_dataset(data / "duacs_med_2005/obs_2005T2.nc", chunks={}).adt_nadir4
    sea = truth.notnull().any("time")
    spring, june = slice("2005-04-01", "2005-05-31"), slice("2005-06-01", "2005-06-30")
    scales = [{"time": "30D", "lat": 4.0, "lon": 5.0}, {"time": "15D", "lat": 0.8, "lon": 1.0}]
    oi = xv.OptimalInterpolation(length=scales)

    def learn(method: xv.FourDVarNet) -> xv.Model:
        return obs.sel(time=spring).fourdvar.fit(
            method, truth.sel(time=spring), mask=sea, progress=False
        )

    return Case(obs.sel(time=june), truth.sel(time=june), sea, oi, learn, day="2005-06-15")


def duacs_global(data: Path, latitudes: slice = slice(None)) -> Case:
    """The globe at a quarter of a degree, longitudes 0 to 360, seen along simulated tracks."""
    ds = xr.open_dataset(data / "duacs_global_201901/dt_global_adt_20181231_20190103.nc")
    ds = ds.sel(latitude=latitudes)
    sea = ds.sea == 1
    adt = ds.adt.where(sea)  # the file holds smooth values on land
    seen = along_tracks(adt)
    scales = [{"time": "30D", "lat": 8.0, "lon": 16.0}, {"time": "15D", "lat": 1.5, "lon": 2.0}]
    oi = xv.OptimalInterpolation(length=scales, variance=[0.4, 0.02], error_variance=0.001)
    return Case(adt.where(seen), adt.where(~seen), sea, oi, periodic=("longitude",))


def globcurrent_agulhas(data: Path) -> Case:
    """Two velocity components on one grid, through the accessor of the Dataset."""
    ds = xr.open_dataset(data / "globcurrent_agulhas_2002/globcurrent_agulhas_2002.nc")
    ds = ds.sel(time=slice("2002-03-01", "2002-05-31"))
    sea = ds.u.notnull().any("time")
    seen = along_tracks(ds.u)
    shown = ds.where(seen)
    oi = xv.OptimalInterpolation(length={"time": "15D", "lat": 1.0, "lon": 1.2}, family="matern32")

    def learn(method: xv.FourDVarNet) -> xv.Model:
        return shown.fourdvar.fit(method, mask=sea, progress=False)

    return Case(shown, ds.where(~seen), sea, oi, learn, day="2002-04-15")


def enatl60_swot(data: Path) -> Case:
    """2-D coordinates and no time: a model snapshot seen in four swaths of a real SWOT pass."""
    from scipy.spatial import cKDTree

    folder = data / "enatl60_swot_med"
    ssh = xr.open_dataset(folder / "eNATL60-BLB002_y2009m08d15.1d_SSH-med.nc").sossheig
    swath = xr.open_dataset(folder / "SWOT_L3_LR_SSH_Expert_003_v2.0.1-med.nc").ssha_filtered
    points = cKDTree(np.stack([ssh.lat.values.ravel(), ssh.lon.values.ravel()], -1))
    valid = swath.notnull().values
    seen = np.zeros(ssh.size, bool)
    for east in (-3.2, -1.0, 1.2, 3.4):  # the same pass, moved to where other cycles would be
        samples = np.stack([swath.lat.values[valid], swath.lon.values[valid] + east], -1)
        distance, nearest = points.query(samples, distance_upper_bound=0.02)
        seen[nearest[np.isfinite(distance)]] = True
    observed = xr.DataArray(seen.reshape(ssh.shape), dims=ssh.dims)
    oi = xv.OptimalInterpolation(length="50 km")
    return Case(ssh.where(observed), ssh.where(~observed), ssh.notnull(), oi)


CASES: dict[str, Callable[[Path], Case]] = {
    function.__name__: function
    for function in (
        alboran_sst, olci_north_sea, duacs_med, duacs_global, globcurrent_agulhas, enatl60_swot,
    )
}  # fmt: skip


def along_tracks(field: xr.DataArray) -> xr.DataArray:
    """Where a field on (time, y, x), daily and in degrees, is seen by four nadir altimeters."""
    days, lat, lon = (field[dim].values for dim in field.dims)
    seconds = np.arange(0.0, 86400.0 * len(days))
    day = (seconds // 86400).astype(int)
    seen = np.zeros(field.shape, bool)
    for inclination, period, node in ORBITS:
        tilt, angle = np.deg2rad(inclination), 2 * np.pi * seconds / period
        up = np.rad2deg(np.arcsin(np.sin(tilt) * np.sin(angle)))
        across = np.rad2deg(np.arctan2(np.cos(tilt) * np.sin(angle), np.cos(angle)))
        east = across - 360.0 * seconds / 86164.0 + node  # the Earth turns below
        row = np.round((up - lat[0]) / (lat[1] - lat[0])).astype(int)
        column = np.round((east - lon[0]) % 360.0 / (lon[1] - lon[0])).astype(int)
        inside = (row >= 0) & (row < len(lat)) & (column < len(lon))
        seen[day[inside], row[inside], column[inside]] = True
    return xr.DataArray(seen, dims=field.dims)


def draw(case: Case, maps: dict[str, Labelled], path: Path) -> None:
    """One picture: what was shown, what is known, the maps and their errors."""
    known = case.hidden.fillna(case.shown)
    fields = {"observations": case.shown, "truth": known, **maps}
    if isinstance(case.shown, xr.Dataset):  # a vector is drawn as its speed
        speed = {"long_name": "speed", "units": "m s-1"}
        fields = {
            k: np.hypot(f.u, f.v).rename("speed").assign_attrs(speed) for k, f in fields.items()
        }
    observations, truth = fields.pop("observations"), fields.pop("truth")
    figure = xv.plotting.plot_panels(
        observations=observations, truth=truth, reconstruction=fields, time=case.day
    )
    figure.savefig(path, dpi=120)


def main() -> None:
    options = parse()
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.only or CASES:
        case = CASES[name](Path(options.data))
        print(f"\n{name}: RMSE on what was kept back {case.rmse_of_mean()} if the mean is given")
        models = {"linear": xv.LinearInterpolation(), "OI": case.method}
        if case.learn is not None and options.steps:
            training = xv.Training(steps=options.steps)
            models["4DVarNet"] = xv.FourDVarNet(background=case.method, training=training)
        maps = {}
        for label, model in models.items():
            started = time.perf_counter()
            fitted = case.learn(model) if label == "4DVarNet" else model
            maps[label] = case.map(fitted).compute()
            seconds = time.perf_counter() - started
            print(f"  {label:10}{case.rmse(maps[label])}  {seconds:.1f} s", flush=True)
        last = maps[list(maps)[-1]]
        last.to_netcdf(folder / f"{name}.nc")
        draw(
            case,
            {label: maps[label] for label in models if label != "linear"},
            folder / f"{name}.png",
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="../shared/data", help="folder of the real data")
    parser.add_argument("--output", default="real_data", help="folder for maps and pictures")
    parser.add_argument("--only", nargs="*", choices=list(CASES), help="cases to run")
    parser.add_argument("--steps", type=int, default=150, help="training steps; 0: no 4DVarNet")
    return parser.parse_args()


if __name__ == "__main__":
    main()
