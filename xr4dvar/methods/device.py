"""Which device computes, trained on or not, and one model call at a time on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from xr4dvar.errors import InputError
from xr4dvar.methods.base import FitOptions

__all__ = ["choose_device", "known_device", "make_fabric", "one_at_a_time"]

_LOCK = threading.Lock()


def known_device(device: str) -> torch.device:
    """Turn a name into a device, which need not be there.

    Raises
    ------
    InputError
        torch has no device of that name.
    """
    try:
        return torch.device(str(device))
    except RuntimeError as error:
        raise InputError(
            [(f"device {device!r} is unknown", "use 'auto', 'cpu', 'cuda' or 'cuda:1'")]
        ) from error


def choose_device(device: str) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ... into a device that is there.

    Raises
    ------
    InputError
        The device is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    place = known_device(device)
    try:
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = "'cpu'" + (" and 'cuda'" if torch.cuda.is_available() else "")
        raise InputError([(f"device {device!r} is not there", f"use {there}")]) from error
    return place


def make_fabric(options: FitOptions) -> Any:
    """Set Lightning Fabric up for training.

    Raises
    ------
    InputError
        The device is not there, or cannot be used so often or with such a precision.
    """
    from lightning_fabric import Fabric

    choose_device(options.device)
    accelerator, _, number = options.device.partition(":")
    devices: Any = [int(number)] if accelerator == "cuda" and number else options.devices
    precision: Any = options.precision  # Fabric lists the names that it knows, and checks
    try:
        return Fabric(accelerator=accelerator, devices=devices, precision=precision)
    except (ValueError, RuntimeError, TypeError) as error:
        what = (
            f"cannot train with precision={precision!r} and devices={options.devices} "
            f"on {options.device!r}: {error}"
        )
        raise InputError(
            [(what, "leave them out, or use names and numbers that are there")]
        ) from error


@contextmanager
def one_at_a_time(device: torch.device) -> Iterator[None]:
    """Let one model call of this process run at a time, with all of torch's threads.

    dask's threads would otherwise multiply with torch's; one call with all threads beats many
    calls that fight for the cores, and a GPU holds one batch at a time.
    """
    with _LOCK:
        yield
