"""The version: a leaf, so that every floor may import it."""

from __future__ import annotations

__version__ = "0.1.0"
