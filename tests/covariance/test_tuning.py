"""The search for covariance parameters."""

from __future__ import annotations

import math

import pytest
import torch

from xr4dvar.covariance import Prior, Separable, analyse, first_guess, tune
from xr4dvar.errors import InputError


def bowl(parameters):
    centre = {"time": 6.0, "space": 1.0, "noise": 0.2}
    distances = [math.log(parameters[name] / value) for name, value in centre.items()]
    return 4.0 + distances[0] ** 2 + 3 * distances[1] ** 2 + distances[2] ** 2


def test_finds_the_minimum_in_a_few_tens_of_calls():
    calls = []
    start = {"time": 14.0, "space": 0.4, "noise": 0.03}
    found = tune(lambda p: calls.append(p) or bowl(p), start, max_evaluations=60)
    assert found.score < 4.02
    assert len(calls) == len(found.trace) <= 60
    assert found.score == min(score for _, score in found.trace)
    assert found.parameters in calls
    assert found.score < bowl(start)
    assert found.trace == tune(bowl, start, max_evaluations=60).trace


def test_keeps_within_bounds_and_survives_failures():
    seen = []

    def objective(parameters):
        seen.append(parameters["time"])
        return math.nan if parameters["time"] > 3 else bowl({**parameters, "noise": 0.2})

    start = {"time": 2.0, "space": 1.0}
    found = tune(objective, start, bounds={"time": (1.0, 4.0)})
    assert min(seen) >= 1.0 - 1e-12
    assert max(seen) <= 4.0 + 1e-12
    assert 2.5 < found.parameters["time"] <= 3.0


@pytest.mark.parametrize(
    ("start", "bounds"),
    [({"a": -1.0}, {}), ({"a": 5.0}, {"a": (1.0, 2.0)}), ({"a": math.nan}, {})],
)
def test_bad_starts_are_refused(start, bounds):
    with pytest.raises(InputError, match="start of a"):
        tune(bowl, start, bounds=bounds)


def field(lengths, noise):
    """A draw from a Gaussian prior, 40 % observed with noise."""
    axes = tuple(torch.arange(n, dtype=torch.float64) for n in (30, 40, 40))
    root = Separable(lengths).root(axes)
    generator = torch.Generator().manual_seed(5)
    truth = root.apply(torch.randn(len(root.spectrum), generator=generator))
    observed = torch.rand(truth.shape, generator=generator) < 0.4
    return axes, truth, truth + noise**0.5 * torch.randn(truth.shape, generator=generator), observed


def test_first_guess_is_near_the_lengths_of_the_data():
    axes, _, observations, observed = field((4.0, 6.0, 3.0), 0.1)
    guess = first_guess(torch.where(observed, observations, torch.nan), observed, axes)
    for name, length in {"time": 4.0, "y": 6.0, "x": 3.0}.items():
        assert 0.5 * length <= guess[name] <= 1.5 * length
    assert 0.02 < guess["noise"] < 0.5


def test_first_guess_without_data_is_a_tenth_of_the_extent():
    axes = tuple(torch.arange(n, dtype=torch.float64) for n in (1, 11, 21))
    empty = torch.zeros(1, 11, 21, dtype=torch.bool)
    guess = first_guess(torch.full((1, 11, 21), torch.nan), empty, axes)
    assert (guess["y"], guess["x"]) == (1.0, 2.0)
    assert all(value > 0 for value in guess.values())


def test_tuning_recovers_the_skill_of_the_true_parameters():
    axes, truth, observations, observed = field((3.0, 3.0, 3.0), 0.2)
    axes, truth = (axes[0][:12], *axes[1:]), truth[:12]
    observations, observed = observations[:12], observed[:12]

    def rmse(parameters):
        lengths = (parameters["time"], parameters["space"], parameters["space"])
        prior = Prior(Separable(lengths), axes)
        result = analyse(observations, observed, prior, parameters["noise"], tolerance=1.0)
        return float((result.increment - truth).square().mean().sqrt())

    best = rmse({"time": 3.0, "space": 3.0, "noise": 0.2})
    start = {"time": 8.0, "space": 1.2, "noise": 0.01}
    found = tune(rmse, start, max_evaluations=50)
    assert rmse(start) > 1.3 * best
    assert found.score < 1.02 * best
