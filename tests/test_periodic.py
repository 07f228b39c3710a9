"""``periodic=`` is honoured, or refused by name: never taken and ignored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.errors import InputError
from xr4dvar.methods import Method

SHORT = xv.Training(steps=4, steps_per_epoch=2, batch_size=2, learning_rate=0.1)
DIMS = ("time", "y", "x")


def waves() -> xr.Dataset:
    """Noise on a torus, and observations of it; two columns beside the seam are never seen.

    Each of these has one nearest column that is.
    """
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(12, 8, 16))
    seen = generator.random(truth.shape) < 0.6
    seen[:, :, :2] = False
    seen[0, :, 2:] = True
    coords = {"time": np.arange(12.0), "y": np.arange(8.0), "x": np.arange(16.0)}
    attrs = {"y": {"units": "km"}, "x": {"units": "km"}}
    ds = xr.Dataset({"truth": (DIMS, truth), "obs": (DIMS, np.where(seen, truth, np.nan))}, coords)
    for name, found in attrs.items():
        ds[name].attrs |= found
    return ds


def ring() -> xr.Dataset:
    """Sites on a ring."""
    generator = np.random.default_rng(1)
    truth = generator.normal(size=(3, 20, 6))
    obs = np.where(generator.random(truth.shape) < 0.5, truth, np.nan)
    dims = ("window", "time", "x")
    coords = {"time": 0.1 * np.arange(20), "x": np.arange(6.0)}
    return xr.Dataset({"truth": (dims, truth), "obs": (dims, obs)}, coords)


def net(**settings: Any) -> xv.FourDVarNet:
    given = {"background": None, "widths": (4,), "prior_width": 3, "coarsen": 1} | settings
    return xv.FourDVarNet(training=SHORT, **given)


def variational(prior: Any, **settings: Any) -> xv.Variational:
    return xv.Variational(prior, error_variance=0.1, **({"steps": 5} | settings))


DECAY = xv.ODE(lambda x: -0.5 * x, dt=0.1)
FOURDVAR = xv.FourDVar(
    DECAY, error_variance=0.1, starts=2, climate=50,
    background_state=[0.0] * 6, background_error_variance=1.0,
)  # fmt: skip
WHOLE = {"time": 12, "y": 8, "x": 16}


@dataclass(frozen=True)
class Case:
    """A method, the axes that close, and by how many cells each is turned.

    A prior of whole windows is of the places that it was learned at: `again` fits it on what is
    turned, `level` takes the mean of its maps away.
    """

    method: Method
    turn: dict[str, int]
    data: Callable[[], xr.Dataset] = waves
    fitted: bool = True
    again: bool = False
    level: bool = False
    chunks: dict[str, int] | None = None

    @property
    def where(self) -> dict[str, Any]:
        return {"periodic": tuple(self.turn), "dims": {n: n for n in self.dims}, "progress": False}

    @property
    def dims(self) -> Sequence[str]:
        return [str(dim) for dim in self.data().dims if dim in DIMS]

    def fit(self, ds: xr.Dataset) -> Any:
        if not self.fitted:
            return self.method
        model = xv.fit(ds.obs, self.method, ds.truth, **self.where)
        if self.level:
            arrays = dict(model.parameters.arrays)
            arrays["mean"] = np.zeros_like(arrays["mean"])
            model = replace(model, parameters=replace(model.parameters, arrays=arrays))
        return model


CASES = {
    "LinearInterpolation": Case(
        xv.LinearInterpolation(), {"time": 5, "y": 3, "x": 7}, fitted=False
    ),
    "LinearInterpolation, fitted": Case(xv.LinearInterpolation(), {"time": 5, "x": 7}),
    "FourDVarNet, one patch round x": Case(net(patch=WHOLE), {"x": 5}),
    "FourDVarNet, background": Case(
        net(patch=WHOLE, background=xv.LinearInterpolation()), {"x": 5}
    ),
    "FourDVarNet, two levels": Case(net(patch=WHOLE, widths=(4, 6)), {"x": 6}),
    "FourDVarNet, coarse": Case(net(patch=WHOLE, coarsen=4), {"x": 4}),
    "FourDVarNet, two-scale prior": Case(net(patch=WHOLE, prior="two_scale"), {"x": 4}),
    "FourDVarNet, convolutional LSTM": Case(net(patch=WHOLE, solver="lstm"), {"x": 5}),
    "FourDVarNet, patches go round": Case(
        net(
            patch={"time": 6, "y": 4, "x": 8}, overlap={"time": 3, "y": 2, "x": 4},
        ),
        {"time": 3, "y": 2, "x": 4},
    ),
    "FourDVarNet of series": Case(
        net(patch={"time": 8}, overlap={"time": 3}), {"x": 2}, data=ring, chunks={"window": 1}
    ),
    "EOFs": Case(variational(xv.EOFs(3), patch={"time": 6}), {"y": 3, "x": 5}, again=True),
    "EOFs, windows go round": Case(
        variational(xv.EOFs(2), patch={"time": 6}), {"time": 3}, chunks={"time": 5}
    ),
    "GibbsField": Case(
        variational(xv.GibbsField(4, SHORT), patch={"time": 12}), {"x": 4}, level=True
    ),
    "GibbsField, windows go round": Case(
        variational(xv.GibbsField(4, SHORT), patch={"time": 6}), {"time": 3, "x": 4}, level=True
    ),
    "Denoiser": Case(
        variational(xv.Denoiser((4, 4), 1, SHORT), patch={"time": 12}), {"x": 2}, level=True
    ),
    "Variational, model": Case(
        variational(DECAY, model_error_variance=0.1), {"x": 2}, data=ring, fitted=False,
        chunks={"window": 1},
    ),
    "FourDVar": Case(FOURDVAR, {"x": 2}, data=ring, fitted=False, chunks={"window": 1}),
    "CycledFourDVar": Case(
        xv.CycledFourDVar(FOURDVAR, window=12, shift=4), {"x": 2}, data=ring, fitted=False,
        chunks={"window": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("chunked", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("name", CASES)
def test_where_a_circle_is_cut_does_not_matter(name: str, chunked: bool) -> None:
    case, ds = CASES[name], CASES[name].data()
    turned = ds.roll(case.turn)
    model = case.fit(ds)
    expected = xv.reconstruct(ds.obs, model, **case.where).roll(case.turn)
    obs = turned.obs.chunk(case.chunks or {"x": 6}) if chunked else turned.obs
    found = xv.reconstruct(obs, case.fit(turned) if case.again else model, **case.where)
    assert expected.notnull().all()
    np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=2e-5)
    assert float(expected.std()) > 1e-3


def test_twelve_months_are_a_circle() -> None:
    """Linear from November, 8, over the turn of the year to February, 10."""
    month = np.arange(1, 13)
    values = np.where((month > 1) & (month < 12), np.linspace(10.2, 8, 12), np.nan)
    values[[1, 10]] = 10.0, 8.0
    year = xr.DataArray(values, dims="time", coords={"time": month})
    found = xv.reconstruct(year, xv.LinearInterpolation(), periodic=("time",))
    np.testing.assert_allclose(found[[11, 0]], [8 + 2 / 3, 8 + 4 / 3], rtol=1e-12)
    open_ends = xv.reconstruct(year, xv.LinearInterpolation())
    assert open_ends[[11, 0]].values.tolist() == [8.0, 10.0]


def test_the_nearest_cell_may_be_across_the_seam() -> None:
    lon = np.arange(0.0, 360.0, 45.0)
    values = np.array([np.nan, np.nan, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    circle = xr.DataArray(values, dims="lon", coords={"lon": lon})
    found = xv.reconstruct(circle, xv.LinearInterpolation(), periodic=("lon",))
    assert found.values.tolist() == [7.0, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


@dataclass(frozen=True)
class Silent(xv.LinearInterpolation):
    """A method that says nothing of periods."""

    closed_axes: ClassVar[None] = None  # type: ignore[assignment]


REFUSED: dict[str, tuple[Method, str, Callable[[], xr.Dataset]]] = {
    "FourDVarNet, one patch": (net(patch=WHOLE), "time", waves),
    "FourDVarNet, one patch along y": (net(patch=WHOLE), "y", waves),
    "Variational, one window": (variational(xv.EOFs(2), patch={"time": 12}), "time", waves),
    "GibbsField along y": (variational(xv.GibbsField(4, SHORT), patch={"time": 6}), "y", waves),
    "FourDVar": (FOURDVAR, "time", ring),
    "CycledFourDVar": (xv.CycledFourDVar(FOURDVAR, window=12, shift=4), "time", ring),
    "DataAssimilationNetwork": (xv.DataAssimilationNetwork(width=4, training=SHORT), "x", ring),
    "FourDVarNet from FourDVar": (net(background=FOURDVAR, patch={"time": 8}), "time", ring),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_honoured_is_refused_by_name(name: str) -> None:
    method, axis, data = REFUSED[name]
    ds = data()
    dims = {dim: dim for dim in DIMS if dim in ds.dims}
    who = "FourDVar" if name == "FourDVarNet from FourDVar" else type(method).__name__
    with pytest.raises(InputError, match=f"periodic: '{axis}' is not honoured by {who};"):
        xv.fit(ds.obs, method, ds.truth, dims=dims, periodic=(axis,), progress=False)


@pytest.mark.parametrize("verb", [xv.reconstruct, xv.plan, xv.cost_curve], ids=lambda v: v.__name__)
def test_the_other_verbs_refuse_too(verb: Any) -> None:
    dims = {"time": "time", "x": "x"}
    with pytest.raises(
        InputError, match="periodic: 'time' is not honoured by FourDVar; fix: leave"
    ):
        verb(ring().obs, FOURDVAR, dims=dims, periodic=("time",))


def test_a_method_of_your_own_that_says_nothing_refuses() -> None:
    with pytest.raises(InputError, match="periodic: 'x' is not honoured by Silent"):
        xv.reconstruct(waves().obs, Silent(), periodic=("x",))
    assert xv.reconstruct(waves().obs, Silent()).notnull().all()


LATER = {
    "LinearInterpolation": xv.LinearInterpolation(),
    "OptimalInterpolation": xv.OptimalInterpolation(length={"time": 2.0, "y": "2 km", "x": "2 km"}),
    "FourDVarNet": net(patch=WHOLE),
    "FourDVarNet from LinearInterpolation": net(
        patch={"time": 12, "y": 8, "x": 8},
        background=xv.LinearInterpolation(),
    ),
    "GibbsField": variational(xv.GibbsField(4, SHORT), patch={"time": 12}),
}


@pytest.mark.parametrize("name", LATER)
def test_a_circle_that_fit_was_not_told_of(name: str) -> None:
    ds = waves()
    model = xv.fit(ds.obs, LATER[name], ds.truth, progress=False)
    fix = r"fix: fit with periodic=\('x',\) too"
    with pytest.raises(InputError, match=f"periodic: 'x' is not honoured by .*; {fix}"):
        xv.reconstruct(ds.obs, model, periodic=("x",), progress=False)


@pytest.mark.parametrize("name", ["FourDVarNet", "GibbsField"])
def test_convolutions_that_go_round_are_for_circles_alone(name: str) -> None:
    ds = waves()
    model = xv.fit(ds.obs, LATER[name], ds.truth, periodic=("x",), progress=False)
    with pytest.raises(InputError, match=r"fitted on a circle along 'x'.*periodic=\('x',\)"):
        xv.reconstruct(ds.obs, model, progress=False)


def test_blocks_of_cells_must_go_round_evenly() -> None:
    ds = waves()
    with pytest.raises(InputError, match="coarsen is 3, and 'x' closes after 16 cells"):
        xv.fit(ds.obs, net(patch=WHOLE, coarsen=3), ds.truth, periodic=("x",))


def test_the_coarsening_that_is_chosen_goes_round_evenly() -> None:
    smooth = waves().isel(x=slice(14))
    phase = 2 * np.pi * smooth.x / 14
    truth = (np.cos(phase) + 0 * smooth.truth).transpose(*DIMS)
    obs = truth.where(smooth.obs.notnull())
    method = net(patch={"time": 12, "y": 8, "x": 14}, coarsen="auto")
    model = xv.fit(obs, method, truth, periodic=("x",), progress=False)
    assert 14 % model.parameters.settings["architecture"]["coarsen"] == 0


def test_nothing_comes_after_a_circle() -> None:
    year = xr.DataArray(np.arange(12.0), dims="time", coords={"time": np.arange(12)})
    with pytest.raises(InputError, match="'time' closes on itself, and a forecast goes on"):
        xv.forecast(year, xv.LinearInterpolation(), 2, periodic=("time",))
