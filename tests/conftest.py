"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv

_REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """Path of a file or folder of real data; the test is skipped where the data are absent."""
    root = Path(os.environ.get("XR4DVAR_DATA", _REPOSITORY.parent / "shared" / "data"))

    def path(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"no {name} in {root}; set XR4DVAR_DATA to the folder of the data")
        return root / name

    return path


@pytest.fixture(scope="session")
def waves() -> xr.DataArray:
    """A truth without gaps: waves that travel over 24 days, 12 latitudes and 14 longitudes."""
    day, row, column = np.ogrid[:24, :12, :14]
    values = 0.1 * np.sin(2 * np.pi * (column / 7 - day / 12)) * np.cos(2 * np.pi * row / 10)
    values = values + 0.05 * np.cos(2 * np.pi * (row / 6 + day / 9))
    return xr.DataArray(
        values.astype("float32"),
        dims=("time", "lat", "lon"),
        coords={
            "time": xr.date_range("2014-01-01", periods=24),
            "lat": ("lat", 33 + 0.25 * np.arange(12), {"units": "degrees_north"}),
            "lon": ("lon", -65 + 0.25 * np.arange(14), {"units": "degrees_east"}),
            "quality": ("time", np.arange(24)),
        },
        name="ssh",
        attrs={"units": "m", "history": "2020-01-01 made"},
    )


@pytest.fixture(scope="session")
def obs(waves: xr.DataArray) -> xr.DataArray:
    """The waves where they are observed: 40 % of the cells, none on the eleventh day."""
    seen = np.random.default_rng(0).random(waves.shape) < 0.4
    seen[10] = False
    return waves.where(seen)


@pytest.fixture(scope="session")
def oi() -> xv.OptimalInterpolation:
    """Needs no fit."""
    return xv.OptimalInterpolation(length={"time": "4D", "lat": 0.6, "lon": 0.6}, variance=0.01)


@pytest.fixture(scope="session")
def tiny_net(oi: xv.OptimalInterpolation) -> xv.FourDVarNet:
    """Learns enough in a second to move the map away from its background."""
    training = xv.Training(steps=12, steps_per_epoch=6, batch_size=2, learning_rate=0.3)
    return xv.FourDVarNet(
        background=oi,
        patch={"time": 6, "lat": 8, "lon": 8},
        overlap={"time": 3, "lat": 3, "lon": 3},
        widths=(4, 6),
        prior_width=3,
        steps=2,
        coarsen=1,
        training=training,
    )


@pytest.fixture(scope="session")
def models(
    obs: xr.DataArray, waves: xr.DataArray, oi: xv.OptimalInterpolation, tiny_net: xv.FourDVarNet
) -> dict[str, xv.Model]:
    """One fitted model of each method."""
    return {
        "linear": xv.fit(obs, xv.LinearInterpolation()),
        "oi": xv.fit(obs, oi),
        "net": xv.fit(obs, tiny_net, waves),
    }
