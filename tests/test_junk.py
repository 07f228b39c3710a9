"""Whatever an argument is given, it is of use or refused by one `InputError`: nothing is raw.

Every argument of every verb and every setting of every configuration is given values of wrong
types and sizes, one at a time, in a call that works otherwise and is carried out to its end.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv

#: What anybody may give by mistake.
JUNK: dict[str, Any] = {
    "None": None,
    "text": "x",
    "nan": float("nan"),
    "inf": float("inf"),
    "minus one": -1,
    "list": [1, 2],
    "object": object(),
    "True": True,
    "bytes": b"x",
    "dict": {1: 2},
    "array": np.array([1.0, 2.0]),
    "number in an array": np.array(1.5),
    "rows of different lengths": [[1.0, 2.0], [3.0]],
    "complex": 1j,
    "no float can hold it": 10**400,
    "duration": np.timedelta64(1, "D"),
    "class": int,
    "field": xr.DataArray([1.0, 2.0], dims="q"),
}


def _maps() -> tuple[xr.DataArray, xr.DataArray]:
    day, row, column = np.ogrid[:6, :5, :5]
    truth = xr.DataArray(
        np.sin(day / 2 + row / 2 + column / 3).astype("float32"),
        dims=("time", "lat", "lon"),
        coords={
            "time": xr.date_range("2014-01-01", periods=6),
            "lat": ("lat", 30 + 0.25 * np.arange(5), {"units": "degrees_north"}),
            "lon": ("lon", 0.25 * np.arange(5), {"units": "degrees_east"}),
        },
        name="ssh",
    )
    return truth.where(np.random.default_rng(0).random(truth.shape) < 0.6), truth


OBS, TRUTH = _maps()
POINTS = OBS.stack(obs=("time", "lat", "lon")).dropna("obs").reset_index("obs")
SERIES = xr.DataArray(
    np.random.default_rng(1).normal(1.5, 0.3, (6, 4, 2)),
    dims=("window", "time", "component"),
    coords={"time": 0.1 * np.arange(4), "component": ("component", ["u", "v"], {"axis": "X"})},
    name="state",
)
SEEN = SERIES.where(np.random.default_rng(2).random(SERIES.shape) < 0.7)

OI = xv.OptimalInterpolation(
    length={"time": "4D", "lat": 0.6, "lon": 0.6}, variance=0.5, error_variance=0.01
)
SHORT = xv.Training(steps=1, steps_per_epoch=1, batch_size=1)
NET = xv.FourDVarNet(
    background=xv.LinearInterpolation(), patch={"time": 3, "lat": 4, "lon": 4}, widths=(2,),
    prior_width=2, steps=1, coarsen=1, training=SHORT,
)  # fmt: skip
DECAY = xv.DiscreteModel(lambda x: 0.9 * x, dt=0.1)
FOURDVAR = xv.FourDVar(
    DECAY, error_variance=2.0, starts=1, steps=2, spin_up=0, climate=4,
    background_state=[1.0, 2.0], background_error_variance=1.0,
)  # fmt: skip
EOFS = xv.Variational(xv.EOFs(2), error_variance=2.0, steps=2)


def _map(method: Any) -> None:
    xv.reconstruct(OBS, method, error=True)
    xv.fit(OBS, method)


def _train(method: Any) -> None:
    xv.fit(OBS, method, TRUTH, device="cpu")


def _learn(method: Any) -> None:
    xv.reconstruct(SEEN, xv.fit(SEEN, method, SERIES, device="cpu"))


def _assimilate(method: Any) -> None:
    xv.reconstruct(SEEN, method)


def _dynamics(model: Any) -> None:
    _assimilate(replace(FOURDVAR, dynamics=model))


def _learned(model: Any) -> None:
    bounds = {"background_state": None, "background_error_variance": None}
    xv.fit(SEEN, replace(FOURDVAR, dynamics=model, **bounds), SERIES)


def _prior(prior: Any) -> None:
    _learn(replace(EOFS, prior=prior))


#: A configuration that works, and a call that uses all of it.
CONFIGURATIONS: list[tuple[Any, Callable[[Any], None]]] = [
    (OI, _map),
    (NET, _train),
    (SHORT, lambda training: _train(replace(NET, training=training))),
    (FOURDVAR, _assimilate),
    (xv.CycledFourDVar(FOURDVAR, window=3, shift=1), _assimilate),
    (xv.DataAssimilationNetwork(width=2, training=replace(SHORT, batch_size=99)), _learn),
    (EOFS, _learn),
    (xv.EOFs(2), _prior),
    (xv.AutoEncoder(2, 2, SHORT), _prior),
    (xv.GibbsField(2, SHORT), _prior),
    (
        xv.Denoiser((2,), 1, SHORT),
        lambda prior: _learn(replace(EOFS, prior=prior, solver="plug_and_play")),
    ),
    (xv.Lorenz96(dt=0.1), lambda model: _five(model)),
    (xv.Lorenz63(dt=0.1), lambda model: _three(model)),
    (xv.ODE(lambda x: -x, dt=0.1), _dynamics),
    (DECAY, _dynamics),
    (xv.QuadraticODE(0.1), _learned),
    (xv.Corrected(xv.ODE(lambda x: -x, dt=0.1), width=2), _learned),
]


def _components(count: int) -> xr.DataArray:
    values = np.linspace(1.0, 2.0, 4 * count).reshape(4, count)
    return xr.DataArray(
        values, dims=("time", "component"), coords={"time": 0.1 * np.arange(4)}, name="l"
    )


def _three(model: Any) -> None:
    _states(model, 3)


def _five(model: Any) -> None:
    _states(model, 5)


def _states(model: Any, count: int) -> None:
    method = replace(FOURDVAR, dynamics=model, background_state=[1.5] * count)
    xv.reconstruct(_components(count), method, dims={"time": "time", "x": "component"})


def refused_or_done(call: Callable[[], object]) -> str:
    """Carry a call out; nothing but an `InputError` with a fix may come of it."""
    problems: tuple[tuple[str, str], ...] = ()
    try:
        call()
    except xv.InputError as error:
        problems = error.problems
    assert all(what and fix for what, fix in problems)
    return "refused" if problems else "done"


@pytest.mark.parametrize(
    ("base", "use", "name"),
    [
        pytest.param(base, use, field.name, id=f"{type(base).__name__}-{field.name}")
        for base, use in CONFIGURATIONS
        for field in fields(base)
    ],
)
def test_settings(base: Any, use: Callable[[Any], None], name: str) -> None:
    use(base)
    found = {
        what: refused_or_done(lambda value=value: use(replace(base, **{name: value})))
        for what, value in JUNK.items()
    }
    assert found["object"] == found["complex"] == found["rows of different lengths"] == "refused"


EACH = {
    "fit": (xv.fit, {"obs": OBS, "method": OI, "target": TRUTH}),
    "fit of a network": (xv.fit, {"obs": OBS, "method": NET, "target": TRUTH, "device": "cpu"}),
    "reconstruct": (xv.reconstruct, {"obs": OBS, "model": OI}),
    "reconstruct with errors": (xv.reconstruct, {"obs": OBS, "model": OI, "error": True}),
    "reconstruct members": (xv.reconstruct, {"obs": OBS, "model": OI, "ensemble": 2}),
    "reconstruct a Dataset": (xv.reconstruct, {"obs": OBS.to_dataset(), "model": OI}),
    "reconstruct lazily": (xv.reconstruct, {"obs": OBS.chunk(time=3), "model": OI}),
    "forecast": (xv.forecast, {"obs": SEEN, "model": FOURDVAR, "steps": 2}),
    "plan": (xv.plan, {"obs": OBS, "model": OI}),
    "score": (xv.score, {"reconstruction": TRUTH, "truth": TRUTH}),
    "score of a Dataset": (
        xv.score, {"reconstruction": TRUTH.to_dataset(), "truth": TRUTH.to_dataset()}
    ),
    "cost_curve": (xv.cost_curve, {"obs": SEEN, "model": FOURDVAR}),
    "hold_out": (xv.hold_out, {"obs": OBS}),
    "map_points": (xv.map_points, {"obs": POINTS, "model": OI, "grid": TRUTH}),
    "observed": (xv.observed, {"obs": OBS}),
    "lorenz63": (xv.datasets.lorenz63, {"windows": 1, "steps": 20}),
    "lorenz96": (xv.datasets.lorenz96, {"windows": 1, "steps": 2}),
}  # fmt: skip
_ARGUMENTS = [
    pytest.param(what, name, id=f"{what}-{name}")
    for what, (verb, _) in EACH.items()
    for name in inspect.signature(verb).parameters
]


@pytest.mark.parametrize(("what", "name"), _ARGUMENTS)
def test_arguments(what: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # checkpoint="x" is a good name
    verb, usual = EACH[what]
    found = {
        junk: refused_or_done(lambda value=value: _computed(verb(**{**usual, name: value})))
        for junk, value in JUNK.items()
    }
    assert found["object"] == found["complex"] == found["rows of different lengths"] == "refused"


def _computed(result: Any) -> Any:
    return result.compute() if isinstance(result, xr.DataArray | xr.Dataset) else result


def test_the_accessor_has_the_arguments_of_the_verbs() -> None:
    for verb in (xv.fit, xv.reconstruct, xv.forecast, xv.map_points, xv.cost_curve, xv.score):
        own = inspect.signature(getattr(OBS.fourdvar, verb.__name__)).parameters
        assert list(own) == list(inspect.signature(verb).parameters)[1:]


@pytest.mark.parametrize("value", JUNK.values(), ids=JUNK)
def test_files_and_options(value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = xv.fit(OBS, xv.LinearInterpolation())
    refused_or_done(lambda: model.save(value))
    if not isinstance(value, bool):
        assert refused_or_done(lambda: model.save("new", overwrite=value)) == "refused"
    if not isinstance(value, str):  # "x" was saved just now
        with pytest.raises(xv.ModelFileError):
            xv.load(value)
    for name in ("progress", "device"):
        with xv.set_options():
            refused_or_done(lambda name=name: xv.set_options(**{name: value}))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: xv.reconstruct(OBS, replace(OI, variance="x")), "variance is 'x'; fix: give a"),
        (lambda: xv.reconstruct(OBS, replace(OI, mean=None)), "mean is None; fix: use 'map', 'con"),
        (lambda: xv.reconstruct(OBS, replace(OI, mean=[1, 2])), r"mean is \[1, 2\]; fix: use"),
        (lambda: xv.reconstruct(OBS, replace(OI, mean=np.nan)), "mean is nan; fix"),
        (lambda: xv.reconstruct(OBS, OI, error="yes"), "error is 'yes'; fix: use True or False"),
        (lambda: xv.reconstruct(OBS, OI, device="meta"), "device 'meta' is unknown; fix: use"),
        (lambda: xv.score(OBS, OBS.values), r"truth is a ndarray.*; fix: .*\.copy\(data=truth\)"),
        (lambda: xv.load(None), "path is None; fix: give the name of a file"),
        (lambda: xv.load(b""), "path is b''; fix: give the name of a file"),
        (lambda: xv.load(""), "path is ''; fix: give the name of a file"),
        (lambda: xv.load("\0"), "path is .*; fix: give the name of a file"),
        (lambda: xv.load("m" * 5000), "path is a str; fix: give the name of a file"),
        (lambda: xv.fit(OBS, NET, checkpoint="m" * 5000), "checkpoint is a str; fix: give the"),
        (lambda: xv.fit(OBS, NET, checkpoint="a\0b"), "checkpoint is .*; fix: give the name of a"),
        (lambda: xv.map_points(POINTS, OI, TRUTH, error="yes"), "error is 'yes'; fix: use True"),
        (lambda: xv.fit(OBS, OI, precision="x", device="cpu"), "precision='x'"),
    ],
)  # fmt: skip
def test_what_is_said(call: Callable[[], object], words: str) -> None:
    with pytest.raises(xv.InputError, match=words):
        call()


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    """Whatever numpy type a loop or an array gives them: the same model, and a file of it."""
    method = xv.Variational(
        xv.EOFs(np.int64(2)),
        error_variance=np.float32(2.0),
        patch={"time": np.int64(4)},
        steps=np.int16(2),
    )
    model = xv.fit(SEEN, method, SERIES, seed=np.int64(3))
    model.save(tmp_path / "m")
    plain = xv.fit(SEEN, replace(EOFS, patch={"time": 4}), SERIES, seed=3)
    assert xv.load(tmp_path / "m").digest == model.digest == plain.digest
