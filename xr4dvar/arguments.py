"""Whether plain arguments can be used: each check notes what is wrong, and the fix."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from xr4dvar.errors import InputError, Problems

__all__ = [
    "as_numbers",
    "as_path",
    "as_tuple",
    "check_choice",
    "check_count",
    "check_finite",
    "check_flag",
    "check_folder",
    "check_mapping",
    "check_names",
    "check_number",
    "check_progress",
    "check_seed",
    "check_share",
    "is_count",
    "is_number",
    "is_word",
    "shown",
]

#: Largest count: what every library below can hold as a size.
MOST = 2**31 - 1
#: Longest text of a value in a message.
LONGEST = 80


def shown(value: object) -> str:
    """How a message names a value: as Python writes it if that is short, else its type.

    Examples
    --------
    >>> from xr4dvar.arguments import shown
    >>> shown([1, 2]), shown(10**5000), shown(xr.DataArray([0.0]))
    ('[1, 2]', 'an int', 'a DataArray')
    """
    try:
        text = repr(value)
    except Exception:  # of an int of thousands of digits, or whatever an object may raise
        text = ""
    if text and len(text) <= LONGEST and "\n" not in text:
        return text
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def check_share(name: str, value: object, problems: Problems) -> None:
    """Note a value that is no number between 0 and 1."""
    if not 0 < _number(value) < 1:
        problems.add(f"{name} is {shown(value)}", "give a share between 0 and 1, such as 0.2")


def as_numbers(value: object) -> npt.NDArray[np.float64] | None:
    """An array of what are numbers, None of texts, truth values and the like."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # rows of different lengths
        return None
    return array.astype(np.float64) if array.dtype.kind in "iuf" else None


def as_tuple(value: Any) -> Any:
    """A tuple of what is a sequence; all else as it is, for a check to refuse."""
    other = isinstance(value, str | bytes | Mapping | AbstractSet)
    if other or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return value
    return tuple(value)


def check_flag(name: str, value: object, problems: Problems) -> None:
    """Note a value that is not True or False."""
    if not isinstance(value, bool):
        problems.add(f"{name} is {shown(value)}", "use True or False")


def check_progress(value: object, problems: Problems) -> None:
    """Note a value that does not decide whether a bar is shown."""
    if not (value is None or isinstance(value, bool) or is_word(value, "auto")):
        problems.add(f"progress is {shown(value)}", "use True, False or 'auto', or leave it out")


def check_finite(name: str, value: object, problems: Problems) -> None:
    """Note a value that is no finite number, of whatever sign."""
    if not is_number(value):
        problems.add(f"{name} is {shown(value)}", "use a number")


def is_number(value: object) -> bool:
    """Whether a value is a finite number, of whatever sign."""
    return math.isfinite(_number(value))


def _number(value: object) -> float:
    """The number that a value is, NaN of anything else."""
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def check_number(name: str, value: object, problems: Problems, *, zero: bool = False) -> None:
    """Note a value that is no finite positive number; 0 may be let pass."""
    number = _number(value)
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        fix = f"use a number{', 0 or more' if zero else ' above 0'}"
        problems.add(f"{name} is {shown(value)}", fix)


def check_count(name: str, value: object, problems: Problems, least: int = 1) -> None:
    """Note a value that is no whole number, or too small, or larger than any size can be."""
    if not is_count(value, least):
        most = f" and at most {MOST}" if is_count(value, least, math.inf) else ""
        problems.add(f"{name} is {shown(value)}", f"use a whole number, at least {least}{most}")


def check_seed(value: object, problems: Problems) -> None:
    """Note a value that the generators of random numbers cannot start from."""
    if not is_count(value, 0, 2**63 - 1):
        problems.add(f"seed is {shown(value)}", "use a whole number, at least 0 and below 2**63")


def is_count(value: object, least: int = 1, most: float = MOST) -> bool:
    """Whether a value is a whole number that is large enough, and not too large."""
    # numpy derives durations from its integers
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, Integral):
        return False
    return least <= int(value) <= most


def is_word(value: object, *words: str) -> bool:
    """Whether a value is one of some texts; arrays are compared with none."""
    return isinstance(value, str) and value in words


def check_choice(name: str, value: object, choices: Sequence[str], problems: Problems) -> None:
    """Note a value that is none of the choices."""
    if not is_word(value, *choices):
        problems.add(f"{name} is {shown(value)}", f"use one of {', '.join(map(repr, choices))}")


def check_mapping(
    name: str, value: object, example: str, problems: Problems
) -> TypeGuard[Mapping[Any, Any]]:
    """Note a value that is no mapping."""
    if isinstance(value, Mapping):
        return True
    problems.add(f"{name} is {shown(value)}, not a mapping", f"for example {name}={example}")
    return False


def check_names(
    name: str, given: Iterable[object], wanted: Iterable[str], problems: Problems
) -> None:
    """Note a mapping that is not by the names that are wanted, and no others."""
    own, others = sorted(map(str, given)), sorted(wanted)
    if own != others:
        have, want = (", ".join(map(repr, names)) for names in (own, others))
        problems.add(f"{name} is given for {have}", f"give it for {want}")


def as_path(name: str, path: object) -> Path:
    """The path that a text or path-like object names.

    Raises
    ------
    InputError
        It names none.
    """
    with suppress(TypeError, ValueError, OSError):
        found = Path(path)  # type: ignore[arg-type]
        found.exists()  # raises where a name is too long
        if path != "" and "\0" not in str(found):  # "" would be the current folder
            return found
    raise InputError([(f"{name} is {shown(path)}", "give the name of a file")])


def check_folder(name: str, path: object, problems: Problems) -> None:
    """Note a file that cannot be made for want of its folder."""
    with problems.collect():
        folder = as_path(name, path).parent
        if not folder.is_dir():
            what = f"{name}={str(path)!r}: there is no folder {str(folder)!r}"
            problems.add(what, "make it first")


def check_variances(name: str, value: object, sizes: Sequence[int], problems: Problems) -> None:
    """Note variances that are not positive, or neither one for all nor one for each."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        check_number(name, value, problems)
        return
    if any(hasattr(one, "__len__") and not isinstance(one, str | bytes) for one in value):
        what = f"{name} is a matrix, and {len(value)} numbers is all that can be used"
        problems.add(what, "give variances, or use FourDVar where errors are correlated")
        return
    for number in value:
        check_number(f"one of {name}", number, problems)
    if len(value) not in sizes:
        known = " or ".join(map(str, sorted(set(sizes))))
        what = f"{name} has {len(value)} numbers, the data have {known}"
        problems.add(what, "give one number for all, or one a variable (of series: component)")
