"""Fill gaps in labelled arrays by variational data assimilation and learned solvers.

``import xr4dvar`` gives every DataArray and Dataset the accessor ``.fourdvar``. The names below
are loaded when first used; they are listed, once, in ``__init__.pyi``.
"""

from __future__ import annotations

import lazy_loader

import xr4dvar.accessor  # noqa: F401  (registers .fourdvar)
from xr4dvar.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
