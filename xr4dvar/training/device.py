"""Which device computes, trained on or not, and one model call at a time on it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from xr4dvar.arguments import is_word, shown
from xr4dvar.contract.method import FitOptions
from xr4dvar.errors import InputError

__all__ = ["choose_device", "known_device", "make_fabric", "one_at_a_time"]

_LOCK = threading.Lock()
#: What torch computes on; "meta" and others that it has names for hold no numbers.
KINDS = ("cpu", "cuda", "mps", "xpu")


def known_device(device: object) -> torch.device:
    """Turn a name into a device, which need not be there.

    Raises
    ------
    InputError
        No device has that name.
    """
    if isinstance(device, str) and device.partition(":")[0] in KINDS:
        with suppress(RuntimeError):  # of "cuda:x"
            return torch.device(device)
    fix = "use 'auto', 'cpu', 'cuda' or 'cuda:1'"
    raise InputError([(f"device {shown(device)} is unknown", fix)])


def choose_device(device: object) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ... into a device that is there.

    Raises
    ------
    InputError
        The device is not there.
    """
    if is_word(device, "auto"):
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
        The device is not there, or cannot be used so often, from here or with such a precision.
    """
    from lightning_fabric import Fabric

    _check_devices(choose_device(options.device), options)
    accelerator, _, number = options.device.partition(":")
    devices: Any = [int(number)] if accelerator == "cuda" and number else options.devices
    precision: Any = options.precision  # Fabric lists the names that it knows, and checks
    try:
        fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)
    except Exception as error:  # Fabric has errors of its own beside the usual ones
        what = (
            f"cannot train with precision={shown(precision)} and devices={options.devices} "
            f"on {options.device!r}: {error}"
        )
        raise InputError(
            [(what, "leave them out, or use names and numbers that are there")]
        ) from error
    if options.devices > 1:
        _check_launcher(fabric.strategy, options.devices)
    return fabric


def _check_devices(place: torch.device, options: FitOptions) -> None:
    """Raise where there are fewer devices than are to be trained on."""
    devices, device = options.devices, options.device
    if devices == 1:
        return
    if ":" in device:
        what = f"devices is {devices}, and {device!r} is one device"
        raise InputError([(what, f"use device={place.type!r}, or leave devices out")])
    there = torch.cuda.device_count() if place.type == "cuda" else 1
    if devices > there and device != "cpu":  # where processes of any number may share the cores
        what = f"devices is {devices}, and there is {there} device of the kind {place.type!r}"
        shared = ", or give device='cpu' for processes that share its cores"
        fix = "leave devices out" + (shared if place.type == "cpu" else f", or use {there}")
        raise InputError([(what, fix)])


def _check_launcher(strategy: Any, devices: int) -> None:
    """Raise where the further processes, which run the same script, have none to run."""
    cluster = getattr(strategy, "cluster_environment", None)
    if getattr(cluster, "creates_processes_externally", False):  # by torchrun, before this one
        return
    script = sys.argv[0] if sys.argv else ""
    console = getattr(strategy.launcher, "is_interactive_compatible", False)
    if console or not Path(script).is_file():
        what = f"devices is {devices}, and a notebook or console is one process"
        fix = f"put it into a script and run torchrun --nproc-per-node={devices} script.py"
        raise InputError([(what, fix)])


@contextmanager
def one_at_a_time(device: torch.device) -> Iterator[None]:
    """Let one model call of this process run at a time, with all of torch's threads.

    dask's threads would otherwise multiply with torch's; one call with all threads beats many
    calls that fight for the cores, and a GPU holds one batch at a time.
    """
    with _LOCK:
        yield
