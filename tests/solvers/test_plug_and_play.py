"""Plug and play: with the Wiener filter of a Gaussian field it is optimal interpolation."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import BackgroundTerm, Cost, ObservationTerm, Variance
from xr4dvar.errors import InputError
from xr4dvar.solvers import PlugAndPlay, minimise

SHAPE, CELLS, R = (1, 1, 1, 30), 30, 0.5


@pytest.fixture(scope="module")
def covariance() -> torch.Tensor:
    place = torch.arange(CELLS, dtype=torch.float64)
    return 2.0 * torch.exp(-((place[:, None] - place) ** 2) / (2 * 3.0**2))


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Observed at a third of the places, some of them twice."""
    generator = torch.Generator().manual_seed(0)
    y = 2 * torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    weight = torch.randint(-3, 3, y.shape, generator=generator).clamp(min=0).double()
    return Batch(y * (weight > 0), weight)


def wiener(covariance):
    """The expected field, given the field plus white noise."""

    variances, vectors = torch.linalg.eigh(covariance)

    def denoise(x, s):
        kept = variances / (variances + s**2)
        return (x.flatten(1) @ vectors * kept @ vectors.T).view_as(x)

    return denoise


def optimal_interpolation(covariance, batch, n):
    seen = batch.weight[n].flatten() > 0
    errors = torch.diag(R / batch.weight[n].flatten()[seen])
    gain = covariance[:, seen] @ torch.linalg.inv(covariance[seen][:, seen] + errors)
    return gain @ batch.y[n].flatten()[seen]


def cost():
    return Cost([ObservationTerm(Variance(R))]).double()


@pytest.mark.parametrize("last", [0.5, 0.3])
def test_its_fixed_point_is_the_optimal_interpolation(covariance, batch, last):
    solver = PlugAndPlay(wiener(covariance), levels=[1.0, last])
    x = minimise(cost(), solver, batch, steps=1000).x
    for n in range(3):
        expected = optimal_interpolation(covariance, batch, n)
        torch.testing.assert_close(x[n].flatten(), expected, rtol=1e-4, atol=1e-4)
    assert x.abs().max() > 1, "a test that zero would pass is none"


def test_falling_levels_come_near_in_a_few_steps(covariance, batch):
    """At high levels the large scales come at once, at the last one the rest."""
    expected = torch.stack([optimal_interpolation(covariance, batch, n) for n in range(3)])

    def error(levels, steps=30):
        x = minimise(cost(), PlugAndPlay(wiener(covariance), levels), batch, steps).x
        return float((x.flatten(1) - expected).norm() / expected.norm())

    falling = torch.logspace(0.3, torch.tensor(0.3).log10().item(), 25).tolist()
    assert error(falling) < 0.3 * error([0.3])
    assert error(falling) < 0.15


def test_steps_get_smaller(covariance, batch):
    solver = PlugAndPlay(wiener(covariance), levels=[0.5])
    states = [minimise(cost(), solver, batch, steps).x for steps in range(12)]
    changes = torch.stack(states).diff(dim=0).flatten(2).norm(dim=2)
    assert (changes.diff(dim=0) < 0).all()


def test_a_step_is_one_of_half_quadratic_splitting(covariance, batch):
    """x from both sides: variance R - s^2 to the observations and s^2 to the state."""
    s, denoise = 0.4, wiener(covariance)
    state = minimise(cost(), PlugAndPlay(denoise, [s]), batch, steps=2)
    z = minimise(cost(), PlugAndPlay(denoise, [s]), batch, steps=1).x
    once = batch.weight == 1
    split = (batch.y / (R - s**2) + z / s**2) / (1 / (R - s**2) + 1 / s**2)
    whole = torch.where(batch.weight == 0, z, split)
    twice = (batch.y / (R / 2 - s**2) + z / s**2) / (1 / (R / 2 - s**2) + 1 / s**2)
    whole = torch.where(batch.weight == 2, twice, whole)
    torch.testing.assert_close(state.x, denoise(whole, torch.tensor(s)))
    assert once.any()


def test_a_denoiser_can_be_trained_through_it(batch):
    width = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    solver = PlugAndPlay(lambda x, s: x * width**2 / (width**2 + s**2), [1.0, 0.5])

    def solve():
        return minimise(cost(), solver, batch, 3, differentiable=True).x.square().sum()

    (found,) = torch.autograd.grad(solve(), width)
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            width += sign * 1e-5
            ends.append(solve())
            width -= sign * 1e-5
    torch.testing.assert_close(found, (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=0)


@pytest.mark.parametrize("levels", [[], [1.0, 0.0], [-1.0], [float("nan")]])
def test_levels_that_are_none(levels):
    with pytest.raises(InputError, match=r"levels are .*; fix: give positive noise levels"):
        PlugAndPlay(lambda x, s: x, levels)


def test_a_cost_with_a_prior_of_its_own_is_refused(batch):
    both = Cost([ObservationTerm(Variance(1.0)), BackgroundTerm(Variance(1.0))])
    with pytest.raises(InputError, match="the prior of this solver is its denoiser"):
        minimise(both, PlugAndPlay(lambda x, s: x, [1.0]), batch, 1)
