"""What was done to get a result, written into its attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from xr4dvar.types import Labelled
from xr4dvar.version import __version__

_PACKAGES = ("xarray", "numpy", "dask", "torch")


def annotate(
    result: Labelled,
    like: Labelled,
    *,
    method: str,
    config: Mapping[str, Any],
    found: Mapping[str, str] | None = None,
    digest: str | None = None,
    seed: int | None = None,
    call: str,
) -> Labelled:
    """Add a line of CF history and how to make the result again.

    All values are text or numbers, which netCDF and zarr both take.

    Parameters
    ----------
    result : xarray.DataArray or xarray.Dataset
        What was made.
    like : xarray.DataArray or xarray.Dataset
        What it was made from: its history goes on.
    method : str
        Name of the method.
    config : mapping
        Its settings.
    found : mapping of str to str, optional
        What a fit has found, where that can be said in words.
    digest : str, optional
        Digest of its weights, for a method that has any.
    seed : int, optional
        The seed, where one was used.
    call : str
        The call, for the history.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        A new object that shares the values of `result`.

    References
    ----------
    CF conventions, section 2.6.2: one line for each program, with the time and its arguments.

    Examples
    --------
    >>> from xr4dvar.labels import annotate
    >>> obs = xr.DataArray([1.0], dims="x", attrs={"history": "2020 made"})
    >>> result = annotate(obs, obs, method="OI", config={"length": 1.0}, call="reconstruct(OI)")
    >>> result.attrs["xr4dvar_method"], result.attrs["xr4dvar_config"]
    ('OI', '{"length": 1.0}')
    >>> len(result.attrs["history"].splitlines())
    2
    """
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{time} xr4dvar {__version__}: {' '.join(call.split())}"
    history = str(like.attrs.get("history", "")).rstrip("\n")
    attrs: dict[str, str | int] = {
        "history": f"{history}\n{line}" if history else line,
        "xr4dvar_method": method,
        "xr4dvar_config": json.dumps(config, sort_keys=True, default=_plain),
        "xr4dvar_versions": json.dumps(_versions()),
    }
    if found:
        attrs["xr4dvar_found"] = json.dumps(found)
    if digest is not None:
        attrs["xr4dvar_weights_sha"] = digest
    if seed is not None:
        attrs["xr4dvar_seed"] = int(seed)
    return result.assign_attrs(attrs)


def _versions() -> dict[str, str]:
    versions = {"xr4dvar": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _plain(value: object) -> Any:
    """Numpy scalars and arrays as numbers, mappings as dict, anything else as text."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
