"""Optimal interpolation in numbers: covariances, their roots, exact and local solves."""

from __future__ import annotations

from xr4dvar.covariance.error import analysis_error
from xr4dvar.covariance.exact import Factor, factorise
from xr4dvar.covariance.families import FAMILIES, find_family
from xr4dvar.covariance.gridded import TOLERANCE, Analysis, analyse
from xr4dvar.covariance.interfaces import Covariance, Root
from xr4dvar.covariance.joint import Joint
from xr4dvar.covariance.likelihood import Sample, draw_samples, most_likely
from xr4dvar.covariance.local import PointAnalysis, analyse_points
from xr4dvar.covariance.merging import merge_points
from xr4dvar.covariance.models import Separable, Spherical, Sum
from xr4dvar.covariance.on_grid import Prior
from xr4dvar.covariance.roots import ProductRoot, SumRoot, product_root
from xr4dvar.covariance.spherical import SphericalRoot, spherical_root
from xr4dvar.covariance.tuning import Tuning, first_guess, tune

__all__ = [
    "FAMILIES",
    "TOLERANCE",
    "Analysis",
    "Covariance",
    "Factor",
    "Joint",
    "PointAnalysis",
    "Prior",
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
    "factorise",
    "find_family",
    "first_guess",
    "merge_points",
    "most_likely",
    "product_root",
    "spherical_root",
    "tune",
]
