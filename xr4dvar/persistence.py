"""A model as one safetensors file: weights, and everything else as JSON in its header."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from xr4dvar.errors import InputError, ModelFileError, Problems
from xr4dvar.methods import Parameters, check_method, from_config
from xr4dvar.methods.configuration import functions_of
from xr4dvar.model import Model
from xr4dvar.version import __version__

__all__ = ["load", "save"]

FORMAT, FORMAT_VERSION = "xr4dvar-model", 1


def save(model: Model, path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Write a model to one file, whole or not at all.

    Parameters
    ----------
    model : Model
    path : path
        Usually ends in ``.safetensors``.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        The file exists, or cannot be written. What was there before is as it was.
    """
    from safetensors.numpy import save as to_bytes

    target = Path(path)
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
    }
    # not ascontiguousarray, which would give a single number a dimension
    arrays = {name: np.asarray(array, order="C") for name, array in model.arrays.items()}
    try:
        _write(target, to_bytes(arrays, header))
    except OSError as error:
        what = f"{str(target)!r} cannot be written: {error.strerror or error}"
        fix = "check that the folder may be written to and has space left"
        raise InputError([(what, fix)]) from error


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

    source = Path(path)
    if not source.is_file():
        what = "is no file" if source.exists() else "does not exist"
        raise ModelFileError([(f"{str(source)!r} {what}", "check the path")])
    try:
        with safe_open(source, framework="numpy") as file:
            header = file.metadata() or {}
            _check_header(header, source)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, _safetensors_error()) as error:
        what = f"{str(source)!r} is damaged or no safetensors file ({error})"
        raise ModelFileError(
            [(what, "save the model again; pickled files are never read")]
        ) from error
    model = _restore(header, arrays, source)
    if model.digest != header.get("digest"):
        what = f"{str(source)!r} is damaged: its weights do not match their digest"
        raise ModelFileError([(what, "save the model again")])
    return model


def _check_header(header: Mapping[str, str], source: Path) -> None:
    if header.get("format") != FORMAT:
        what = f"{str(source)!r} is a safetensors file, but no xr4dvar model"
        raise ModelFileError([(what, "give a file that model.save wrote")])
    version = header.get("format_version", "")
    if not version.isdigit() or int(version) > FORMAT_VERSION:
        what = (
            f"{str(source)!r} was written by xr4dvar {header.get('xr4dvar_version')} in format "
            f"{version}, this version reads up to {FORMAT_VERSION}"
        )
        raise ModelFileError([(what, "update xr4dvar")])


def _restore(header: Mapping[str, str], arrays: Mapping[str, np.ndarray], source: Path) -> Model:
    try:
        return _model(json.loads(header["model"]), arrays)
    except InputError as error:
        raise ModelFileError(list(error.problems)) from error
    except (KeyError, TypeError, ValueError) as error:
        what = f"the header of {str(source)!r} is damaged ({error!r})"
        raise ModelFileError([(what, "save the model again")]) from error


def _model(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Model:
    """Rebuild a model; the arrays of its background are those under ``background/``."""
    prefix = "background/"
    own, background = dict(arrays), None
    if config["background"] is not None:
        own = {name: a for name, a in arrays.items() if not name.startswith(prefix)}
        inner = {name.removeprefix(prefix): a for name, a in arrays.items() if name not in own}
        background = _model(config["background"], inner)
    method, problems = from_config(config["method"]), Problems()
    check_method("method", method, problems)
    problems.raise_if_any()
    return Model(
        method,
        Parameters(config["settings"], own),
        config["variables"],
        config["grid"],
        int(config["seed"]),
        background,
    )


def _safetensors_error() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError
