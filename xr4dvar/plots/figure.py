"""A figure that a notebook shows once. Needs matplotlib; `style.figure` makes one."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure


class ShownOnce(Figure):
    """Shown where it is the result of a cell, or else at the end of the cell that made it.

    The inline backend shows, at the end of a cell, all figures that pyplot keeps: also one that
    the notebook has just shown as the cell's result.
    """

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Let pyplot forget a figure that is about to be shown; IPython chooses the formats."""
        if "inline" in mpl.get_backend():
            plt.close(self)
        return {}
