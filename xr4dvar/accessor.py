"""The accessor `.fourdvar`: thin verbs on DataArray and Dataset, one call each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

import xr4dvar  # its names load the verbs on first use: `import xr4dvar` stays light

if TYPE_CHECKING:
    from xr4dvar.methods import Method
    from xr4dvar.model import Model
    from xr4dvar.planning import ReconstructionPlan
    from xr4dvar.types import Labelled

__all__ = ["FourDVarAccessor"]


@xr.register_dataarray_accessor("fourdvar")
@xr.register_dataset_accessor("fourdvar")
class FourDVarAccessor:
    """Verbs on a DataArray, or on a Dataset for several variables.

    Each is the function of the same name with this object as first argument.

    Examples
    --------
    >>> obs = xv.datasets.gulfstream_twin().ssh_nadir4.isel(time=slice(0, 20))
    >>> oi = xv.OptimalInterpolation(length={"time": "7D", "lat": 1.0, "lon": 1.0})
    >>> maps = obs.fourdvar.reconstruct(oi)
    """

    def __init__(self, obj: Labelled):
        self._obj = obj

    def fit(self, method: Method, target: Labelled | None = None, **options: Any) -> Model:
        """Fit a method to these observations; see `xr4dvar.fit`."""
        return xr4dvar.fit(self._obj, method, target, **options)

    def reconstruct(self, model: Model | Method, **options: Any) -> Any:
        """Complete these fields; see `xr4dvar.reconstruct`."""
        return xr4dvar.reconstruct(self._obj, model, **options)

    def plan(self, model: Model | Method, **options: Any) -> ReconstructionPlan:
        """Say what `reconstruct` would do; see `xr4dvar.plan`."""
        return xr4dvar.plan(self._obj, model, **options)

    def score(self, truth: Labelled, **options: Any) -> xr.Dataset:
        """Compare this reconstruction with the truth; see `xr4dvar.score`."""
        return xr4dvar.score(self._obj, truth, **options)

    def mask(self) -> Labelled:
        """Say where there are observations; see `xr4dvar.mask`."""
        return xr4dvar.mask(self._obj)
