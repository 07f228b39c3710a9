"""A training run that was cut off goes on to the very same weights."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tests.training import regression
from tests.training.regression import run
from tests.training.test_loop import equal
from xr4dvar.errors import InputError
from xr4dvar.training import checkpoint

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def uninterrupted():
    return run()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.checkpoint"


class Stop(Exception):
    """What a user's Ctrl-C or a machine that goes down may look like."""


def stop_in(function, call):
    calls = []

    def stopping(*args):
        calls.append(args)
        if len(calls) == call:
            raise Stop
        return function(*args)

    return stopping


def assert_same_run(found, expected):
    assert equal(found[0], expected[0])
    assert found[1].drop_vars("seconds").identical(expected[1].drop_vars("seconds"))
    assert (found[1].seconds.diff("epoch") > 0).all()


@pytest.mark.parametrize(
    "part",
    [
        {"sample": stop_in(regression.sample, 3)},  # before the first checkpoint
        {"sample": stop_in(regression.sample, 36)},
        {"sample": stop_in(regression.sample, 31)},
        {"loss": stop_in(regression.loss, 60)},  # in the last step of all
        {"validate": stop_in(regression.validate, 4)},
    ],
    ids=["first epoch", "middle of an epoch", "start of an epoch", "last step", "validation"],
)
def test_after_a_stop_the_same_call_ends_with_the_same_weights(path, uninterrupted, part):
    with pytest.raises(Stop):
        run(checkpoint=path, **part)
    assert_same_run(run(checkpoint=path), uninterrupted)


def test_two_stops(path, uninterrupted):
    for call in (25, 17):
        with pytest.raises(Stop):
            run(checkpoint=path, sample=stop_in(regression.sample, call))
    assert_same_run(run(checkpoint=path), uninterrupted)


def test_it_really_goes_on_and_does_not_start_again(path):
    with pytest.raises(Stop):
        run(checkpoint=path, sample=stop_in(regression.sample, 36))
    steps = []

    def sample(step, rank):
        steps.append(step)
        return regression.sample(step, rank)

    run(checkpoint=path, sample=sample)
    assert steps == list(range(30, 60))


def test_a_finished_run_is_not_repeated(path, uninterrupted):
    run(checkpoint=path)
    assert_same_run(run(checkpoint=path, sample=None), uninterrupted)


KILLED = """
import os, signal, sys
from tests.training import regression

def sample(step, rank):
    if step == 47:
        os.kill(os.getpid(), signal.SIGKILL)
    return regression.sample(step, rank)

regression.run(checkpoint=sys.argv[1], sample=sample)
"""


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL")
def test_after_sigkill_the_same_call_ends_with_the_same_weights(path, uninterrupted):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], cwd=REPOSITORY, check=False, timeout=300
    )
    assert killed.returncode == -signal.SIGKILL
    assert_same_run(run(checkpoint=path), uninterrupted)


def test_nothing_else_is_left_behind(path):
    run(checkpoint=path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_without_a_checkpoint_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(steps=10)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_fit(path):
    run(checkpoint=path, steps=10)
    before = path.read_bytes()
    with pytest.raises(InputError, match="is of another fit; fix: repeat the same call"):
        run(checkpoint=path, steps=10, identity={"toy": 2})
    assert path.read_bytes() == before


class Bomb:
    """A pickle that writes a file when it is opened."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


@pytest.mark.parametrize("content", ["half", "text", "tensor", "pickle", "empty"])
def test_a_checkpoint_that_is_none(path, tmp_path, content):
    run(checkpoint=path, steps=10)
    whole = path.read_bytes()
    if content == "tensor":
        torch.save({"weight": torch.zeros(3)}, path)
    else:
        path.write_bytes(
            {
                "half": whole[: len(whole) // 2],
                "text": b"hello",
                "pickle": pickle.dumps(Bomb(tmp_path / "boom")),
                "empty": b"",
            }[content]
        )
    with pytest.raises(InputError, match=r"cannot be read .*; fix: delete it to start again"):
        run(checkpoint=path)
    assert not (tmp_path / "boom").exists()


def test_it_is_plain_safetensors(path):
    """No pickle: other programs can read it, and reading it runs no code."""
    run(checkpoint=path, steps=10)
    with safe_open(path, framework="numpy") as file:
        assert json.loads(file.metadata()["state"])["pairs"]
        assert len(list(file.keys())) > 4


def test_any_state_comes_back_as_it_was(path):
    state = {
        "state": {0: {"step": torch.tensor(3.0), "m": torch.randn(2, 3).T}, 1: {}},
        "rows": [{"loss": 0.1 + 0.2, "n": 3}, {"loss": float("inf")}],
        "flag": True,
        "none": None,
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "count": torch.tensor(7),
        "empty": torch.zeros(0),
    }
    path.write_bytes(checkpoint._to_bytes("who", state))
    identity, back = checkpoint._read(path)
    assert identity == "who"
    assert back["rows"] == state["rows"]
    assert (back["flag"], back["none"]) == (True, None)
    assert list(back["state"]) == [0, 1]
    pairs = [(back[k], state[k]) for k in ("half", "count", "empty")]
    for found, expected in [*pairs, (back["state"][0]["m"], state["state"][0]["m"])]:
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)


@pytest.mark.parametrize("count", [60, pytest.param(3_000, marks=pytest.mark.slow)])
def test_a_checkpoint_of_which_anything_was_changed(path, uninterrupted, count):
    """It is refused, or nothing of it was changed but what has no meaning."""
    run(checkpoint=path)
    content = path.read_bytes()
    generator = np.random.default_rng(count)
    refused = 0
    for _ in range(count):
        changed = bytearray(content)
        first = int(generator.integers(len(content)))
        match generator.integers(3):
            case 0:
                changed[first] ^= 1 << int(generator.integers(8))
            case 1:
                del changed[first:]
            case 2:
                del changed[first : first + int(generator.integers(1, 9))]
        path.write_bytes(changed)
        try:
            found = run(checkpoint=path, sample=None)
        except InputError:
            refused += 1
        else:
            assert_same_run(found, uninterrupted)
    assert refused > 0.9 * count
