"""The example scripts run, and leave behind what they promise."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import xarray as xr

import xr4dvar as xv

pytest.importorskip("matplotlib")

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"


@pytest.fixture
def demo(monkeypatch, tmp_path, capsys):
    """Run the demo as from a shell; give its folder and what it printed."""

    def run(*arguments):
        folder = tmp_path / "demo"
        monkeypatch.setattr(sys, "argv", ["demo.py", "--output", str(folder), *arguments])
        runpy.run_path(str(DEMO), run_name="__main__")
        return folder, capsys.readouterr().out

    return run


def check_left_behind(folder: Path, observed: xr.DataArray) -> None:
    """A complete map in CF netCDF, a model that makes it again, two pictures, no checkpoint."""
    names = {"maps.nc", "maps.png", "model.safetensors", "training.png"}
    assert {path.name for path in folder.iterdir()} == names
    model = xv.load(folder / "model.safetensors")
    with xr.open_dataarray(folder / "maps.nc") as maps:
        assert maps.notnull().all()
        assert "reconstruct" in maps.attrs["history"]
        again = xv.reconstruct(observed, model, progress=False).sel(time=maps.time)
        xr.testing.assert_allclose(maps, again, atol=1e-4)


def test_demo_of_a_file_of_ones_own(demo, tmp_path):
    cut = {"time": slice(-70, None), "lat": slice(50, 75), "lon": slice(30, 55)}
    obs = xv.datasets.gulfstream_twin().sst_cloudy.isel(cut)
    # every cell is seen at some time, so none is taken for land
    assert obs.notnull().any("time").all()
    obs.to_dataset(name="sst").to_netcdf(tmp_path / "my.nc")
    folder, printed = demo("--data", str(tmp_path / "my.nc"), "--variable", "sst", "--steps", "3")
    check_left_behind(folder, obs.rename("sst"))
    table = printed[printed.index("RMSE on") :]
    assert table.index("linear") < table.index("tuned OI") < table.index("4DVarNet")


def test_demo_asks_which_variable(demo, tmp_path):
    sample = xv.datasets.gulfstream_twin().isel(time=slice(3))
    sample[["ssh", "sst_cloudy"]].to_netcdf(tmp_path / "my.nc")
    with pytest.raises(SystemExit, match=r"ssh, sst_cloudy: say which, .* VAR=ssh"):
        demo("--data", str(tmp_path / "my.nc"))


@pytest.mark.slow
def test_demo_of_the_sample(demo):
    folder, printed = demo("--steps", "3")
    obs = xv.datasets.gulfstream_twin().ssh_nadir4
    check_left_behind(folder, obs.sel(time=xv.datasets.GULFSTREAM_PERIODS["test"]))
    assert "lambda_x" in printed
