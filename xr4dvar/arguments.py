"""Whether the plain arguments of a verb can be used: told together, before any work."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path

from xr4dvar.errors import Problems

__all__ = ["check_choice", "check_count", "check_device", "check_folder", "check_share"]


def check_share(name: str, value: object, problems: Problems) -> None:
    """Note a value that is no number between 0 and 1."""
    if not isinstance(value, Real) or not 0 < float(value) < 1:
        problems.add(f"{name} is {value!r}", "give a share between 0 and 1, such as 0.2")


def check_count(name: str, value: object, problems: Problems, least: int = 1) -> None:
    """Note a value that is no whole number, or too small."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        problems.add(f"{name} is {value!r}", f"use a whole number, at least {least}")


def check_choice(name: str, value: object, choices: Sequence[str], problems: Problems) -> None:
    """Note a value that is none of the choices."""
    if value not in choices:
        problems.add(f"{name} is {value!r}", f"use one of {', '.join(map(repr, choices))}")


def check_device(device: str, problems: Problems, *, here: bool = True) -> None:
    """Note a device that torch does not know or, if it is to compute here, that is not there.

    What dask computes later may run on other machines, which have their own devices.
    """
    if device == "auto":
        return
    from xr4dvar.methods.device import choose_device, known_device

    with problems.collect():
        (choose_device if here else known_device)(device)


def check_folder(name: str, path: str | PathLike[str], problems: Problems) -> None:
    """Note a file that cannot be made for want of its folder."""
    try:
        folder = Path(path).parent
    except TypeError:
        problems.add(f"{name} is {path!r}", "give the name of a file")
        return
    if not folder.is_dir():
        problems.add(f"{name}={str(path)!r}: no folder {str(folder)!r}", "make it first")
