from __future__ import annotations

import pytest
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels import check_variance_units
from xr4dvar.labels.variance_units import is_squared


@pytest.mark.parametrize(
    ("square", "units"),
    [
        *((text, "m") for text in ("m2", "m^2", "m**2", "m m", "m*m", "m²", "(m)^2", "(m)2", "m")),
        ("metre^2", "m"), ("m.m", "meters"),
        *((text, "m s-1") for text in ("m2 s-2", "m^2 s^-2", "m2/s2", "(m s-1)2", "(m s-1)^2")),
        *((text, "m s-1") for text in ("(m/s)**2", "m s-1 m s-1", "m² s⁻²")),
        ("K2", "degC"), ("K^2", "kelvin"), ("degree_Celsius2", "celsius"), ("%^2", "%"), ("1", "1"),
        ("(mg m-3)^2", "mg/m3"), ("mg2 m-6", "mg m-3"), ("(log10(mg m-3))^2", "log10(mg m-3)"),
        ("psu^2", "psu"), ("1e-3", "1e-3"),
    ],
)  # fmt: skip
def test_spellings_of_a_square(square: str, units: str) -> None:
    assert is_squared(square, units)


@pytest.mark.parametrize(
    ("square", "units"),
    [
        ("cm2", "m"), ("cm", "m"), ("m3", "m"), ("m4", "m"), ("1", "m"), ("m2", "1"), ("K", "m"),
        ("m s-2", "m s-1"), ("m2 s-1", "m s-1"), ("s-12", "s-1"), ("dB", "log10(mg m-3)"),
        ("percent", "%"), ("mm**2", "m"), ("(cm s-1)^2", "m s-1"), ("km2/h2", "m/s"),
    ],
)  # fmt: skip
def test_other_units(square: str, units: str) -> None:
    assert not is_squared(square, units)


def field(units: str | None) -> xr.DataArray:
    attrs = {} if units is None else {"units": units}
    return xr.DataArray([1.0], dims="x", name="ssh", attrs=attrs)


def found(obs: xr.DataArray | xr.Dataset, variance: xr.DataArray | xr.Dataset) -> list[str]:
    problems = Problems()
    check_variance_units(obs, variance, problems)
    return [what for what, _ in problems.found]


def test_units_that_are_missing_pass() -> None:
    assert found(field("m"), field(None)) == []
    assert found(field(None), field("cm2")) == []


def test_each_variable_by_its_name() -> None:
    obs = xr.Dataset({"u": field("m"), "v": field("m s-1")})
    good = xr.Dataset({"v": field("m2 s-2"), "u": field("m2")})
    assert found(obs, good) == []
    bad = good.assign(v=field("m2"))
    assert found(obs, bad) == ["error_variance: that of 'v' is in 'm2', 'v' is in 'm s-1'"]
    assert found(field("m").rename("adt"), field("cm2")) != []


def test_the_fix_passes() -> None:
    problems = Problems()
    check_variance_units(field("m s-1"), field("cm2 s-2"), problems)
    ((_, fix),) = problems.found
    assert fix.endswith("set its attrs['units'] = '(m s-1)^2'")
    assert is_squared("(m s-1)^2", "m s-1")
