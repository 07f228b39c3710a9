"""A model as one safetensors file: weights, and everything else as JSON in its header."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from xr4dvar.errors import InputError, ModelFileError
from xr4dvar.methods import Parameters, from_config
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
        The file exists, or cannot be written.
    """
    from safetensors.numpy import save_file

    target = Path(path)
    if target.exists() and not overwrite:
        fix = "choose another name, or save(..., overwrite=True)"
        raise InputError([(f"{str(target)!r} exists", fix)])
    header = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "xr4dvar_version": __version__,
        "digest": model.digest,
        "model": json.dumps(model.config),
    }
    # not ascontiguousarray, which would give a single number a dimension
    arrays = {name: np.asarray(array, order="C") for name, array in model.arrays.items()}
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        save_file(arrays, partial, metadata=header)
        os.replace(partial, target)
    except (OSError, _safetensors_error()) as error:
        what = f"{str(target)!r} cannot be written: {error}"
        fix = "check that the folder exists, may be written and has space left"
        raise InputError([(what, fix)]) from error
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
        raise ModelFileError([(f"{str(source)!r} does not exist", "check the path")])
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
    return Model(
        from_config(config["method"]),
        Parameters(config["settings"], own),
        config["variables"],
        config["grid"],
        int(config["seed"]),
        background,
    )


def _safetensors_error() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError
