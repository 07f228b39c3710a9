from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.accessor import FourDVarAccessor
from xr4dvar.testing import raise_if_dask_computes


def verbs() -> list[str]:
    """A public function whose first argument is labelled data is a verb."""
    functions = {name: getattr(xv, name) for name in xv.__all__}
    firsts = {
        name: next(iter(inspect.signature(function).parameters.values()), None)
        for name, function in functions.items()
        if inspect.isfunction(function)
    }
    return sorted(n for n, first in firsts.items() if first and "Labelled" in str(first.annotation))


VERBS = verbs()
OI = xv.OptimalInterpolation(length={"time": "4D", "lat": 2.0, "lon": 2.0}, variance=1.0)


@pytest.fixture
def truth() -> xr.DataArray:
    time, lat, lon = np.arange(12.0), np.arange(10.0, 20.0), np.arange(30.0, 42.0)
    values = np.sin(time / 6)[:, None, None] * np.cos(lat / 4)[:, None] + np.sin(
        lon / 5 + time[0] / 9
    )
    return xr.DataArray(
        values.astype("float32"),
        dims=("time", "lat", "lon"),
        coords={"time": np.datetime64("2020-01-01", "ns") + time.astype("m8[D]"), "lat": lat}
        | {"lon": lon},
        name="ssh",
        attrs={"units": "m"},
    )


@pytest.fixture
def obs(truth: xr.DataArray) -> xr.DataArray:
    seen = np.random.default_rng(0).random(truth.shape) < 0.3
    return truth.where(xr.DataArray(seen, dims=truth.dims))


def without_first(function: Any) -> list[tuple[str, Any, Any, Any]]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [(p.name, p.kind, p.default, p.annotation) for p in parameters]


@pytest.mark.parametrize("verb", VERBS)
def test_signature_is_that_of_the_function(verb: str) -> None:
    method, function = getattr(FourDVarAccessor, verb), getattr(xv, verb)
    assert without_first(method) == without_first(function)
    assert (
        inspect.signature(method).return_annotation == inspect.signature(function).return_annotation
    )


@pytest.mark.parametrize("verb", VERBS)
def test_no_catch_all_and_help_that_helps(verb: str) -> None:
    method = getattr(FourDVarAccessor, verb)
    kinds = {parameter.kind for parameter in inspect.signature(method).parameters.values()}
    assert kinds.isdisjoint({inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL})
    assert f"See `xr4dvar.{verb}`." in method.__doc__
    assert ">>> " in method.__doc__


@pytest.mark.parametrize("verb", VERBS)
def test_every_argument_reaches_the_function(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each argument gets a value of its own, so that a swapped or forgotten one shows."""
    function = getattr(xv, verb)
    calls = []
    monkeypatch.setattr(xv, verb, lambda *args, **kwargs: calls.append((args, kwargs)) or "result")
    given = {name: f"<{name}>" for name, *_ in without_first(function)}
    obj = xr.DataArray(0.0)
    assert getattr(FourDVarAccessor(obj), verb)(**given) == "result"
    ((args, kwargs),) = calls
    bound = dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    first = next(iter(inspect.signature(function).parameters))
    assert bound.pop(first) is obj
    assert bound == given


def test_completion_shows_the_verbs_and_nothing_else(obs: xr.DataArray) -> None:
    for accessor in (obs.fourdvar, obs.to_dataset().fourdvar):
        assert [name for name in dir(accessor) if not name.startswith("_")] == VERBS


def test_the_usual_verbs_are_there() -> None:
    assert {"fit", "observed", "plan", "reconstruct", "score"} <= set(VERBS)


def test_chain_stays_lazy_until_asked(obs: xr.DataArray, truth: xr.DataArray) -> None:
    with raise_if_dask_computes():
        scores = (
            obs.sel(lat=slice(11, 19))
            .chunk(time=6)
            .fourdvar.reconstruct(OI)
            .fourdvar.score(truth.sel(lat=slice(11, 19)), metrics=("mu", "rmse"))
        )
    assert scores.rmse.chunks is not None
    eager = obs.sel(lat=slice(11, 19)).fourdvar.reconstruct(OI)
    expected = eager.fourdvar.score(truth.sel(lat=slice(11, 19)), metrics=("mu", "rmse"))
    xr.testing.assert_allclose(scores.compute(), expected, rtol=1e-5)
    assert 0 < float(expected.rmse) < 0.2


def test_dataset_of_several_variables(obs: xr.DataArray, truth: xr.DataArray) -> None:
    truths = xr.Dataset({"u": truth, "v": 3.0 * truth + 1.0}, attrs={"title": "currents"})
    both = xr.Dataset(
        {"u": obs, "v": truths.v.where(obs.roll(lon=3).notnull())}, attrs=truths.attrs
    )
    maps = both.fourdvar.reconstruct(OI)
    assert list(maps) == ["u", "v"]
    assert maps.attrs["title"] == "currents"
    xr.testing.assert_allclose(maps.u, both.u.fourdvar.reconstruct(OI), rtol=1e-5)
    xr.testing.assert_allclose(maps.v, both.v.fourdvar.reconstruct(OI), rtol=1e-5)
    scores = maps.fourdvar.score(truths, metrics="rmse")
    assert scores.variable.values.tolist() == ["u", "v"]
    assert set(both.fourdvar.observed().data_vars) == {"u", "v"}
    assert both.fourdvar.plan(OI).model_calls == 1


def test_nothing_is_cached(obs: xr.DataArray, truth: xr.DataArray) -> None:
    accessor = obs.fourdvar
    accessor.reconstruct(OI)
    assert not hasattr(accessor, "__dict__")
    assert FourDVarAccessor.__slots__ == ("_obj",)
    assert accessor._obj is obs


def test_changes_of_the_object_are_seen(obs: xr.DataArray) -> None:
    before = obs.fourdvar.observed().sum()
    obs[0] = np.nan
    assert obs.fourdvar.observed().sum() < before


@pytest.mark.parametrize("kind", ["DataArray", "Dataset"])
def test_pickle_and_copy_after_use(obs: xr.DataArray, kind: str) -> None:
    data = obs if kind == "DataArray" else obs.to_dataset()
    expected = data.fourdvar.reconstruct(OI)
    plain = len(pickle.dumps(data.copy()))
    assert len(pickle.dumps(data)) < plain + 500
    for other in (pickle.loads(pickle.dumps(data)), copy.copy(data), copy.deepcopy(data)):
        assert other.fourdvar._obj is other
        assert other.fourdvar.reconstruct(OI).equals(expected)
    accessor = pickle.loads(pickle.dumps(data.fourdvar))
    assert accessor.reconstruct(OI).equals(expected)


def test_chain_through_fit(obs: xr.DataArray, truth: xr.DataArray) -> None:
    model = obs.chunk(time=5).fourdvar.fit(xv.OptimalInterpolation(scales=1), truth)
    linear = obs.fourdvar.reconstruct(xv.LinearInterpolation())
    tuned = obs.fourdvar.reconstruct(model)
    score = [maps.fourdvar.score(truth, metrics="rmse").rmse.item() for maps in (tuned, linear)]
    assert score[0] < score[1]
