"""A model as one safetensors file: weights, and everything else as JSON in its header."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xr4dvar.arguments import as_path, check_flag, is_count, is_number, shown
from xr4dvar.errors import InputError, ModelFileError, Problems
from xr4dvar.methods import Parameters, check_method, from_config
from xr4dvar.model import Model, digest_of
from xr4dvar.registry import functions_of
from xr4dvar.types import ROLES
from xr4dvar.version import __version__

__all__ = ["load", "save"]

FORMAT, FORMAT_VERSION = "xr4dvar-model", 1
#: Most backgrounds one below the other.
BACKGROUNDS = 20


def save(model: Model, path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Write a model to one file, whole or not at all.

    Parameters
    ----------
    model : Model
    path : path
        Usually ends in ``.safetensors``.
    overwrite : bool
        Whether an existing file may be replaced.

    Notes
    -----
    The same model gives the same bytes. Beside the weights the file holds the configuration and
    the history of the fit, as JSON in its header.

    Raises
    ------
    InputError
        The file exists, or cannot be written. What was there before is as it was.
    """
    from safetensors.numpy import save as to_bytes

    problems = Problems()
    check_flag("overwrite", overwrite, problems)
    problems.raise_if_any()
    target = as_path("path", path)
    if functions := functions_of(model.method):
        what = f"{' and '.join(functions)} is your own code, which no file can hold"
        raise InputError([(what, "keep the code that makes the model, and fit again")])
    _check_target(target, overwrite)
    header = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "xr4dvar_version": __version__,
        "digest": model.digest,
        "model": json.dumps(model.config),
        "history": (history := json.dumps(_histories(model))),
        "history_digest": _digest(history),
    }
    # not ascontiguousarray, which would give a single number a dimension
    arrays = {name: np.asarray(array, order="C") for name, array in model.arrays.items()}
    try:
        _write(target, _in_order(to_bytes(arrays, header)))
    except OSError as error:
        what = f"{str(target)!r} cannot be written: {error.strerror or error}"
        fix = "check that the folder may be written to and has space left"
        raise InputError([(what, fix)]) from error


def _in_order(content: bytes) -> bytes:
    """The same file with its header sorted, which safetensors writes in any order."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)  # the numbers begin at a multiple of 8 bytes
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def _histories(model: Model) -> list[dict[str, Any] | None]:
    """How the model was fitted, its background, the background of that ...; None of no training."""
    own = None if model.history is None else model.history.to_dict()
    return [own, *([] if model.background is None else _histories(model.background))]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise InputError([(f"there is no folder {str(target.parent)!r}", "make it first")])
    if target.exists() and not target.is_file():
        raise InputError([(f"{str(target)!r} is no file", "give the name of a file")])
    if target.exists() and not overwrite:
        fix = "choose another name, or save(..., overwrite=True)"
        raise InputError([(f"{str(target)!r} exists", fix)])


def _write(target: Path, content: bytes) -> None:
    """Write beside the file, then put the new one in its place, which cannot be cut in two."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def load(path: str | PathLike[str]) -> Model:
    """Read a model that `Model.save` wrote; no code of the file is ever run.

    Parameters
    ----------
    path : path

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        The file is absent, damaged, of another program, or of a newer version.

    Examples
    --------
    >>> xv.load("absent.safetensors")
    Traceback (most recent call last):
        ...
    xr4dvar.errors.ModelFileError: 'absent.safetensors' does not exist; fix: check the path
    """
    from safetensors import safe_open

    try:
        source = as_path("path", path)
    except InputError as error:
        raise ModelFileError(list(error.problems)) from error
    if not source.is_file():
        what = "is no file" if source.exists() else "does not exist"
        raise ModelFileError([(f"{str(source)!r} {what}", "check the path")])
    try:
        with safe_open(source, framework="numpy") as file:
            header = file.metadata() or {}
            _check_header(header, source)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except ModelFileError:
        raise
    except Exception as error:  # whatever a reader may raise of bytes that anybody may have made
        what = f"{str(source)!r} is damaged or no safetensors file ({error})"
        raise ModelFileError(
            [(what, "save the model again; pickled files are never read")]
        ) from error
    return _restore(header, arrays, source)


