"""Former names of classes and settings, in code and in files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import xr4dvar as xv
from xr4dvar.renaming import FORMER_CLASSES

#: Models that version 0.1.0 wrote before the renaming, and a map by each: of the first 6 days of
#: 24 x 24 cells of the bundled twin, or of the first window of Lorenz-63.
FILES = Path(__file__).parent / "files" / "version_0_1_0"
TWIN = {"time": slice(6), "lat": slice(30, 54), "lon": slice(20, 44)}


@pytest.mark.parametrize("path", sorted(FILES.glob("*.safetensors")), ids=lambda path: path.stem)
def test_a_file_of_former_names_gives_the_same_map(path):
    """Warnings are errors here: nobody is told of names that a file has."""
    model = xv.load(path)
    if path.stem in ("oi", "fourdvarnet"):
        obs = xv.datasets.gulfstream_twin().ssh_nadir4.isel(TWIN)
    else:
        ds = xv.datasets.lorenz63(windows=12, steps=40, observed=("x", "z"), first=4, last=36)
        obs = ds.obs.isel(window=slice(1))
    expected = np.load(FILES / "maps.npz")[path.stem]
    np.testing.assert_allclose(xv.reconstruct(obs, model).values, expected, rtol=2e-5, atol=2e-5)


def test_files_have_former_names():
    """Or the test above would not show that these are read."""
    written = b"".join(path.read_bytes() for path in FILES.glob("*.safetensors"))
    settings = [b"iterations", b"prior_error_variance", b"hidden", b"estimate"]
    names = [name.encode() for name in FORMER_CLASSES if name != "StepMap"]  # of the user's code
    assert all(b'\\"' + name + b'\\"' in written for name in settings + names)


@pytest.mark.parametrize(
    ("make", "today", "name", "value"),
    [
        (lambda: xv.FourDVarNet(iterations=3), xv.FourDVarNet(steps=3), "iterations", 3),
        (
            lambda: xv.Variational(xv.EOFs(), 1.0, prior_error_variance=2.0),
            xv.Variational(xv.EOFs(), 1.0, model_error_variance=2.0),
            "prior_error_variance",
            2.0,
        ),
        (lambda: xv.AutoEncoder(hidden=4), xv.AutoEncoder(width=4), "hidden", 4),
        (
            lambda: xv.Corrected(xv.Lorenz63(), hidden=4),
            xv.Corrected(xv.Lorenz63(), width=4),
            "hidden",
            4,
        ),
        (
            lambda: xv.FourDVar(xv.Lorenz63(), 1.0, estimate=True),
            xv.FourDVar(xv.Lorenz63(), 1.0, estimate_variances=True),
            "estimate",
            True,
        ),
    ],
)
def test_a_former_setting_is_that_of_today(make, today, name, value):
    with pytest.warns(DeprecationWarning, match=f"{name} is now"):
        method = make()
    assert method == today
    with pytest.warns(DeprecationWarning, match=f"{name} is now"):
        assert getattr(today, name) == value


def test_a_patch_of_times_is_a_mapping():
    with pytest.warns(DeprecationWarning, match=r"patch=15 is now patch={'time': 15}"):
        method = xv.Variational(xv.EOFs(), 1.0, patch=15)
    assert method == xv.Variational(xv.EOFs(), 1.0, patch={"time": 15})


def test_both_names_at_once_are_refused():
    with pytest.raises(TypeError, match="iterations is the former name of steps"):
        xv.FourDVarNet(iterations=3, steps=3)


@pytest.mark.parametrize(("former", "today"), FORMER_CLASSES.items())
def test_a_former_class_is_that_of_today(former, today):
    with pytest.warns(DeprecationWarning, match=f"{former} is now {today}"):
        assert getattr(xv, former) is getattr(xv, today)
    assert former not in dir(xv)


def test_settings_are_replaced_without_a_word():
    assert dataclasses.replace(xv.FourDVarNet(), steps=4).steps == 4
