"""The sample that ships with the package."""

from __future__ import annotations

from importlib.resources import as_file, files
from types import MappingProxyType
from typing import TYPE_CHECKING

import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GULFSTREAM_PERIODS", "GULFSTREAM_SCORED", "gulfstream_twin"]

#: Days of :func:`gulfstream_twin` to train on, to validate on and to test on, as slices of time.
#: All observations of a period may be used in it. Never train on the test period.
GULFSTREAM_PERIODS: Mapping[str, slice] = MappingProxyType(
    {
        "train": slice("2013-08-01", "2014-07-31"),
        "validation": slice("2014-08-01", "2014-10-02"),
        "test": slice("2012-10-01", "2012-12-20"),
    }
)

#: Days on which a reconstruction of the validation or test period is scored: inside the period,
#: far enough from its ends and, for validation, from the training period.
GULFSTREAM_SCORED: Mapping[str, slice] = MappingProxyType(
    {
        "validation": slice("2014-08-20", "2014-10-02"),
        "test": slice("2012-10-22", "2012-12-02"),
    }
)


def gulfstream_twin() -> xr.Dataset:
    """Open the bundled sample: a simulated sea surface seen by altimeters and through clouds.

    A two-layer quasi-geostrophic jet in a nominal Gulf Stream box, 1/10 degree and daily, observed
    along the orbits of real altimeters. Its periods are those of the 2020a SSH mapping challenge,
    the training period cut to its last year. It is simulated: dates and place are nominal.

    Returns
    -------
    xarray.Dataset
        In memory, float32 on (time: 509, lat: 100, lon: 100), NaN where not observed:

        - ``ssh``: sea surface height, the truth (m), no gaps, rounded to 1 mm;
        - ``ssh_nadir4``: seen by 4 nadir altimeters (m), noise 3 cm a sample, 3.8 % of the cells;
        - ``ssh_nadir4_swot``: the same and SWOT, noise 2 cm a sample in its swath, 13.6 %;
        - ``sst_cloudy``: surface temperature outside clouds (degree_Celsius), noise 0.2 K,
          rounded to 0.05 K.

    See Also
    --------
    GULFSTREAM_PERIODS : the days to train, validate and test on.
    GULFSTREAM_SCORED : the days to score.

    Notes
    -----
    Licence CC0-1.0. Days are missing between the test period and the training period: select a
    period before doing anything along time.

    References
    ----------
    The periods and the way to score follow the SSH mapping data challenge 2020a,
    doi:10.24400/527896/a01-2020.002.

    Examples
    --------
    >>> from xr4dvar import datasets
    >>> sample = datasets.gulfstream_twin()
    >>> dict(sample.sizes)
    {'time': 509, 'lat': 100, 'lon': 100}
    >>> test = sample.sel(time=datasets.GULFSTREAM_PERIODS["test"])
    >>> test.sizes["time"]
    81
    """
    with as_file(files("xr4dvar") / "data" / "gulfstream_twin.nc") as path:
        return xr.load_dataset(path, engine="netcdf4")
