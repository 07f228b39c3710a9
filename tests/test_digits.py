"""Any offset and any scale: ``f(a y + b) = a f(y) + b``, to float32 of the anomaly.

float32 of a large offset holds less than the anomaly (980123.4 + 0.05 sin: two numbers), and
squares of 1e-30 or 1e30 are out of its range. Optimal interpolation has a test of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.methods import Method

#: Offset and scale: gravity in mGal, NO2 per m2, a tiny flux, a large number.
UNITS = {
    "none": (0.0, 1.0),
    "gravity": (980123.4, 0.05),
    "column": (6e19, 3e12),
    "flux": (0.0, 1e-30),
    "large": (-1e30, 1e30),
}
#: Differences in units of the anomaly's standard deviation that float32 may make in a few steps.
TOLERANCE = 100 * float(np.finfo(np.float32).eps)

SHORT = xv.Training(steps=6, steps_per_epoch=3, batch_size=2, learning_rate=0.05)
#: Components have no usual name.
STATES = {"time": "time", "x": "component"}


def series(entries: int = 6, times: int = 24, size: int = 3) -> xr.Dataset:
    """Waves of unit variance on named components, and observations of them."""
    generator = np.random.default_rng(0)
    phase, rate = generator.uniform(0, 6, size=(2, entries, 1, size))
    truth = np.sqrt(2) * np.sin(np.arange(times)[:, None] / (2 + rate) + phase)
    seen = generator.random(truth.shape) < 0.5
    dims = ("window", "time", "component")
    coords = {"time": 0.1 * np.arange(times), "component": list("abc")[:size]}
    return xr.Dataset(
        {"truth": (dims, truth), "obs": (dims, np.where(seen, truth, np.nan))}, coords
    )


def maps() -> xr.Dataset:
    """Waves of unit variance in time, y and x, and observations of them."""
    t, y, x = np.arange(18.0), np.arange(8.0), np.arange(9.0)
    truth = np.sqrt(8) * np.sin(t / 3)[:, None, None] * np.sin(y / 2 + 1)[:, None] * np.sin(x / 2)
    seen = np.random.default_rng(0).random(truth.shape) < 0.5
    dims = ("time", "lat", "lon")
    coords = {"time": t, "lat": 0.1 * y, "lon": 0.1 * x}
    return xr.Dataset(
        {"truth": (dims, truth), "obs": (dims, np.where(seen, truth, np.nan))}, coords
    )


def decay(offset: float, scale: float) -> xv.ODE:
    """Back to the offset, in time 2."""
    return xv.ODE(lambda x: -0.5 * (x - offset), dt=0.1)


class Decay(torch.nn.Module):
    """The same, with a rate that is to be found."""

    def __init__(self, offset: float):
        super().__init__()
        self.offset = offset
        self.rate = torch.nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -self.rate * (x - self.offset)


def fourdvar(offset: float, scale: float, **settings: object) -> xv.FourDVar:
    given = {"dynamics": decay(offset, scale), "starts": 2, "climate": 50} | settings
    return xv.FourDVar(
        error_variance=0.01 * scale**2, background_state=[offset] * 3,
        background_error_variance=scale**2, **given,
    )  # type: ignore[arg-type]  # fmt: skip


def variational(prior: object, scale: float, **settings: object) -> xv.Variational:
    given = {"patch": {"time": 6}, "steps": 20} | settings
    return xv.Variational(prior, error_variance=0.01 * scale**2, **given)  # type: ignore[arg-type]


def network(scale: float, **settings: object) -> xv.FourDVarNet:
    given = {"background": None, "widths": (4,), "prior_width": 3, "training": SHORT} | settings
    return xv.FourDVarNet(**given)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    """A method for data of an offset and a scale, and whether it is fitted with the truth.

    Where a model is `own`, in the data's own units, float64 of the offset is what its states have.
    """

    method: Callable[[float, float], Method]
    data: Callable[[], xr.Dataset] = series
    fitted: bool = True
    settings: dict[str, object] | None = None
    own: bool = False

    def reconstruct(
        self,
        offset: float,
        scale: float,
        chunks: dict[str, int] | None = None,
        dtype: str = "float64",
    ) -> xr.DataArray | xr.Dataset:
        """Fit on, and reconstruct, the data in other units; the result is in the old ones."""
        ds = self.data()
        truth, obs = ((offset + scale * ds[name]).astype(dtype) for name in ("truth", "obs"))
        dims = STATES if "component" in obs.dims else None
        model = self.method(offset, scale)
        if self.fitted:
            model = xv.fit(obs, model, truth, dims=dims, progress=False)
        given = obs if chunks is None else obs.chunk(chunks)
        result = xv.reconstruct(given, model, dims=dims, progress=False, **(self.settings or {}))
        return result.compute()


MAPS: dict[str, object] = {"patch": {"time": 6, "lat": 8, "lon": 5}, "coarsen": 1}
CASES = {
    "LinearInterpolation": Case(lambda b, a: xv.LinearInterpolation(), maps, fitted=False),
    "OptimalInterpolation": Case(
        lambda b, a: xv.OptimalInterpolation(length={"time": 2.0, "lat": 0.5, "lon": 0.5}), maps,
        fitted=False, settings={"error": True},
    ),
    "FourDVarNet": Case(lambda b, a: network(a, **MAPS), maps),
    "FourDVarNet, background": Case(
        lambda b, a: network(a, background=xv.LinearInterpolation(), **MAPS), maps
    ),
    "FourDVarNet of series": Case(lambda b, a: network(a)),
    "FourDVarNet, R given": Case(lambda b, a: network(a, error_variance=0.01 * a**2)),
    "FourDVarNet, model": Case(
        lambda b, a: network(a, prior=decay(b, a), model_error_variance=0.01 * a**2)
    ),
    "DataAssimilationNetwork": Case(
        lambda b, a: xv.DataAssimilationNetwork(width=8, training=SHORT),
        settings={"error": True},
    ),
    "EOFs": Case(lambda b, a: variational(xv.EOFs(4), a)),
    "EOFs, latent": Case(
        lambda b, a: variational(xv.EOFs(4), a, control="latent"), settings={"error": True}
    ),
    "EOFs, members": Case(
        lambda b, a: variational(xv.EOFs(4), a), settings={"ensemble": 2, "seed": 1}
    ),
    "AutoEncoder": Case(lambda b, a: variational(xv.AutoEncoder(4, 8, SHORT), a)),
    "GibbsField": Case(lambda b, a: variational(xv.GibbsField(4, SHORT), a)),
    "Denoiser": Case(lambda b, a: variational(xv.Denoiser((4,), 1, SHORT), a, steps=4)),
    "Variational, model": Case(
        lambda b, a: variational(decay(b, a), a, model_error_variance=0.01 * a**2), own=True
    ),
    "FourDVar": Case(fourdvar, fitted=False, settings={"error": True}, own=True),
    "FourDVar, weak": Case(
        lambda b, a: fourdvar(b, a, model_error_variance=0.01 * a**2), fitted=False, own=True
    ),
    "FourDVar, members": Case(
        fourdvar, fitted=False, settings={"ensemble": 2, "seed": 1}, own=True
    ),
    "FourDVar, climate of the target": Case(
        lambda b, a: xv.FourDVar(decay(b, a), error_variance=0.01 * a**2, starts=2, climate=50),
        own=True,
    ),
    "FourDVar, learned": Case(
        lambda b, a: fourdvar(b, a, dynamics=xv.ODE(Decay(b), dt=0.1, learned=True)), own=True
    ),
    "FourDVar, R and Q estimated": Case(
        lambda b, a: fourdvar(b, a, model_error_variance=0.01 * a**2, estimate_variances=True),
        own=True,
    ),
    "CycledFourDVar": Case(
        lambda b, a: xv.CycledFourDVar(fourdvar(b, a), window=12, shift=6),
        fitted=False, settings={"error": True}, own=True,
    ),
}  # fmt: skip


Numbers = dict[str, np.ndarray]


def in_units_of_the_anomaly(found: xr.DataArray | xr.Dataset, units: str) -> Numbers:
    """The values, and the errors where there are some, of data of offset 0 and scale 1."""
    offset, scale = UNITS[units]
    if isinstance(found, xr.DataArray):
        return {"obs": (found - offset).values / scale}
    return {"obs": (found.obs - offset).values / scale, "error": found.obs_error.values / scale}


@cache
def solved(case: str, units: str) -> xr.DataArray | xr.Dataset:
    """Maps in memory."""
    return CASES[case].reconstruct(*UNITS[units])


def close(case: str, units: str) -> float:
    """Difference in units of the anomaly's standard deviation that rounding may make."""
    offset, scale = UNITS[units]
    given = 8 * float(np.finfo(np.float64).eps) * max(1.0, abs(offset) / scale)
    if CASES[case].own:  # a cost that is known to a share of it has a minimum known to its root
        given = 10 * given**0.5
    return TOLERANCE + given


