"""Labels: axes, grids, units, alignment and provenance of xarray objects. No torch, no dask."""

from __future__ import annotations

from xr4dvar.labels.alignment import check_aligned, check_places
from xr4dvar.labels.axes import find_axes
from xr4dvar.labels.checks import Summary, check_values, summarise, summarise_lazily
from xr4dvar.labels.companions import put_back, without_companions
from xr4dvar.labels.coordinates import Coordinate
from xr4dvar.labels.curvilinear import EARTH_RADIUS_KM, great_circle_km
from xr4dvar.labels.decoding import decoded
from xr4dvar.labels.grid import Grid, make_grid
from xr4dvar.labels.indexes import index_of
from xr4dvar.labels.masks import check_domain, domain_field, mask, observed
from xr4dvar.labels.normalisation import Normalisation
from xr4dvar.labels.points import point_positions, target_grid
from xr4dvar.labels.provenance import annotate
from xr4dvar.labels.roles import ALIASES, Axes, by_role
from xr4dvar.labels.signature import (
    check_same_grid,
    check_same_units,
    check_same_variables,
    in_order,
    variables_signature,
)
from xr4dvar.labels.stacking import Field, from_fields, named_arrays, to_fields
from xr4dvar.labels.uncertainty import as_members, check_error_names, with_errors
from xr4dvar.labels.units import Lengths, Unit, parse_length
from xr4dvar.labels.variance_units import check_variance_units

__all__ = [
    "ALIASES",
    "EARTH_RADIUS_KM",
    "Axes",
    "Coordinate",
    "Field",
    "Grid",
    "Lengths",
    "Normalisation",
    "Summary",
    "Unit",
    "annotate",
    "as_members",
    "by_role",
    "check_aligned",
    "check_domain",
    "check_error_names",
    "check_places",
    "check_same_grid",
    "check_same_units",
    "check_same_variables",
    "check_values",
    "check_variance_units",
    "decoded",
    "domain_field",
    "find_axes",
    "from_fields",
    "great_circle_km",
    "in_order",
    "index_of",
    "make_grid",
    "mask",
    "named_arrays",
    "observed",
    "parse_length",
    "point_positions",
    "put_back",
    "summarise",
    "summarise_lazily",
    "target_grid",
    "to_fields",
    "variables_signature",
    "with_errors",
    "without_companions",
]
