"""Real files end to end: opened, mapped, scored on what was kept back, written and read back.

The files are not in the repository; XR4DVAR_DATA says where they are.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv

pytestmark = pytest.mark.needs_data

FOLDERS = {
    "alboran_sst": "alboran_sst_2017",
    "olci_north_sea": "olci_north_sea_2017",
    "duacs_med": "duacs_med_2005",
    "duacs_global": "duacs_global_201901",
    "globcurrent_agulhas": "globcurrent_agulhas_2002",
    "enatl60_swot": "enatl60_swot_med",
}
#: Parts of the large ones, for the runs that must be short.
PARTS: dict[str, dict[str, slice]] = {
    "olci_north_sea": {"lat": slice(51.9, 51.0), "lon": slice(1.5, 3.0)},
    "duacs_med": {"longitude": slice(-6, 10), "latitude": slice(35, 45)},
    "duacs_global": {"latitude": slice(-50, -35)},
}
#: Attributes that speak of the values that were there before.
STALE = {"valid_min", "valid_max", "missing_value"}


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = Path(__file__).parents[1] / "examples" / "real_data.py"
    spec = importlib.util.spec_from_file_location("real_data", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_data"] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def case(
    example: ModuleType, shared_data: Callable[[str], Path], request: pytest.FixtureRequest
) -> Any:
    name, part = request.param
    case = example.CASES[name](shared_data(FOLDERS[name]).parent)
    if part:
        case = replace(
            case, shown=case.shown.sel(part), hidden=case.hidden.sel(part),
            sea=case.sea.sel({dim: s for dim, s in part.items() if dim in case.sea.dims}),
        )  # fmt: skip
    return case


def whole(name: str) -> Any:
    return pytest.param((name, {}), id=name, marks=pytest.mark.slow)


SHORT = [pytest.param((name, PARTS.get(name, {})), id=name) for name in FOLDERS]
LONG = [whole(name) for name in PARTS]


def variables(field: xr.DataArray | xr.Dataset) -> list[xr.DataArray]:
    return list(field.values()) if isinstance(field, xr.Dataset) else [field]


def check_maps(case: Any, maps: Any) -> None:
    """Sea complete, land missing, labels kept; gone is only what spoke of the old values."""
    shown = case.shown
    assert maps.attrs["history"].startswith(str(shown.attrs.get("history", "")))
    assert "xr4dvar" in maps.attrs["history"].splitlines()[-1]
    for field, before in zip(variables(maps), variables(shown), strict=True):
        kept = {key: value for key, value in before.attrs.items() if key not in {*STALE, "history"}}
        assert kept.items() <= field.attrs.items()
        assert field.name == before.name
        assert field.dims == before.dims
        assert field.dtype == before.dtype
        assert field.chunks == before.chunks
        assert {"scale_factor", "add_offset", "dtype"}.isdisjoint(field.encoding)
        wanted = case.sea.broadcast_like(field).transpose(*field.dims)
        np.testing.assert_array_equal(field.notnull(), wanted)
    assert set(maps.coords) == set(shown.coords)
    for name, coordinate in maps.coords.items():
        assert coordinate.identical(shown.coords[name])
        assert coordinate.encoding == shown.coords[name].encoding


def check_written(maps: Any, path: Path) -> None:
    """A file holds exactly what was mapped, coordinates and attributes too."""
    maps.to_netcdf(path)
    opened = xr.open_dataset(path) if isinstance(maps, xr.Dataset) else xr.open_dataarray(path)
    with opened as back:
        xr.testing.assert_identical(back.load(), maps.compute())


@pytest.mark.parametrize("case", SHORT + LONG, indirect=True)
def test_maps_of_real_files(case: Any, tmp_path: Path) -> None:
    maps = case.map(case.method)
    check_maps(case, maps)
    linear = case.map(xv.LinearInterpolation())
    error = case.rmse(maps.compute())
    assert (error < 0.9 * case.rmse(linear)).all()
    assert (error < 0.9 * case.rmse_of_mean()).all()
    check_written(maps, tmp_path / "maps.nc")


@pytest.mark.parametrize("case", [SHORT[2]], indirect=True)
def test_chunks_to_zarr_and_back(case: Any, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    assert case.shown.chunks is not None
    maps = case.map(case.method)
    maps.to_dataset().to_zarr(tmp_path / "maps.zarr", consolidated=False)
    back = xr.open_zarr(tmp_path / "maps.zarr", consolidated=False)[maps.name]
    xr.testing.assert_identical(back.compute(), maps.compute())


@pytest.mark.parametrize("case", [SHORT[3]], indirect=True)
def test_no_seam_where_longitude_closes(case: Any) -> None:
    """Steps across 0 degrees are those of any other meridian; they jump without `periodic`."""
    maps = case.map(case.method)

    def jump(maps: xr.DataArray) -> float:
        steps = abs(maps.diff("longitude")).mean(("time", "latitude"))
        seam = abs(maps.isel(longitude=0) - maps.isel(longitude=-1)).mean()
        return float(seam / steps.median())

    open_maps = replace(case, periodic=()).map(case.method)
    assert jump(maps) < 2
    assert jump(open_maps) > 2 * jump(maps)


@pytest.mark.slow
@pytest.mark.parametrize("case", [SHORT[n] for n in (0, 2, 4)], indirect=True)
def test_4dvarnet_learns_on_real_files(case: Any, tmp_path: Path) -> None:
    """Briefly trained it does not lose what its background knew, and beats linear interpolation."""
    small = xv.FourDVarNet(
        background=case.method,
        patch={"time": 5, "lat": 40, "lon": 40},
        widths=(8, 16),
        training=xv.Training(steps=60, steps_per_epoch=30),
    )
    model = case.learn(small)
    maps = case.map(model).compute()
    check_maps(replace(case, shown=case.shown.compute()), maps)
    error = case.rmse(maps)
    assert (error < 0.9 * case.rmse(case.map(xv.LinearInterpolation()))).all()
    assert (error < 1.05 * case.rmse(case.map(case.method))).all()
    model.save(tmp_path / "model.safetensors")
    again = case.map(xv.load(tmp_path / "model.safetensors")).compute()
    xr.testing.assert_allclose(again, maps)
