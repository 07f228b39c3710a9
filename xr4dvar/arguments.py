"""Whether plain arguments can be used: each check notes what is wrong, and the fix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from xr4dvar.errors import Problems

__all__ = [
    "as_numbers",
    "check_choice",
    "check_count",
    "check_finite",
    "check_flag",
    "check_folder",
    "check_mapping",
    "check_number",
    "check_share",
    "is_count",
]


def check_share(name: str, value: object, problems: Problems) -> None:
    """Note a value that is no number between 0 and 1."""
    if not isinstance(value, Real) or not 0 < float(value) < 1:
        problems.add(f"{name} is {value!r}", "give a share between 0 and 1, such as 0.2")


def as_numbers(value: object) -> npt.NDArray[np.float64] | None:
    """An array of what are numbers, None of texts, truth values and the like."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # rows of different lengths
        return None
    return array.astype(np.float64) if array.dtype.kind in "iuf" else None


def check_flag(name: str, value: object, problems: Problems) -> None:
    """Note a value that is not True or False."""
    if not isinstance(value, bool):
        problems.add(f"{name} is {value!r}", "use True or False")


def check_finite(name: str, value: object, problems: Problems) -> None:
    """Note a value that is no finite number, of whatever sign."""
    if not math.isfinite(_number(value)):
        problems.add(f"{name} is {value!r}", "use a number")


def _number(value: object) -> float:
    """The number that a value is, NaN of anything else."""
    known = not isinstance(value, bool) and isinstance(value, Real)
    return float(value) if known else math.nan  # type: ignore[arg-type]


def check_number(name: str, value: object, problems: Problems, *, zero: bool = False) -> None:
    """Note a value that is no finite positive number; 0 may be let pass."""
    number = _number(value)
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        problems.add(f"{name} is {value!r}", f"use a number{', 0 or more' if zero else ' above 0'}")


def check_count(name: str, value: object, problems: Problems, least: int = 1) -> None:
    """Note a value that is no whole number, or too small."""
    if not is_count(value, least):
        problems.add(f"{name} is {value!r}", f"use a whole number, at least {least}")


def is_count(value: object, least: int = 1) -> bool:
    """Whether a value is a whole number that is large enough."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        return False
    return int(value) >= least


def check_choice(name: str, value: object, choices: Sequence[str], problems: Problems) -> None:
    """Note a value that is none of the choices."""
    if value not in choices:
        problems.add(f"{name} is {value!r}", f"use one of {', '.join(map(repr, choices))}")


def check_mapping(
    name: str, value: object, example: str, problems: Problems
) -> TypeGuard[Mapping[Any, Any]]:
    """Note a value that is no mapping."""
    if isinstance(value, Mapping):
        return True
    problems.add(f"{name} is {value!r}, not a mapping", f"for example {name}={example}")
    return False


def check_folder(name: str, path: str | PathLike[str], problems: Problems) -> None:
    """Note a file that cannot be made for want of its folder."""
    try:
        folder = Path(path).parent
    except TypeError:
        problems.add(f"{name} is {path!r}", "give the name of a file")
        return
    if not folder.is_dir():
        problems.add(f"{name}={str(path)!r}: there is no folder {str(folder)!r}", "make it first")
