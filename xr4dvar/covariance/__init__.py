"""Optimal interpolation in numbers: covariances, their roots, exact and local solves."""

from __future__ import annotations

from xr4dvar.covariance.error import analysis_error
from xr4dvar.covariance.families import FAMILIES, find_family
from xr4dvar.covariance.gridded import Analysis, analyse
from xr4dvar.covariance.interfaces import Covariance, Root
from xr4dvar.covariance.likelihood import Sample, draw_samples, most_likely
from xr4dvar.covariance.local import PointAnalysis, analyse_points, merge_points
from xr4dvar.covariance.models import Separable, Spherical, Sum
from xr4dvar.covariance.roots import ProductRoot, SumRoot, product_root
from xr4dvar.covariance.spherical import SphericalRoot, spherical_root
from xr4dvar.covariance.tuning import Tuning, first_guess, tune

__all__ = [
    "FAMILIES",
    "Analysis",
    "Covariance",
    "PointAnalysis",
    "ProductRoot",
    "Root",
    "Sample",
    "Separable",
    "Spherical",
    "SphericalRoot",
    "Sum",
    "SumRoot",
    "Tuning",
    "analyse",
    "analyse_points",
    "analysis_error",
    "draw_samples",
    "find_family",
    "first_guess",
    "merge_points",
    "most_likely",
    "product_root",
    "spherical_root",
    "tune",
]
