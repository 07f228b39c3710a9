"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# a busy machine is no failure
settings.register_profile("xr4dvar", deadline=None)
settings.load_profile("xr4dvar")

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
