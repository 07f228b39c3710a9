"""Names of the types that several rooms share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

#: The three axes that are cut into patches, in canonical order.
Role: TypeAlias = Literal["time", "y", "x"]
ROLES: tuple[Role, ...] = ("time", "y", "x")

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.intp]

#: Variances of the components of a state: one for all, one each, or a covariance matrix.
Variances: TypeAlias = float | Sequence[float] | Sequence[Sequence[float]] | FloatArray

#: States of a series as all of its observations say, or as those until each time do.
Estimate: TypeAlias = Literal["smoothed", "filtered"]

#: What the verbs take: one variable or several on the same grid.
Labelled: TypeAlias = xr.DataArray | xr.Dataset

#: Dimension names by axis, as users write them: ``{"time": "t", "lat": "nav_lat"}``.
DimsMapping: TypeAlias = Mapping[str, Hashable]
