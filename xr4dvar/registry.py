"""Methods and their parts by name: as plain values for files and provenance, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from xr4dvar.errors import InputError
from xr4dvar.renaming import FORMER_CLASSES, former_settings

__all__ = [
    "find_part",
    "from_config",
    "functions_of",
    "register",
    "shorthand",
    "to_config",
    "words",
]

Part = TypeVar("Part", bound=type[Any])

_CLASSES: dict[str, type[Any]] = {}
_WORDS: dict[str, dict[str, Any]] = {}


def register(cls: Part) -> Part:
    """Let files name a method, or a part of one, such as a prior, by its class.

    A decorator of a frozen dataclass, which is its own configuration: each setting is a plain
    value or another part. A file can be loaded where the class was registered before, so a
    package of methods registers them when it is imported.

    Raises
    ------
    InputError
        It is no dataclass, or another class has this name.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from xr4dvar.registry import from_config, register, to_config
    >>> @register
    ... @dataclass(frozen=True)
    ... class Decay:
    ...     rate: float = 0.5
    >>> from_config(to_config(Decay(0.1)))
    Decay(rate=0.1)
    """
    name = cls.__name__
    if not is_dataclass(cls):
        raise InputError([(f"{name} is no dataclass", "put @dataclass(frozen=True) below")])
    other = _CLASSES.setdefault(name, cls)
    if _path(other) != _path(cls):
        what = f"{name!r} is registered already, for {_path(other)}"
        raise InputError([(what, "give the class another name")])
    _CLASSES[name] = cls  # the latest: a notebook runs a cell more than once
    return cls


def shorthand(kind: str, word: str, part: Any) -> None:
    """Let a word stand for a part of some kind, such as ``"lbfgs"`` for the solver ``LBFGS()``.

    Examples
    --------
    >>> from xr4dvar.registry import find_part
    >>> import xr4dvar.solvers
    >>> find_part("solver", "lbfgs")
    LBFGS(history=10, tolerance=1e-08)
    """
    _WORDS.setdefault(kind, {})[word] = part


def words(kind: str) -> tuple[str, ...]:
    """All words for parts of a kind."""
    return tuple(_WORDS.get(kind, {}))


def find_part(kind: str, value: Any) -> Any:
    """The part that a word stands for; a part stands for itself."""
    return _WORDS[kind][value] if isinstance(value, str) else value


def _path(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def to_config(value: Any) -> Any:
    """Turn a method into plain values, ready for JSON.

    Examples
    --------
    >>> from xr4dvar.methods import from_config, to_config
    >>> method = xv.OptimalInterpolation(length={"time": "7D", "lat": 1.0})
    >>> from_config(to_config(method)) == method
    True
    """
    if is_dataclass(value):
        own = {field.name: to_config(getattr(value, field.name)) for field in fields(value)}
        code = {} if _is_registered(value) else {"code": _digest(value)}
        return {"name": type(value).__name__, **own, **code}
    if isinstance(value, Mapping):
        return {str(key): to_config(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_config(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if _is_array(value):
        return np.asarray(value).tolist()
    return f"<{getattr(value, '__qualname__', type(value).__name__)} {_digest(value)}>"


def functions_of(value: Any, where: str = "") -> list[str]:
    """Name the settings of a method that are functions or the like, which no file can hold.

    Examples
    --------
    >>> from xr4dvar.registry import functions_of
    >>> functions_of(xv.FourDVar(xv.ODE(abs, dt=0.1), error_variance=1.0))
    ['tendency of ODE']
    """
    if is_dataclass(value) and not _is_registered(value):
        return [where or type(value).__name__]
    if is_dataclass(value):
        own = ((field.name, getattr(value, field.name)) for field in fields(value))
        name = type(value).__name__
        return [found for key, v in own for found in functions_of(v, f"{key} of {name}")]
    plain = value is None or isinstance(value, str | int | float | bool) or _is_array(value)
    return [] if plain or isinstance(value, Mapping | Sequence) else [where]


def _is_registered(value: Any) -> bool:
    return _CLASSES.get(type(value).__name__) is type(value)


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and not isinstance(value, type)


def _digest(value: Any) -> str:
    """What a function or object does, its code and all that it refers to: another has another.

    Raises
    ------
    InputError
        It cannot be sent to another process.
    """
    import cloudpickle

    try:
        content = cloudpickle.dumps(value)
    except Exception as error:  # whatever the user's objects may raise
        what = f"{value!r} cannot be pickled ({error})"
        raise InputError([(what, "leave open files, locks and the like out of it")]) from error
    # what can be imported is pickled by name: its code may be another one now
    codes = [_code(value), *(_code(item) for item in vars(type(value)).values())]
    return hashlib.blake2b(content + b"".join(codes), digest_size=8).hexdigest()


def _code(function: Any) -> bytes:
    code = getattr(function, "__code__", None)
    return b"" if code is None else code.co_code + repr((code.co_consts, code.co_names)).encode()


def from_config(config: Any) -> Any:
    """Turn what `to_config` gave into the method again.

    Raises
    ------
    InputError
        The method, or one of its settings, is unknown to this version.
    """
    if isinstance(config, Mapping) and "name" in config:
        cls = _class(str(config["name"]))
        today = former_settings(cls)
        own: dict[str, Any] = {
            today.get(str(key), str(key)): from_config(v)
            for key, v in config.items()
            if key != "name"
        }
        if hasattr(cls, "__former_values__"):
            own = cls.__former_values__(own)
        try:
            return cls(**own)
        except TypeError as error:
            what = f"a setting of {config['name']} is unknown to this version: {error}"
            raise InputError([(what, "install the version that wrote it")]) from error
    if isinstance(config, Mapping):
        return {key: from_config(value) for key, value in config.items()}
    if isinstance(config, list):
        return [from_config(item) for item in config]
    return config


def _class(name: str) -> type[Any]:
    """Find a method, or what a method is made of, by its public name."""
    name = FORMER_CLASSES.get(name, name)
    if name not in _CLASSES:
        what = f"method {name!r} is unknown to this version of xr4dvar"
        raise InputError([(what, "install the version, or import the package, that wrote it")])
    return _CLASSES[name]
