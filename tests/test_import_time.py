from __future__ import annotations

import subprocess
import sys

import pytest

import xr4dvar

HEAVY = ("dask", "lightning_fabric", "matplotlib", "netCDF4", "scipy", "torch", "zarr")


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh Python holds after one statement."""
    code = f"{statement}; import sys; print(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    ["import xr4dvar", "from xr4dvar import datasets", "import xr4dvar as xv; xv.set_options()"],
)
def test_import_loads_nothing_heavy(statement):
    loaded = modules_after(statement)
    assert "xr4dvar" in loaded
    assert loaded.isdisjoint(HEAVY), loaded.intersection(HEAVY)


def test_import_registers_the_accessor():
    statement = "import xarray, xr4dvar; xarray.DataArray.fourdvar; xarray.Dataset.fourdvar"
    assert "xr4dvar" in modules_after(statement)


@pytest.mark.parametrize("name", xr4dvar.__all__)
def test_every_public_name_is_there(name):
    assert getattr(xr4dvar, name) is not None
    assert name in dir(xr4dvar)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = xr4dvar.no_such_thing
