from __future__ import annotations

import pytest

from xr4dvar.errors import InputError
from xr4dvar.options import OPTIONS, set_options


@pytest.fixture(autouse=True)
def _restored():
    before = OPTIONS.copy()
    yield
    OPTIONS.update(before)


def test_a_block_restores_what_was_before():
    set_options(device="cpu")
    with set_options(progress=False, device="cuda:1"):
        assert OPTIONS == {"progress": False, "device": "cuda:1"}
        with set_options(progress=True):
            assert OPTIONS == {"progress": True, "device": "cuda:1"}
        assert OPTIONS["progress"] is False
    assert OPTIONS == {"progress": "auto", "device": "cpu"}


def test_a_block_that_fails_restores_too():
    with pytest.raises(RuntimeError), set_options(progress=False):
        raise RuntimeError
    assert OPTIONS["progress"] == "auto"


def test_every_problem_is_reported_and_nothing_changes():
    with pytest.raises(InputError) as caught:
        set_options(device="cpu", progress="often", colour="blue")
    text = str(caught.value)
    assert "no option 'colour'; fix: use one of: progress, device" in text
    assert "option progress is 'often'; fix: use True, False or 'auto'" in text
    assert OPTIONS["device"] == "auto"


@pytest.mark.parametrize("device", ["", None, 0])
def test_a_device_is_a_name(device):
    with pytest.raises(InputError, match="option device is"):
        set_options(device=device)
