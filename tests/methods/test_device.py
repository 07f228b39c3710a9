"""Devices: those that are there, one model call at a time."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from xr4dvar.errors import InputError
from xr4dvar.methods import FitOptions
from xr4dvar.methods.device import choose_device, known_device, make_fabric, one_at_a_time

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
