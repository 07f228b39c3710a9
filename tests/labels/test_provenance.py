from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from xr4dvar.labels import annotate
from xr4dvar.version import __version__

MakeObs = Callable[..., xr.DataArray]

CONFIG: dict[str, Any] = {
    "length": {"time": "7D"},
    "n": np.int64(3),
    "weights": np.array([1.5, 2.0]),
    "path": Path("a"),
    "nothing": None,
}


def annotated(obs: xr.DataArray | xr.Dataset) -> xr.DataArray | xr.Dataset:
    return annotate(
        obs,
        obs,
        method="FourDVarNet",
        config=CONFIG,
        digest="0a1b",
        seed=2**40,
        call="reconstruct(\n  obs)",
    )


def test_history_goes_on(make_obs: MakeObs) -> None:
    obs = make_obs().assign_attrs(history="2019-01-01 made\n2020-01-01 cut\n")
    first, second, last = annotated(obs).attrs["history"].split("\n")
    assert (first, second) == ("2019-01-01 made", "2020-01-01 cut")
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(rf"{stamp} xr4dvar {__version__}: reconstruct\( obs\)", last)
    assert obs.attrs["history"].endswith("cut\n")


def test_history_comes_from_the_input(make_obs: MakeObs) -> None:
    obs = make_obs().assign_attrs(history="old")
    result = annotate(make_obs(), obs, method="OI", config={}, call="oi()")
    assert result.attrs["history"].startswith("old\n")
    assert len(annotated(make_obs()).attrs["history"].split("\n")) == 1


def test_what_is_not_there_is_not_written(make_obs: MakeObs) -> None:
    attrs = annotate(make_obs(), make_obs(), method="OI", config={}, call="oi()").attrs
    assert not {"xr4dvar_seed", "xr4dvar_weights_sha"} & set(attrs)


def test_values_are_shared(make_obs: MakeObs) -> None:
    obs = make_obs()
    assert np.shares_memory(annotated(obs).values, obs.values)  # type: ignore[union-attr]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("way", ["netcdf", "zarr"])
def test_round_trip_through_files(
    make_obs: MakeObs, tmp_path: Path, way: str, several: bool
) -> None:
    obs = make_obs()
    result = annotated(xr.Dataset({"u": obs, "v": obs}) if several else obs)
    file = tmp_path / "result"
    if way == "netcdf":
        result.to_netcdf(file)
    else:
        pytest.importorskip("zarr")
        result.to_zarr(file, zarr_format=2, consolidated=True)
    engine = "netcdf4" if way == "netcdf" else "zarr"
    with xr.open_dataset(file, engine=engine) as data:
        attrs = data.attrs if several else data["ssh"].attrs
        assert attrs["history"] == result.attrs["history"]
        assert attrs["xr4dvar_method"] == "FourDVarNet"
        assert attrs["xr4dvar_weights_sha"] == "0a1b"
        assert attrs["xr4dvar_seed"] == 2**40
        assert json.loads(attrs["xr4dvar_config"]) == {
            "length": {"time": "7D"},
            "n": 3,
            "weights": [1.5, 2.0],
            "path": "a",
            "nothing": None,
        }
        assert json.loads(attrs["xr4dvar_versions"])["xarray"] == xr.__version__
