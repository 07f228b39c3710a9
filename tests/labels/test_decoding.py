"""Attributes that tell how to decode are proof that nothing was decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import decoded, find_axes, make_grid
from xr4dvar.testing import raise_if_dask_computes


def sst(values: Any, dtype: str = "float32", **attrs: Any) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, dtype), dims="lat", name="sst", attrs=attrs)


def found(given: xr.DataArray | xr.Dataset, what: str = "obs") -> list[tuple[str, str]]:
    problems = Problems()
    decoded(what, given, problems)
    return problems.found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (sst([1, -999], _FillValue=-999.0), "1 of its values are _FillValue, -999"),
        (sst([1, -999], missing_value="-999."), "1 of its values are missing_value, -999"),
        (sst([1e20, 1e20], missing_value=[1e20, -1.0]), "2 of its values are missing_value, 1e+20"),
        (sst([0.1, 5], _FillValue=np.float64(0.1)), "1 of its values are _FillValue, 0.1"),
        (sst([1, 255], "uint8", _FillValue=255), "1 of its values are _FillValue, 255"),
        (sst([1, 2], scale_factor=0.01), "scale_factor 0.01 was not applied"),
        (sst([1, 2], "int16", scale_factor=1.0, add_offset=273.15), "add_offset 273.15"),
    ],
)
def test_what_is_not_decoded(given: xr.DataArray, words: str) -> None:
    ((what, _),) = found(given)
    assert what.startswith("'sst' is not decoded: ")
    assert words in what


@pytest.mark.parametrize(
    "given",
    [
        sst([1, np.nan], _FillValue=-999.0),  # masked by hand
        sst([1, np.nan], _FillValue=np.nan),
        sst([1, 2], scale_factor=1.0, add_offset=0.0, _FillValue=1e300),  # as rioxarray leaves them
        sst([1, 2], "uint8", _FillValue=-9999),  # 241 in uint8
        sst([1, 2], missing_value="none", GRIB_missingValue=2),
    ],
)
def test_what_is(given: xr.DataArray) -> None:
    assert found(given) == []


@pytest.mark.parametrize("what", ["obs", "target"])
def test_the_fix_works(what: str) -> None:
    packed = sst([100, 250, -999], "int16", _FillValue=np.int16(-999), scale_factor=0.01)
    packed = packed.assign_coords(lat=("lat", [10, 20, 30], {"scale_factor": 0.1}))
    ((_, fix),) = found(packed, what)
    line = fix.removeprefix("decode it, ").split("; if it is")[0]
    mended = eval(line, {what: packed, "xr": xr})
    np.testing.assert_allclose(mended, [1.0, 2.5, np.nan], rtol=1e-6)
    np.testing.assert_allclose(mended.lat, [1.0, 2.0, 3.0])
    assert found(mended) == []
    assert "drop 'scale_factor', '_FillValue' from its attrs" in fix


def test_of_a_dataset_each_variable() -> None:
    both = xr.Dataset(
        {"a": sst([1, -9], _FillValue=-9), "b": sst([1, 2]), "c": sst([1], add_offset=2.0)[[0, 0]]}
    )
    names = [what.split("'")[1] for what, _ in found(both)]
    assert names == ["a", "c"]
    assert found(both)[0][1].startswith("decode it, xr.decode_cf(obs);")


def test_chunks_are_looked_at_when_they_are_computed() -> None:
    given = sst([1, 2, 3, -999], _FillValue=-999.0).chunk(lat=2)
    problems = Problems()
    with raise_if_dask_computes():
        lazy = decoded("target", given, problems)
    assert problems.found == []
    assert lazy.chunks == given.chunks
    np.testing.assert_array_equal(lazy[:2], [1.0, 2.0])
    with pytest.raises(InputError, match="target: 'sst' is not decoded: 1 of its values are _Fill"):
        lazy.compute()


@pytest.mark.parametrize("attrs", [{"scale_factor": 0.1}, {"_FillValue": 20.0}])
@pytest.mark.parametrize("dim", ["lat", "time"])
def test_coordinates_too(attrs: dict[str, float], dim: str) -> None:
    obs = xr.DataArray(np.zeros(3), dims=dim, coords={dim: (dim, [10.0, 20.0, 30.0], attrs)})
    with pytest.raises(InputError, match=f"'{dim}' is not decoded"):
        make_grid(obs, find_axes(obs))
