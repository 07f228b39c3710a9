"""A progress bar for long eager work."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["progress_bar", "wanted"]


def progress_bar(total: int, label: str, shown: bool, initial: int = 0) -> Any:
    """Make a tqdm bar (terminal or notebook) that shows the time left.

    Parameters
    ----------
    total : int
        Steps in all.
    label : str
    shown : bool
        If not, the bar has the same methods and prints nothing.
    initial : int
        Steps already done.
    """
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=label, disable=not shown, initial=initial, dynamic_ncols=True)


def wanted(option: bool | str) -> bool:
    """Decide ``"auto"``: yes in a terminal or a notebook."""
    if isinstance(option, bool):
        return option
    return sys.stderr.isatty() or "ipykernel" in sys.modules
