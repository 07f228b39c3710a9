from __future__ import annotations

import pytest
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.labels import find_axes

pytestmark = pytest.mark.needs_data

REAL = {
    "alboran_sst_2017/alboranSST_small.nc": ("SST", ("time", "lat", "lon")),
    "duacs_global_201901/dt_global_adt_20181231_20190103.nc": (
        "adt",
        ("time", "latitude", "longitude"),
    ),
    "duacs_med_2005/dt_med_allsat_phy_l4_2005T2.nc": ("adt", ("time", "latitude", "longitude")),
    "duacs_med_2005/obs_2005T2.nc": ("adt_nadir4", ("time", "latitude", "longitude")),
    "enatl60_swot_med/eNATL60-BLB002_y2009m08d15.1d_SSH-med.nc": ("sossheig", ("y", "x")),
    "enatl60_swot_med/SWOT_L3_LR_SSH_Expert_003_v2.0.1-med.nc": (
        "ssha_filtered",
        ("num_lines", "num_pixels"),
    ),
    "ersst_v5_monthly/sst.mnmean.nc": ("sst", ("time", "lat", "lon")),
    "globcurrent_agulhas_2002/globcurrent_agulhas_2002.nc": ("u", ("time", "lat", "lon")),
    "olci_north_sea_2017/olci_sns_201701_4px.nc": ("conc_tsm", ("time", "lat", "lon")),
    "olci_north_sea_2017/olci_sns_20170116_window_300m.nc": ("conc_tsm", ("time", "lat", "lon")),
    "twin_gulfstream/obs.nc": ("ssh_nadir4", ("time", "lat", "lon")),
    "twin_gulfstream/truth.nc": ("ssh", ("time", "lat", "lon")),
}


@pytest.mark.parametrize(
    ("file", "expected"), list(REAL.items()), ids=[f.split("/")[0] for f in REAL]
)
def test_real_data(shared_data, file, expected) -> None:  # type: ignore[no-untyped-def]
    name, dims = expected
    with xr.open_dataset(shared_data(file)) as data:
        axes = find_axes(data[name])
    assert axes.dims == dims
    assert axes.batch == ()


def test_real_tracks_are_points(shared_data) -> None:  # type: ignore[no-untyped-def]
    with (
        xr.open_dataset(shared_data("twin_gulfstream/tracks.nc")) as data,
        pytest.raises(InputError, match="these are points"),
    ):
        find_axes(data["ssh_obs"])
