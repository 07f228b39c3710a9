"""Pictures of fields, of training and of resolved scales; each function returns a Figure.

They need matplotlib: ``pip install "xr4dvar[plot]"``.
"""

from __future__ import annotations

from xr4dvar.plots.panels import plot_panels
from xr4dvar.plots.spectrum import plot_spectral_score
from xr4dvar.plots.training import plot_training

__all__ = ["plot_panels", "plot_spectral_score", "plot_training"]