def _check_header(header: Mapping[str, str], source: Path) -> None:
    if header.get("format") != FORMAT:
        what = f"{str(source)!r} is a safetensors file, but no xr4dvar model"
        raise ModelFileError([(what, "give a file that model.save wrote")])
    version = header.get("format_version", "")
    if version != str(FORMAT_VERSION):  # as a text: other scripts have digits too
        what = (
            f"{str(source)!r} was written by xr4dvar {header.get('xr4dvar_version')} in format "
            f"{version}, this version reads up to {FORMAT_VERSION}"
        )
        raise ModelFileError([(what, "update xr4dvar")])


def _restore(header: Mapping[str, str], arrays: Mapping[str, np.ndarray], source: Path) -> Model:
    """The model of a header and its weights, if both are as they were written."""
    try:
        history = header.get("history")  # the first files have none, and no digest of one
        told = [] if history is None else json.loads(history)
        config = json.loads(header["model"])
        model = _model(config, arrays, told, BACKGROUNDS)
        same = header.get("history_digest") == (None if history is None else _digest(history))
        # of what was written: today's names of what earlier versions wrote may be others
        intact = same and digest_of(config, arrays) == header["digest"]
        repr(model)  # which reads all that every model has
    except InputError as error:
        raise ModelFileError(list(error.problems)) from error
    except Exception as error:  # whatever a header that anybody may have written leads to
        what = f"the header of {str(source)!r} is damaged ({type(error).__name__}: {error})"
        raise ModelFileError([(what, "save the model again")]) from error
    if not intact:
        what = f"{str(source)!r} is damaged: its weights do not match their digest"
        raise ModelFileError([(what, "save the model again")])
    return model


def _model(
    config: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    histories: Sequence[Mapping[str, Any] | None],
    deepest: int,
) -> Model:
    """Rebuild a model; the arrays of its background are those under ``background/``."""
    prefix = "background/"
    own, background = dict(arrays), None
    if config["background"] is not None:
        if deepest == 0:
            raise ValueError(f"more than {BACKGROUNDS} backgrounds one below the other")
        own = {name: a for name, a in arrays.items() if not name.startswith(prefix)}
        inner = {name.removeprefix(prefix): a for name, a in arrays.items() if name not in own}
        background = _model(config["background"], inner, histories[1:], deepest - 1)
    method, problems = from_config(config["method"]), Problems()
    check_method("method", method, problems)
    problems.raise_if_any()
    _check_kinds(config)
    told = histories[0] if histories else None
    history = None if told is None else xr.Dataset.from_dict(told)
    return Model(
        method,
        Parameters(config["settings"], own, history),
        config["variables"],
        config["grid"],
        config["seed"],
        background,
        config.get("covariates", {}),
        tuple(from_config(part) for part in config.get("computed", [])),
        config.get("leads", 0),
        config.get("states", {}),
    )


def _check_kinds(config: Mapping[str, Any]) -> None:
    """Raise for parts of a model that are not what they are in every model."""
    for name in ("settings", "variables", "grid"):
        if not isinstance(config[name], dict):
            raise TypeError(f"{name} is {shown(config[name])}, not a mapping")
    named = config["variables"], config.get("covariates", {}), config.get("states", {})
    for name, units in [pair for one in named for pair in one.items()]:
        if not isinstance(units, str):
            raise TypeError(f"the units of {name!r} are {shown(units)}, not a text")
    if not is_count(config.get("leads", 0), 0):
        raise TypeError(f"leads is {shown(config['leads'])}, not a whole number")
    if not is_count(config["seed"], 0, 2**63 - 1):
        raise TypeError(f"seed is {shown(config['seed'])}, not a whole number")
    for role, axis in config["grid"]["axes"].items():
        if role not in ROLES or not isinstance(axis, dict):
            raise TypeError(f"the axis {role!r} is {shown(axis)}")
        if not (axis["spacing"] is None or is_number(axis["spacing"])):
            raise TypeError(f"the spacing of {role!r} is {shown(axis['spacing'])}, not a number")
        if not (isinstance(axis["units"], str) and isinstance(axis["uniform"], bool)):
            raise TypeError(f"the axis {role!r} is {shown(axis)}")
