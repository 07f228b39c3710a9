"""The damping rule: downhill only, sample by sample, as well as the model foretells, to an end."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from xr4dvar.solvers.levenberg_marquardt import MOST, TIGHTEN, Damping, foretold


def start(count: int, cost: float = 2.0) -> Damping:
    return Damping.start(torch.full((count,), cost, dtype=torch.float64), 1.0)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_only_what_lowers_the_cost_is_taken():
    trial = numbers(1.0, 3.0, math.nan, math.inf)
    better, after = start(4).judge(trial, torch.ones(4), 1e-6)
    assert better.tolist() == [True, False, False, False]
    assert after.cost.tolist() == [1.0, 2.0, 2.0, 2.0]
    assert (after.value < 1).tolist() == better.tolist()
    assert not after.converged.any()


def test_a_small_gain_is_the_end_and_a_refusal_is_not():
    better, after = start(2, 1.0).judge(numbers(1.0 - 1e-7, 2.0), torch.ones(2), 1e-6)
    assert better.tolist() == [True, False]
    assert after.converged.tolist() == [True, False]
    # what has converged stays where it is
    better, _ = after.judge(torch.zeros(2), torch.ones(2), 1e-6)
    assert better.tolist() == [False, True]


def test_a_gain_that_is_foretold_to_be_small_is_the_end():
    """At a minimum every step is refused for rounding; nothing is gained by trying smaller ones."""
    better, after = start(2, 1.0).judge(numbers(1.0, 1.0), numbers(1e-7, 1e-5), 1e-6)
    assert better.tolist() == [False, False]
    assert after.converged.tolist() == [True, False]


@pytest.mark.parametrize(
    ("gained", "becomes"), [(1.0, "less"), (0.5, "same"), (0.2, "more"), (2.0, "less")]
)
def test_damping_follows_how_well_the_step_was_foretold(gained: float, becomes: str):
    better, after = start(1).judge(numbers(2.0 - gained), numbers(1.0), 1e-6)
    assert better.all()
    value = float(after.value)
    assert {"less": value < 0.5, "same": value == 1.0, "more": 1.0 < value < 2.0}[becomes]


def test_refusals_in_a_row_tighten_faster_and_faster():
    damping, values = start(1), []
    for _ in range(3):
        _, damping = damping.judge(numbers(3.0), numbers(1.0), 1e-6)
        values.append(float(damping.value))
    assert values == [TIGHTEN, TIGHTEN**3, TIGHTEN**6]
    _, damping = damping.judge(numbers(1.5), numbers(0.5), 1e-6)  # until one is taken
    assert float(damping.tighten) == TIGHTEN


def test_a_sample_that_nothing_helps_stops():
    damping, steps = start(1, 1.0), 0
    while not damping.converged.all():
        _, damping = damping.judge(numbers(2.0), numbers(1.0), 1e-6)
        steps += 1
    assert steps < 20
    assert float(damping.value) == MOST


def test_samples_are_taken_out_and_put_back_whole():
    _, damping = start(3).judge(numbers(1.0, 3.0, 3.0), torch.ones(3), 1e-6)
    index = torch.tensor([2, 0])
    _, part = damping.take(index).judge(numbers(3.0, 0.5), torch.ones(2), 1e-6)
    _, whole = damping.judge(numbers(0.5, 9.0, 3.0), torch.ones(3), 1e-6)
    put = damping.put(index, part)
    for name in ("value", "cost", "converged", "tighten"):
        found, own = getattr(put, name), getattr(damping, name)
        torch.testing.assert_close(found[index], getattr(whole, name)[index])
        assert found[1] == own[1]


def test_what_is_foretold_is_the_fall_of_the_quadratic_model():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    hessian = root @ root.mT
    gradient = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    held = 0.3 * hessian.diagonal(dim1=-2, dim2=-1)
    change = torch.linalg.solve(hessian + torch.diag_embed(held), gradient)
    bent = (change[:, None] @ hessian @ change[..., None]).flatten()
    expected = (gradient * change).sum(1) - 0.5 * bent
    torch.testing.assert_close(foretold(gradient, change, held), expected)
