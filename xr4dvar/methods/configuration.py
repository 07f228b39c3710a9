"""Methods as plain dictionaries, for files and provenance, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from xr4dvar.errors import InputError

__all__ = ["from_config", "to_config"]


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
        code = {} if _of_this_package(value) else {"code": _digest(value)}
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
    >>> from xr4dvar.methods.configuration import functions_of
    >>> functions_of(xv.FourDVar(xv.ODE(abs, dt=0.1), error_variance=1.0))
    ['tendency of ODE']
    """
    if is_dataclass(value) and not _of_this_package(value):
        return [where or type(value).__name__]
    if is_dataclass(value):
        own = ((field.name, getattr(value, field.name)) for field in fields(value))
        name = type(value).__name__
        return [found for key, v in own for found in functions_of(v, f"{key} of {name}")]
    plain = value is None or isinstance(value, str | int | float | bool) or _is_array(value)
    return [] if plain or isinstance(value, Mapping | Sequence) else [where]


def _of_this_package(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == __name__.split(".")[0]


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
        own = {key: from_config(value) for key, value in config.items() if key != "name"}
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
    from xr4dvar import methods  # which imports this file

    cls = getattr(methods, name) if name in methods.__all__ else None
    if not (isinstance(cls, type) and is_dataclass(cls)):
        what = f"method {name!r} is unknown to this version of xr4dvar"
        raise InputError([(what, "install the version that wrote it")])
    return cls