@pytest.mark.parametrize("units", [name for name in UNITS if name != "none"])
@pytest.mark.parametrize("case", CASES)
def test_any_offset_and_any_scale(case: str, units: str) -> None:
    expected = in_units_of_the_anomaly(solved(case, "none"), "none")
    found = in_units_of_the_anomaly(solved(case, units), units)
    for name, values in expected.items():
        assert np.isfinite(values).all()
        np.testing.assert_allclose(found[name], values, rtol=0, atol=close(case, units))
    # a constant, or a map that never left the background, would pass
    assert expected["obs"].std() > 1e-3


@pytest.mark.parametrize("case", CASES)
def test_chunks_keep_the_digits_too(case: str) -> None:
    units = "gravity"
    chunks = {"window": 2} if CASES[case].data is series else {"time": 7, "lon": 4}
    expected = in_units_of_the_anomaly(solved(case, units), units)
    lazy = CASES[case].reconstruct(*UNITS[units], chunks)
    for name, values in in_units_of_the_anomaly(lazy, units).items():
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=close(case, units))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("case", [name for name in CASES if not CASES[name].own])
def test_squares_may_be_out_of_the_range_of_float32(case: str, scale: float) -> None:
    found = CASES[case].reconstruct(0.0, scale, dtype="float32")
    one = CASES[case].reconstruct(0.0, 1.0, dtype="float32")
    for name in ("obs", "obs_error") if isinstance(one, xr.Dataset) else [...]:
        assert found[name].dtype == "float32"
        values = found[name].values.astype(float) / scale
        np.testing.assert_allclose(values, one[name].values, rtol=0, atol=10 * TOLERANCE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("chunked", [False, True], ids=["numpy", "dask"])
def test_the_float_type_is_that_of_the_observations(dtype: str, chunked: bool) -> None:
    obs = maps().obs.astype(dtype)
    obs = obs.chunk(time=6) if chunked else obs
    oi = xv.OptimalInterpolation(length={"time": 3.0, "lat": 0.2, "lon": 0.2}, variance=1.0)
    for method in (xv.LinearInterpolation(), oi):
        assert xv.reconstruct(obs, method, progress=False).dtype == dtype


def test_variables_of_two_types_keep_theirs() -> None:
    obs = maps().obs
    both = xr.Dataset({"g": 980123.4 + 0.05 * obs, "t": obs.astype("float32")})
    found = xv.reconstruct(both, xv.LinearInterpolation(), progress=False)
    assert (found.g.dtype, found.t.dtype) == ("float64", "float32")
    expected = xv.reconstruct(obs, xv.LinearInterpolation(), progress=False)
    np.testing.assert_allclose((found.g - 980123.4) / 0.05, expected, rtol=0, atol=1e-8)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="there is no longer type")
def test_extended_precision_is_not_cut_to_float32() -> None:
    obs = 980123.4 + 0.05 * maps().obs
    found = xv.reconstruct(obs.astype(np.longdouble), xv.LinearInterpolation(), progress=False)
    assert found.dtype == "float64"
    xr.testing.assert_allclose(found, xv.reconstruct(obs, xv.LinearInterpolation()), rtol=1e-15)
