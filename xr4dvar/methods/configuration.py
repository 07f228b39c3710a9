"""Methods as plain dictionaries, for files and provenance, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from xr4dvar.errors import InputError
from xr4dvar.methods.fourdvarnet import FourDVarNet
from xr4dvar.methods.linear_interpolation import LinearInterpolation
from xr4dvar.methods.optimal_interpolation import OptimalInterpolation
from xr4dvar.methods.training_options import Training

__all__ = ["METHODS", "from_config", "to_config"]

#: Everything a configuration may hold, by name. A new method is added here.
METHODS: dict[str, type[Any]] = {
    cls.__name__: cls for cls in (FourDVarNet, LinearInterpolation, OptimalInterpolation, Training)
}


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
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def from_config(config: Any) -> Any:
    """Turn what `to_config` gave into the method again.

    Raises
    ------
    InputError
        The method, or one of its settings, is unknown to this version.
    """
    if isinstance(config, Mapping) and "name" in config:
        cls = METHODS.get(config["name"])
        if cls is None:
            what = f"method {config['name']!r} is unknown to this version of xr4dvar"
            raise InputError([(what, "install the version that wrote it")])
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
