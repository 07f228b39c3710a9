"""Names that doctests find ready, and how hypothesis looks for examples."""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import numpy as np
import pytest
import xarray as xr

# Examples that fail are printed with the line that repeats them; deadlines would test the machine.
hypothesis.settings.register_profile("default", deadline=None, max_examples=50, print_blob=True)
hypothesis.settings.register_profile(
    "ci", deadline=None, max_examples=50, print_blob=True, derandomize=True
)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000, print_blob=True)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "default")
)


@pytest.fixture(autouse=True)
def _doctests_write_elsewhere(request: pytest.FixtureRequest) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        folder = request.getfixturevalue("tmp_path")
        request.getfixturevalue("monkeypatch").chdir(folder)


@pytest.fixture(scope="session", autouse=True)
def _names_in_doctests(doctest_namespace: dict[str, Any]) -> None:
    import xr4dvar as xv

    doctest_namespace.update(np=np, xr=xr, xv=xv)
