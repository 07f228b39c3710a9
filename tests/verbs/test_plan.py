"""The verb plan: what reconstruct would do, without doing it."""

from __future__ import annotations

import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.testing import raise_if_dask_computes


def test_nothing_is_computed_or_read(models: dict[str, xv.Model], obs: xr.DataArray) -> None:
    with raise_if_dask_computes():
        plan = obs.chunk(time=6).fourdvar.plan(models["net"])
        text, table = repr(plan), plan._repr_html_()
    assert plan.method == "FourDVarNet"
    assert plan.patch == {"time": 6, "lat": 8, "lon": 8}
    assert plan.stride == {"time": 3, "lat": 5, "lon": 5}
    assert plan.coverage == 1.0
    assert plan.chunks == 4
    assert plan.peak_bytes > 0
    for words in (
        "FourDVarNet",
        "time 6, lat 8, lon 8",
        "100 %",
        f"{plan.model_calls}",
        "4 chunks",
    ):
        assert words in text
        assert words in table


def test_calls_of_all_stages_are_counted(models: dict[str, xv.Model], obs: xr.DataArray) -> None:
    alone = xv.plan(obs, models["oi"]).model_calls
    assert xv.plan(obs, models["net"]).model_calls == 7 * 2 * 3 + alone


def test_members_are_patches_of_their_own(models: dict[str, xv.Model], obs: xr.DataArray) -> None:
    one = xv.plan(obs, models["net"])
    five = xv.plan(obs.expand_dims(member=5), models["net"])
    assert five.model_calls == 5 * one.model_calls


def test_arrays_in_memory_have_no_tasks(models: dict[str, xv.Model], obs: xr.DataArray) -> None:
    plan = xv.plan(obs, models["net"])
    assert (plan.tasks, plan.chunks) == (0, 0)
    assert "chunks" not in repr(plan)


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ({"time": 1}, ["time"]),
        ({"time": 1, "lat": 1, "lon": 1}, ["time", "lat", "lon"]),
        ({"time": 24}, []),
    ],
)
def test_chunks_that_split_nothing_sensibly(
    chunks: dict[str, int], words: list[str], models: dict[str, xv.Model], obs: xr.DataArray
) -> None:
    """The advice names each dimension, and is not repeated to who follows it."""
    plan = xv.plan(obs.chunk(chunks), models["net"])
    advice = " ".join(plan.advice)
    assert all(f"{dim}=" in advice for dim in words)
    assert bool(advice) == bool(words)
    assert all(text in repr(plan) for text in plan.advice)


def test_a_method_that_needs_no_fit(obs: xr.DataArray, oi: xv.OptimalInterpolation) -> None:
    assert xv.plan(obs, oi).model_calls == xv.plan(obs, xv.fit(obs, oi)).model_calls
