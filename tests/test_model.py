"""The fitted model: one digest, whatever it was through; how it looks."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize

import xr4dvar as xv

METHODS = ["linear", "oi", "net"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "through",
    [
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: cloudpickle.loads(cloudpickle.dumps(model)),
        copy.copy,
        copy.deepcopy,
    ],
    ids=["pickle", "cloudpickle", "copy", "deepcopy"],
)
def test_copies_are_equal(
    method: str, through: object, models: dict[str, xv.Model], obs: xr.DataArray
) -> None:
    back = through(models[method])  # type: ignore[operator]
    assert back.digest == models[method].digest
    assert tokenize(back) == tokenize(models[method])
    np.testing.assert_array_equal(xv.reconstruct(obs, back), xv.reconstruct(obs, models[method]))


def test_tokens_are_the_same_in_another_process(
    models: dict[str, xv.Model], tmp_path: Path
) -> None:
    (tmp_path / "model").write_bytes(pickle.dumps(models["net"]))
    code = (
        "import pickle; from dask.base import tokenize;"
        "print(tokenize(pickle.load(open('model', 'rb'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == tokenize(models["net"])


def test_the_digest_tells_models_apart(models: dict[str, xv.Model]) -> None:
    net = models["net"]
    weights = dict(net.parameters.arrays)
    name = next(iter(weights))
    weights[name] = weights[name] + np.float32(1e-6)
    settings = {**net.parameters.settings, "patch": {"time": 5, "y": 8, "x": 8}}
    others = [
        replace(net, parameters=replace(net.parameters, arrays=weights)),
        replace(net, parameters=replace(net.parameters, settings=settings)),
        replace(net, seed=1),
        replace(net, method=replace(net.method, mirror=True)),  # type: ignore[type-var]
        replace(net, variables={"ssh": "cm"}),
        replace(net, background=models["linear"]),
        replace(net, background=None),
    ]
    assert len({net.digest, *(other.digest for other in others)}) == 1 + len(others)


def test_the_digest_is_not_of_how_it_was_trained(models: dict[str, xv.Model]) -> None:
    net = models["net"]
    assert replace(net, parameters=replace(net.parameters, history=None)).digest == net.digest


def test_order_of_weights_says_nothing(models: dict[str, xv.Model]) -> None:
    net = models["net"]
    turned = dict(reversed(net.parameters.arrays.items()))
    assert replace(net, parameters=replace(net.parameters, arrays=turned)).digest == net.digest


def test_how_it_looks(models: dict[str, xv.Model]) -> None:
    text = repr(models["net"])
    assert text.splitlines()[:2] == ["<xr4dvar.Model: FourDVarNet>", "  variables: ssh (m)"]
    assert "grid: time 1 day, y 0.25 degree, x 0.25 degree" in text
    weights = sum(array.size for array in models["net"].parameters.arrays.values())
    assert f"weights: {weights:,} numbers" in text
    assert "background: OptimalInterpolation" in text
    assert models["net"].digest in text


def test_how_it_looks_in_a_notebook(models: dict[str, xv.Model]) -> None:
    strange = replace(models["net"], variables={"<b>x</b>": "<i>"})
    html = strange._repr_html_()
    assert "&lt;b&gt;x&lt;/b&gt; (&lt;i&gt;)" in html
    assert "<b>" not in html
    found = models["oi"]._repr_html_()
    assert found.count("<tr>") == 5
    assert "lengths time 4, y 0.6, x 0.6" in found
