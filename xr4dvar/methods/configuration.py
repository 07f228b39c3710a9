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
        return {"name": type(value).__name__, **own}
    if isinstance(value, Mapping):
        return {str(key): to_config(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_config(item) for item in value]
    if isinstance(value, np.ndarray | np.bool_ | np.integer | np.floating):
        return value.tolist()
    if callable(value):
        return f"<{getattr(value, '__qualname__', type(value).__name__)} {_digest(value)}>"
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def functions_of(value: Any, where: str = "") -> list[str]:
    """Name the settings of a method that are functions or the like, which no file can hold.

    Examples
    --------
    >>> from xr4dvar.methods.configuration import functions_of
    >>> functions_of(xv.FourDVar(xv.ODE(abs, dt=0.1), error_variance=1.0))
    ['tendency of ODE']
    """
    if is_dataclass(value):
        own = ((field.name, getattr(value, field.name)) for field in fields(value))
        name = type(value).__name__
        return [found for key, v in own for found in functions_of(v, f"{key} of {name}")]
    plain = value is None or isinstance(value, str | int | float | bool | np.generic | np.ndarray)
    return [] if plain or isinstance(value, Mapping | Sequence) else [where]


def _digest(function: Any) -> str:
    """What a function does, its code and all that it refers to: another one has another digest."""
    import cloudpickle

    return hashlib.blake2b(cloudpickle.dumps(function), digest_size=8).hexdigest()


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
