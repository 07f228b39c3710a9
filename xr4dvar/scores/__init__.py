"""How good a reconstruction is: errors cell by cell, and scales that are resolved."""

from __future__ import annotations

from xr4dvar.scores.ensemble import crps, rank_histogram, spread_skill
from xr4dvar.scores.pointwise import mu, pair_sums, r_score, rmse, sigma
from xr4dvar.scores.resolution import effective_resolution, without_islands
from xr4dvar.scores.spectral import positive_power, resolution, spectral_score

__all__ = [
    "crps",
    "effective_resolution",
    "mu",
    "pair_sums",
    "positive_power",
    "r_score",
    "rank_histogram",
    "resolution",
    "rmse",
    "sigma",
    "spectral_score",
    "spread_skill",
    "without_islands",
]
