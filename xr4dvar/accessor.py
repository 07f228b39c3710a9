"""The accessor `.fourdvar`: thin verbs on DataArray and Dataset, one call each.

Signatures are written out so that completion and help work; a test holds them against the
functions. Types are imported for reading only: `import xr4dvar` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

import xr4dvar  # its names load the verbs on first use

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Literal

    from xr4dvar.covariates.reading import Given
    from xr4dvar.methods import Method
    from xr4dvar.model import Model
    from xr4dvar.training.hiding import HiddenShape
    from xr4dvar.types import DimsMapping, Labelled
    from xr4dvar.verbs.plan import ReconstructionPlan
    from xr4dvar.verbs.score import Dim

__all__ = ["FourDVarAccessor"]


@xr.register_dataarray_accessor("fourdvar")
@xr.register_dataset_accessor("fourdvar")
@xr.register_datatree_accessor("fourdvar")
class FourDVarAccessor:
    """Verbs on a DataArray, or on a Dataset for several variables; some also on a DataTree.

    Each is the function of the same name with this object as first argument.

    Examples
    --------
    >>> obs = xv.datasets.gulfstream_twin().ssh_nadir4.isel(time=slice(0, 20))
    >>> oi = xv.OptimalInterpolation(length={"time": "7D", "lat": 1.0, "lon": 1.0})
    >>> maps = obs.fourdvar.reconstruct(oi)
    """

    __slots__ = ("_obj",)  # the object and nothing else: there is no state to go stale

    def __init__(self, obj: Any):
        self._obj = obj

    def fit(
        self,
        method: Method,
        target: Labelled | None = None,
        *,
        validation: slice | float = 0.15,
        grid: Labelled | None = None,
        covariates: Given = None,
        leads: int = 0,
        mask: xr.DataArray | None = None,
        dims: DimsMapping | None = None,
        periodic: Iterable[str] = (),
        hidden: float = 0.2,
        hidden_shape: HiddenShape = "mixed",
        seed: int = 0,
        device: str | None = None,
        precision: str = "32-true",
        devices: int = 1,
        checkpoint: str | None = None,
        progress: bool | None = None,
    ) -> Model:
        """Fit a method to these observations. See `xr4dvar.fit`.

        Examples
        --------
        >>> ds = xv.datasets.gulfstream_twin().isel(time=slice(30), lat=slice(40), lon=slice(40))
        >>> model = ds.ssh_nadir4.fourdvar.fit(xv.OptimalInterpolation(scales=1), target=ds.ssh)
        >>> model.variables
        {'ssh_nadir4': 'm'}
        """
        return xr4dvar.fit(
            self._obj,
            method,
            target,
            validation=validation,
            covariates=covariates,
            grid=grid,
            leads=leads,
            mask=mask,
            dims=dims,
            periodic=periodic,
            hidden=hidden,
            hidden_shape=hidden_shape,
            seed=seed,
            device=device,
            precision=precision,
            devices=devices,
            checkpoint=checkpoint,
            progress=progress,
        )

    def reconstruct(
        self,
        model: Model | Method,
        *,
        grid: Labelled | None = None,
        covariates: Given = None,
        mask: xr.DataArray | None = None,
        error_variance: Labelled | float | None = None,
        error: bool = False,
        ensemble: int | None = None,
        seed: int = 0,
        dims: DimsMapping | None = None,
        periodic: Iterable[str] = (),
        batch_size: int | None = None,
        device: str | None = None,
        progress: bool | None = None,
    ) -> Labelled:
        """Complete these gappy fields. See `xr4dvar.reconstruct`.

        Examples
        --------
        >>> ds = xv.datasets.gulfstream_twin().isel(time=slice(20))
        >>> oi = xv.OptimalInterpolation(length={"time": "7D", "lat": 1.0, "lon": 1.0})
        >>> maps = ds.ssh_nadir4.chunk(time=10).fourdvar.reconstruct(oi)  # lazy
        >>> float(maps.fourdvar.score(ds.ssh).rmse) < 0.15
        True
        """
        return xr4dvar.reconstruct(
            self._obj,
            model,
            grid=grid,
            covariates=covariates,
            mask=mask,
            error_variance=error_variance,
            error=error,
            ensemble=ensemble,
            seed=seed,
            dims=dims,
            periodic=periodic,
            batch_size=batch_size,
            device=device,
            progress=progress,
        )

    def forecast(
        self,
        model: Model | Method,
        steps: int,
        *,
        covariates: Given = None,
        mask: xr.DataArray | None = None,
        error_variance: Labelled | float | None = None,
        error: bool = False,
        ensemble: int | None = None,
        seed: int = 0,
        dims: DimsMapping | None = None,
        periodic: Iterable[str] = (),
        batch_size: int | None = None,
        device: str | None = None,
        progress: bool | None = None,
    ) -> Labelled:
        """Give the fields after the last time of these observations. See `xr4dvar.forecast`.

        Examples
        --------
        >>> obs = xv.datasets.lorenz63(windows=1, steps=170).obs
        >>> method = xv.FourDVar(xv.Lorenz63(dt=0.01), error_variance=2.0, climate=500)
        >>> obs.fourdvar.forecast(method, steps=30).sizes["time"]
        30
        """
        return xr4dvar.forecast(
            self._obj,
            model,
            steps,
            covariates=covariates,
            mask=mask,
            error_variance=error_variance,
            error=error,
            ensemble=ensemble,
            seed=seed,
            dims=dims,
            periodic=periodic,
            batch_size=batch_size,
            device=device,
            progress=progress,
        )

    def hold_out(
        self,
        share: float = 0.1,
        *,
        shape: Literal["random", "patches"] = "patches",
        seed: int = 0,
        dims: DimsMapping | None = None,
    ) -> tuple[Labelled, Labelled]:
        """Hide a share of these observations, to be scored on it. See `xr4dvar.hold_out`.

        Examples
        --------
        >>> obs = xv.datasets.gulfstream_twin().sst_cloudy.isel(time=slice(0, 20))
        >>> shown, hidden = obs.fourdvar.hold_out(0.2, shape="random")
        >>> bool(hidden.fillna(shown).identical(obs))
        True
        """
        return xr4dvar.hold_out(self._obj, share, shape=shape, seed=seed, dims=dims)

    def map_points(
        self,
        model: Model | Method,
        grid: Labelled,
        *,
        error_variance: Labelled | float | None = None,
        error: bool = False,
        dims: DimsMapping | None = None,
        periodic: Iterable[str] = (),
    ) -> Labelled:
        """Map these observations, which are on no grid, to one. See `xr4dvar.map_points`.

        Examples
        --------
        >>> place = {"lat": ("obs", [40.1, 41.3]), "lon": ("obs", [-20.2, -19.5])}
        >>> tracks = xr.DataArray([0.3, 0.1], dims="obs", coords=place)
        >>> grid = xr.Dataset(coords={"lat": [40.0, 41.0], "lon": [-20.0, -19.0]})
        >>> tracks.fourdvar.map_points(xv.OptimalInterpolation(length=1.0), grid).shape
        (2, 2)
        """
        return xr4dvar.map_points(
            self._obj,
            model,
            grid,
            error_variance=error_variance,
            error=error,
            dims=dims,
            periodic=periodic,
        )

    def plan(
        self,
        model: Model | Method,
        *,
        grid: Labelled | None = None,
        error: bool = False,
        dims: DimsMapping | None = None,
        periodic: Iterable[str] = (),
    ) -> ReconstructionPlan:
        """Say what `reconstruct` would do; nothing is computed. See `xr4dvar.plan`.

        Examples
        --------
        >>> obs = xv.datasets.gulfstream_twin().ssh_nadir4.isel(time=slice(20))
        >>> obs.fourdvar.plan(xv.LinearInterpolation()).patch
        {'time': 20, 'lat': 100, 'lon': 100}
        """
        return xr4dvar.plan(self._obj, model, grid=grid, error=error, dims=dims, periodic=periodic)

    def cost_curve(
        self,
        model: Model | Method,
        *,
        grid: Labelled | None = None,
        mask: xr.DataArray | None = None,
        error_variance: Labelled | float | None = None,
        dims: DimsMapping | None = None,
        periodic: Iterable[str] = (),
        device: str | None = None,
    ) -> xr.Dataset:
        """Say how the cost of each window goes down. See `xr4dvar.cost_curve`.

        Examples
        --------
        >>> ds = xv.datasets.lorenz63(windows=2, observed=("x", "y", "z"))
        >>> method = xv.FourDVar(xv.Lorenz63(dt=0.01), error_variance=2.0, climate=500)
        >>> list(ds.obs.fourdvar.cost_curve(method))
        ['cost', 'cost_of_term', 'gradient_norm']
        """
        return xr4dvar.cost_curve(
            self._obj,
            model,
            grid=grid,
            mask=mask,
            error_variance=error_variance,
            dims=dims,
            periodic=periodic,
            device=device,
        )

    def score(
        self,
        truth: Labelled,
        *,
        dim: Dim = None,
        weights: xr.DataArray | Literal["area"] | None = None,
        mask: xr.DataArray | None = None,
        metrics: str | Sequence[str] | None = None,
        dims: DimsMapping | None = None,
    ) -> xr.Dataset:
        """Compare this reconstruction with the truth. See `xr4dvar.score`.

        Examples
        --------
        >>> truth = xv.datasets.gulfstream_twin().ssh.isel(time=slice(20))
        >>> scores = (0.9 * truth).fourdvar.score(truth, metrics=("mu", "rmse"))
        >>> round(float(scores.mu), 3)
        0.9
        """
        return xr4dvar.score(
            self._obj, truth, dim=dim, weights=weights, mask=mask, metrics=metrics, dims=dims
        )

    def observed(self) -> Labelled:
        """Say where there are observations. See `xr4dvar.observed`.

        Examples
        --------
        >>> obs = xv.datasets.gulfstream_twin().ssh_nadir4
        >>> round(float(obs.fourdvar.observed().mean()), 3)
        0.038
        """
        return xr4dvar.observed(self._obj)

    def mask(self) -> Labelled:
        """Say where there are observations, under its old name. See `xr4dvar.mask`.

        Examples
        --------
        >>> obs = xv.datasets.gulfstream_twin().ssh_nadir4
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     seen = obs.fourdvar.mask()
        """
        return xr4dvar.mask(self._obj)
