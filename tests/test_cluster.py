"""Reconstruction on worker processes: the same field, weights sent once, a worker may die."""

from __future__ import annotations

import os
import pickle
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import dask
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import xr4dvar as xv

distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.slow,
    # a worker that is killed leaves its sockets to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """As dask's workers have: sums in another order are other sums to 1e-4 after an OI."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def obs() -> xr.DataArray:
    rng = np.random.default_rng(0)
    values = np.where(rng.random((80, 24, 20)) < 0.3, rng.normal(size=(80, 24, 20)), np.nan)
    return xr.DataArray(
        values.astype("float32"),
        dims=("time", "lat", "lon"),
        coords={
            "time": pd.date_range("2012-10-01", periods=80),
            "lat": ("lat", 30 + 0.1 * np.arange(24), {"units": "degrees_north"}),
            "lon": ("lon", 300 + 0.1 * np.arange(20), {"units": "degrees_east"}),
        },
        name="ssh",
    ).chunk(time=8, lat=12)


@pytest.fixture(scope="module")
def model(obs: xr.DataArray) -> xv.Model:
    """A 4DVarNet on top of OI: two stages, each with a model to send."""
    method = xv.FourDVarNet(
        background=xv.OptimalInterpolation(length={"time": "1D", "lat": 0.3, "lon": 0.3}),
        patch={"time": 7, "lat": 16, "lon": 16},
        steps=1,
        training=xv.Training(steps=2, steps_per_epoch=1, batch_size=1),
    )
    return xv.fit(obs, method, progress=False)


@pytest.fixture
def cluster() -> Iterator[Any]:
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        yield cluster


def test_same_field_and_weights_sent_once_a_worker(
    obs: xr.DataArray, model: xv.Model, cluster: Any
) -> None:
    def count_unpickled() -> None:
        from xr4dvar.verbs._patch_work import PatchWork

        def setstate(self: PatchWork, state: dict[str, Any]) -> None:
            self.__dict__.update(state)
            PatchWork.unpickled += 1  # type: ignore[attr-defined]

        PatchWork.unpickled = 0  # type: ignore[attr-defined]
        PatchWork.__setstate__ = setstate  # type: ignore[attr-defined]

    def unpickled() -> int:
        from xr4dvar.verbs._patch_work import PatchWork

        return PatchWork.unpickled  # type: ignore[attr-defined]

    client = distributed.get_client()
    client.run(count_unpickled)
    maps = xv.reconstruct(obs, model)
    weights = sum(array.nbytes for array in model.parameters.arrays.values())
    heavy = [n for n in map(len, map(pickle.dumps, dict(maps.data.dask).values())) if n > weights]
    assert len(heavy) == 1
    result = maps.compute()
    # once for each stage; a worker that no tile of a stage ran on may do without
    assert set(client.run(unpickled).values()) <= {1, 2}
    expected = maps.compute(scheduler="threads")
    xr.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def test_a_worker_may_be_killed_half_way(obs: xr.DataArray, model: xv.Model, cluster: Any) -> None:
    maps = xv.reconstruct(obs, model)
    (optimised,) = dask.optimize(maps)  # in which a single tile is fused with what it goes into
    tiles = {key for key in optimised.__dask_graph__() if "-tile" in str(key)}
    workers = distributed.get_client().run(os.getpid)

    class KillHalfWay(distributed.SchedulerPlugin):
        done: ClassVar[Counter[Any]] = Counter()
        killed: str | None = None

        def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
            if finish != "memory" or "-tile" not in str(key):
                return
            self.done[key] += 1
            if self.killed is None and len(self.done) >= len(tiles) // 2:
                self.killed = kwargs["worker"]
                os.kill(workers[self.killed], signal.SIGKILL)

    plugin = KillHalfWay()
    cluster.scheduler.add_plugin(plugin)
    result = maps.compute()
    assert plugin.killed is not None
    assert max(plugin.done.values()) > 1  # what the dead worker held was solved again
    assert len(plugin.done) == len(tiles)
    assert workers.keys() != distributed.get_client().run(os.getpid).keys()
    xr.testing.assert_allclose(result, maps.compute(scheduler="threads"), rtol=0, atol=1e-6)
