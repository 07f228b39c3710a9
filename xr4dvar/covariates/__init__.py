"""Covariates: fields that are known and not mapped, which a learned method looks at.

``obs.fourdvar.fit(xv.FourDVarNet(), target, covariates=[ds.sst, xv.covariates.day_of_year()])``.
Gappy or complete, on all dimensions of the observations or some (a bathymetry has no time).
"""

from __future__ import annotations

from xr4dvar.covariates.computed import day_of_year, position
from xr4dvar.covariates.land import land_distance

__all__ = ["day_of_year", "land_distance", "position"]
