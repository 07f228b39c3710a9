"""The numbers of `plan` are those of `reconstruct`."""

from __future__ import annotations

import tracemalloc
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from dask.core import flatten

import xr4dvar as xv
from xr4dvar.model import Model
from xr4dvar.tiling import make_plan, run_dask, tiles
from xr4dvar.verbs._patch_work import PatchWork

OI = xv.OptimalInterpolation(length={"time": "1D", "lat": 0.3, "lon": 0.3})
CHUNKS = [
    {"time": 40, "lat": 24, "lon": 20},  # one chunk
    {"time": 12, "lat": 24, "lon": 20},
    {"time": 3, "lat": 24, "lon": 20},  # merged
    {"time": 10, "lat": 12, "lon": 20},
]


def observations(dtype: str = "float32") -> xr.DataArray:
    rng = np.random.default_rng(0)
    values = np.where(rng.random((40, 24, 20)) < 0.3, rng.normal(size=(40, 24, 20)), np.nan)
    return xr.DataArray(
        values.astype(dtype),
        dims=("time", "lat", "lon"),
        coords={
            "time": pd.date_range("2012-10-01", periods=40),
            "lat": ("lat", 30 + 0.1 * np.arange(24), {"units": "degrees_north"}),
            "lon": ("lon", 300 + 0.1 * np.arange(20), {"units": "degrees_east"}),
        },
        name="ssh",
    )


@pytest.fixture(scope="module")
def network() -> Model:
    """A 4DVarNet after two steps, with OI as its background."""
    method = xv.FourDVarNet(
        background=OI,
        patch={"time": 7, "lat": 16, "lon": 16},
        widths=(4, 4, 4),
        steps=1,
        training=xv.Training(steps=2, steps_per_epoch=1, batch_size=1),
    )
    return xv.fit(observations(), method, progress=False)


def models(network: Model) -> dict[str, Any]:
    return {"one stage": OI, "two stages": network}


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("stages", ["one stage", "two stages"])
def test_tasks_are_those_of_the_graph(chunks: dict[str, int], stages: str, network: Model) -> None:
    obs, model = observations().chunk(chunks), models(network)[stages]
    plan = xv.plan(obs, model)
    maps = xv.reconstruct(obs, model)
    added = len(maps.__dask_graph__()) - len(obs.__dask_graph__())
    assert plan.tasks == added
    assert plan.chunks == maps.data.npartitions


@pytest.mark.parametrize("chunks", [None, *CHUNKS])
@pytest.mark.parametrize("stages", ["one stage", "two stages"])
def test_model_calls_are_counted(
    chunks: dict[str, int] | None, stages: str, network: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def copy(work: PatchWork, patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
        calls.append(len(origins))
        return patches[0][:, np.newaxis]

    monkeypatch.setattr(PatchWork, "__call__", copy)
    obs, model = observations(), models(network)[stages]
    obs = obs if chunks is None else obs.chunk(chunks)
    plan = xv.plan(obs, model)
    xv.reconstruct(obs, model, progress=False).compute(scheduler="synchronous")
    assert plan.model_calls == sum(calls)


def test_peak_bytes_are_what_the_largest_task_takes() -> None:
    plan = make_plan((12, 200, 200), (12, 100, 100), (12, 50, 50))
    x = da.zeros(plan.shape, chunks=(12, 100, 100), dtype="float32")
    layer = dict(run_dask([x], plan, _copy, batch_size=2).dask)
    blocks, taken = set(flatten(x.__dask_keys__())), []
    for task in (task for key, task in layer.items() if key[0].endswith("-tile")):
        data: dict[Any, Any] = {}
        for key in task.dependencies:
            data[key] = np.zeros((12, 100, 100), "float32") if key in blocks else layer[key]()
        tracemalloc.start()
        task(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        taken.append(peak + sum(getattr(one, "nbytes", 0) for one in data.values()))
    assert max(taken) == pytest.approx(tiles(plan, x.chunks, batch_size=2).peak_bytes, rel=0.15)


def _copy(patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
    return patches[0][:, np.newaxis].copy()
