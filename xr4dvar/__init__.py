"""Fill gaps in labelled arrays by variational data assimilation and learned solvers.

``import xr4dvar`` gives every DataArray and Dataset the accessor ``.fourdvar``. The names below
are loaded when first used; they are listed, once, in ``__init__.pyi``.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

import xr4dvar.accessor  # noqa: F401  (registers .fourdvar)
from xr4dvar.renaming import FORMER_CLASSES, warn_renamed
from xr4dvar.version import __version__ as __version__

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if (today := FORMER_CLASSES.get(name)) is None:
        return _load(name)
    warn_renamed(__name__, name, today)
    return _load(today)
