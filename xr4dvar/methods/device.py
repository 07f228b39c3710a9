"""Which device computes, and one model call at a time on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from xr4dvar.errors import InputError

__all__ = ["choose_device", "one_at_a_time"]

_LOCK = threading.Lock()


def choose_device(device: str) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ... into a device that is there.

    Raises
    ------
    InputError
        The device is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError) as error:
        there = "'cpu'" + (" and 'cuda'" if torch.cuda.is_available() else "")
        raise InputError([(f"device {device!r} is not there", f"use {there}")]) from error
    return place


@contextmanager
def one_at_a_time(device: torch.device) -> Iterator[None]:
    """Let one model call of this process run at a time, with all of torch's threads.

    dask's threads would otherwise multiply with torch's; one call with all threads beats many
    calls that fight for the cores, and a GPU holds one batch at a time.
    """
    with _LOCK:
        yield
