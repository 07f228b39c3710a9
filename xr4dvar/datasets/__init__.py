"""Samples and simulated systems, as labelled Datasets of a truth and what is seen of it."""

from xr4dvar.datasets.gulfstream import GULFSTREAM_PERIODS as GULFSTREAM_PERIODS
from xr4dvar.datasets.gulfstream import GULFSTREAM_SCORED as GULFSTREAM_SCORED
from xr4dvar.datasets.gulfstream import gulfstream_twin as gulfstream_twin
from xr4dvar.datasets.lorenz import LORENZ_PROTOCOLS as LORENZ_PROTOCOLS
from xr4dvar.datasets.lorenz import lorenz63 as lorenz63
from xr4dvar.datasets.lorenz import lorenz96 as lorenz96

__all__ = [
    "GULFSTREAM_PERIODS",
    "GULFSTREAM_SCORED",
    "LORENZ_PROTOCOLS",
    "gulfstream_twin",
    "lorenz63",
    "lorenz96",
]
