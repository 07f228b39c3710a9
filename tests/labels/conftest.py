"""Example arrays for the tests of labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

_SIZES = {"member": 2, "time": 5, "lat": 4, "lon": 3}


@pytest.fixture
def make_obs() -> Callable[..., xr.DataArray]:
    """Builds a (time, lat, lon) array of distinct values; coordinates can be replaced."""

    def make(*dims: str, **coords: Any) -> xr.DataArray:
        dims = dims or ("time", "lat", "lon")
        usual = {
            "time": pd.date_range("2001-01-01", periods=5),
            "lat": np.linspace(40.0, 43.0, 4),
            "lon": np.linspace(-10.0, -8.0, 3),
        }
        shape = [_SIZES[dim] for dim in dims]
        values = np.random.default_rng(0).normal(size=shape)
        own = {name: value for name, value in {**usual, **coords}.items() if name in dims}
        return xr.DataArray(values, dims=dims, coords=own, name="ssh", attrs={"units": "m"})

    return make
