"""Cut and pack the sample that the package ships.

Run from the root of the repository, with the folder that holds the full twin::

    python tools/make_sample.py ../shared/data/twin_gulfstream

The whole grid is kept, and three contiguous periods of the days: the test period of the SSH mapping
challenge, a year to train on, and the validation period that follows it. Values are rounded to
integers (1 mm, 0.05 K), far below the noise of the observations (3 cm, 0.2 K), and compressed by
shuffle and zlib, the one pair of filters that every netCDF-4 library reads.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import xarray as xr

from xr4dvar.datasets import GULFSTREAM_PERIODS

LIMIT = 10_000_000  # bytes
DESTINATION = Path("xr4dvar/data/gulfstream_twin.nc")
VARIABLES = ("ssh", "ssh_nadir4", "ssh_nadir4_swot", "sst_cloudy")
FILL = np.int16(-32768)
DAYS_PER_CHUNK = 64


def cut(source: Path) -> xr.Dataset:
    """Read the variables and days that are kept."""
    truth = xr.load_dataset(source / "truth.nc")
    observations = xr.load_dataset(source / "obs.nc")
    whole = xr.merge([truth, observations], join="exact", combine_attrs="override")
    kept = sorted(GULFSTREAM_PERIODS.values(), key=lambda period: str(period.start))
    return xr.concat(
        [whole[list(VARIABLES)].sel(time=period) for period in kept],
        dim="time",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="exact",
    )


def encoding(name: str) -> dict[str, object]:
    """Return how one variable is packed; float32 scales make it decode to float32."""
    scale, offset = (0.05, 18.0) if name == "sst_cloudy" else (0.001, 0.0)
    return {
        "dtype": "int16",
        "_FillValue": FILL,
        "scale_factor": np.float32(scale),
        "add_offset": np.float32(offset),
        "zlib": True,
        "complevel": 9,
        "shuffle": True,
        "chunksizes": (DAYS_PER_CHUNK, 100, 100),
    }


def describe(sample: xr.Dataset) -> xr.Dataset:
    """Write the attributes a reader of the file needs."""
    sample = sample.assign_attrs(
        title="Simulated sea surface height of a western boundary current, seen by altimeters",
        institution="The xr4dvar developers",
        comment=(
            "Simulated, not real: two-layer quasi-geostrophic jet; dates and place are nominal. "
            "Daily maps at 12 UTC on a nominal Gulf Stream box, observed along real orbits. "
            "NaN = not observed. Cut from a run of 732 days by tools/make_sample.py."
        ),
        license="CC0-1.0",
    )
    sample.ssh.attrs.update(long_name="sea surface height, the truth")
    sample.sst_cloudy.attrs.update(long_name="sea surface temperature outside synthetic clouds")
    return sample


def main() -> None:
    """Write the sample and report its size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder with truth.nc and obs.nc")
    parser.add_argument("--to", type=Path, default=DESTINATION, help="file to write")
    arguments = parser.parse_args()

    sample = describe(cut(arguments.source)).drop_encoding()
    packed = {str(name): encoding(str(name)) for name in sample.data_vars}
    packed["time"] = {"dtype": "int32", "units": "hours since 2012-10-01 12:00:00"}
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    sample.to_netcdf(arguments.to, encoding=packed, engine="netcdf4")

    size = arguments.to.stat().st_size
    logging.info("%s: %d days, %.2f MB", arguments.to, sample.sizes["time"], size / 1e6)
    if size > LIMIT:
        raise SystemExit(f"{size} bytes are more than the {LIMIT} that the package may ship")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
