"""Devices: those that are there, one model call at a time."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.methods import FitOptions
from xr4dvar.methods.fourdvarnet.config import FourDVarNet
from xr4dvar.testing import raise_if_dask_computes
from xr4dvar.training.device import choose_device, known_device, make_fabric, one_at_a_time
from xr4dvar.verbs.fit import fit

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


def test_auto_is_cuda_where_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu") == torch.device("cpu")


@without_cuda
def test_a_device_that_is_not_there():
    with pytest.raises(InputError, match="device 'cuda' is not there; fix: use 'cpu'"):
        choose_device("cuda")
    with pytest.raises(InputError, match="device 'cuda' is not there"):
        make_fabric(FitOptions(device="cuda"))


def test_a_device_that_nobody_knows():
    for choose in (choose_device, known_device):
        with pytest.raises(InputError, match="device 'quantum' is unknown"):
            choose("quantum")
    assert known_device("cuda:3") == torch.device("cuda", 3)


def test_a_precision_that_nobody_knows():
    with pytest.raises(InputError, match="precision='12-true'"):
        make_fabric(FitOptions(device="cpu", precision="12-true"))


def test_one_call_at_a_time():
    inside, most = 0, 0

    def work():
        nonlocal inside, most
        with one_at_a_time(torch.device("cpu")):
            inside += 1
            most = max(most, inside)
            time.sleep(0.002)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_call_that_fails_lets_the_next_one_in():
    with pytest.raises(ZeroDivisionError), one_at_a_time(torch.device("cpu")):
        raise ZeroDivisionError
    with one_at_a_time(torch.device("cpu")):
        pass


def test_what_torch_has_a_name_for_but_computes_nothing():
    """All of torch's kinds of devices: one that is there, or refused."""
    for name in ("meta", "meta:0", "hpu", "mkldnn", "privateuseone", "xla", "", "cuda:x", "cpu:"):
        for choose in (choose_device, known_device):
            with pytest.raises(InputError, match="is unknown; fix: use 'auto', 'cpu'"):
                choose(name)
    with pytest.raises(InputError, match=r"device device\(type='cpu'\) is unknown"):
        choose_device(torch.device("cpu"))


@without_cuda
def test_more_devices_than_there_are():
    with pytest.raises(InputError, match=r"devices is 2, and there is 1 .* 'cpu'; fix: leave dev"):
        make_fabric(FitOptions(devices=2))
    with pytest.raises(InputError, match="'cpu:0' is one device; fix: use device='cpu', or leave"):
        make_fabric(FitOptions(device="cpu:0", devices=2))


def test_processes_are_started_from_scripts_only(monkeypatch, tmp_path):
    """A notebook or console is one process; so it is said before any data are read."""
    options = FitOptions(device="cpu", devices=2)
    script = tmp_path / "script.py"
    script.touch()
    monkeypatch.setattr("sys.argv", [str(script)])
    assert make_fabric(options).world_size == 2  # the script will be started once more
    with monkeypatch.context() as patch:
        patch.setattr("lightning_fabric.connector._IS_INTERACTIVE", True)  # as IPython has it
        with pytest.raises(InputError, match=r"a notebook or console is one .* fix: .*torchrun"):
            make_fabric(options)
    for argv in (["-c"], [""], []):
        monkeypatch.setattr("sys.argv", argv)
        with pytest.raises(InputError, match="torchrun --nproc-per-node=2"):
            make_fabric(options)
        obs = xr.DataArray(np.zeros((4, 4, 4)), dims=("time", "lat", "lon")).chunk(time=2)
        with raise_if_dask_computes(), pytest.raises(InputError, match="notebook or console"):
            fit(obs, FourDVarNet(background=None), device="cpu", devices=2)


def test_processes_that_torchrun_has_started(monkeypatch):
    for name, value in {
        "TORCHELASTIC_RUN_ID": "1", "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": "2", "RANK": "0",
        "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["-c"])
    assert make_fabric(FitOptions(device="cpu", devices=2)).world_size == 2
