"""Former names of classes and settings: they still work, with a DeprecationWarning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

__all__ = ["FORMER_CLASSES", "former_settings", "renamed", "warn_renamed"]

Class = TypeVar("Class", bound=type[Any])

#: Names of version 0.1.0, and those of today.
FORMER_CLASSES = {
    "Cycled": "CycledFourDVar",
    "StepMap": "DiscreteModel",
    "TwoScale": "GibbsField",
}


def renamed(**names: str) -> Callable[[Class], Class]:
    """Let settings of a dataclass be given, and read, by their former names.

    Parameters
    ----------
    names : str
        Today's name of each former one.

    Examples
    --------
    >>> import warnings
    >>> from dataclasses import dataclass
    >>> from xr4dvar.renaming import renamed
    >>> @renamed(iterations="steps")
    ... @dataclass(frozen=True)
    ... class Descent:
    ...     steps: int = 10
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     Descent(iterations=5)
    Descent(steps=5)
    >>> print(told[0].message)
    Descent: iterations is now steps; the former name goes with the next version
    """

    def decorate(cls: Class) -> Class:
        init = cls.__init__

        @wraps(init)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            for old in names.keys() & kwargs.keys():
                new = names[old]
                if new in kwargs:
                    raise TypeError(f"{old} is the former name of {new}: give one of them")
                warn_renamed(cls.__name__, old, new)
                kwargs[new] = kwargs.pop(old)
            init(self, *args, **kwargs)

        cls.__init__ = __init__
        cls.__former_settings__ = dict(names)
        for old, new in names.items():
            setattr(cls, old, property(_reader(cls.__name__, old, new)))
        return cls

    return decorate


def _reader(name: str, old: str, new: str) -> Callable[[Any], Any]:
    def read(self: Any) -> Any:
        warn_renamed(name, old, new)
        return getattr(self, new)

    read.__doc__ = f"Former name of `{new}`."
    return read


def warn_renamed(where: str, old: str, new: str) -> None:
    """Say that something has another name now, at the line of the user."""
    what = f"{where}: {old} is now {new}; the former name goes with the next version"
    warnings.warn(what, DeprecationWarning, stacklevel=3)


def former_settings(cls: type[Any]) -> dict[str, str]:
    """Today's names of the former settings of a class."""
    names: dict[str, str] = getattr(cls, "__former_settings__", {})
    return names
