"""The damping rule: downhill only, sample by sample, and an end."""

from __future__ import annotations

import math

import torch

from xr4dvar.solvers.levenberg_marquardt import MOST, Damping


def test_only_what_lowers_the_cost_is_taken():
    start = Damping.start(torch.tensor([2.0, 2.0, 2.0, 2.0]), 1.0)
    trial = torch.tensor([1.0, 3.0, math.nan, math.inf])
    better, after = start.judge(trial, 1e-6)
    assert better.tolist() == [True, False, False, False]
    assert after.cost.tolist() == [1.0, 2.0, 2.0, 2.0]
    assert (after.value < 1).tolist() == better.tolist()
    assert not after.converged.any()


def test_a_small_gain_is_the_end_and_a_refusal_is_not():
    start = Damping.start(torch.tensor([1.0, 1.0]), 1.0)
    better, after = start.judge(torch.tensor([1.0 - 1e-7, 2.0]), 1e-6)
    assert better.tolist() == [True, False]
    assert after.converged.tolist() == [True, False]
    # what has converged stays where it is
    better, _ = after.judge(torch.zeros(2), 1e-6)
    assert better.tolist() == [False, True]


def test_a_sample_that_nothing_helps_stops():
    damping = Damping.start(torch.tensor([1.0]), 1.0)
    steps = 0
    while not damping.converged.all():
        _, damping = damping.judge(torch.tensor([2.0]), 1e-6)
        steps += 1
    assert steps < 20
    assert float(damping.value) > MOST
