"""Covariances that make data most likely."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xr4dvar.covariance import Separable, Sum, draw_samples, most_likely
from xr4dvar.covariance.families import find_family
from xr4dvar.covariance.likelihood import SAMPLE_LENGTHS, SAMPLE_SIZE, _Prepared


def draws(model, noise, n=250, count=6, seed=0):
    """Samples of a field with this covariance at scattered points, with noise."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(count):
        points = 6.0 * torch.rand(n, 3, generator=generator, dtype=torch.float64)
        system = model.between(points, points) + noise * torch.eye(n, dtype=torch.float64)
        white = torch.randn(n, generator=generator, dtype=torch.float64)
        samples.append((points, torch.linalg.cholesky(system) @ white))
    return samples


@pytest.mark.parametrize("family", ["gaussian", "matern32"])
def test_the_parameters_that_made_the_data_are_found(family):
    truth = Separable((3.0, 1.0, 2.0), family, 2.0)
    start = Separable((1.0, 2.0, 1.0), family, 0.5)
    [found], noise = most_likely(draws(truth, 0.2), [start], 0.02)
    assert found.family == family
    np.testing.assert_allclose(found.lengths, truth.lengths, rtol=0.25)
    assert found.variance == pytest.approx(2.0, rel=0.4)
    assert noise == pytest.approx(0.2, rel=0.25)


def test_two_scales_are_told_apart():
    long, short = Separable((6.0, 4.0, 4.0)), Separable((1.0, 0.7, 0.7), variance=0.5)
    start = [Separable((4.0, 3.0, 3.0)), Separable((2.0, 1.5, 1.5), variance=0.25)]
    found, noise = most_likely(draws(Sum((long, short)), 0.05), start, 0.2)
    assert found[0].lengths[1] > 2.5 > 1.2 > found[1].lengths[1]
    assert found[1].variance == pytest.approx(0.5, rel=0.4)
    assert noise == pytest.approx(0.05, rel=0.4)


@pytest.mark.parametrize("periods", [(None, None, None), (10.0, None, 12.0)])
def test_cost_is_the_density_of_the_normal_distribution(periods):
    model = Separable((3.0, 1.0, 2.0), "matern52", 1.5, periods)
    [(points, values)] = draws(model, 0.3, n=40, count=1)
    system = model.between(points, points) + 0.3 * torch.eye(40, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(torch.zeros(40).double(), system)
    parameters = torch.tensor([3.0, 1.0, 2.0, 1.5, 0.3], dtype=torch.float64)
    sample, family = _Prepared.of(points, values, periods), find_family("matern52")
    cost, gradient = sample.cost(parameters.log(), family)
    constant = 20 * np.log(2 * np.pi)
    assert cost + constant == pytest.approx(-float(normal.log_prob(values)))
    for n, slope in enumerate(gradient.tolist()):
        step = torch.zeros(5, dtype=torch.float64)
        step[n] = 1e-5
        above, below = (sample.cost(parameters.log() + s, family)[0] for s in (step, -step))
        assert slope == pytest.approx((above - below) / 2e-5, rel=1e-6, abs=1e-6)


def test_a_length_that_no_pair_tells_stays():
    samples = [(points * torch.tensor([0.0, 1.0, 1.0]), v) for points, v in draws(
        Separable((1e6, 1.0, 1.0)), 0.1, n=100, count=2)]  # fmt: skip
    [found], _ = most_likely(samples, [Separable((7.0, 2.0, 2.0))], 0.1)
    assert found.lengths[0] == pytest.approx(7.0)


def test_no_length_exceeds_the_samples():
    """What differs from sample to sample alone is not a covariance of any length."""
    offsets = 10.0 * torch.linspace(-1.0, 1.0, 6)
    samples = [
        (points * torch.tensor([0.0, 0.0, 1.0]), values + offset)
        for (points, values), offset in zip(
            draws(Separable((1e6, 1e6, 0.5)), 0.01, n=60), offsets, strict=True
        )
    ]
    widest = max(float(points[:, 2].max() - points[:, 2].min()) for points, _ in samples)
    long, short = Separable((1e6, 1e6, 2.0), variance=100.0), Separable((1e6, 1e6, 1.0))
    found, _ = most_likely(samples, [short, long], 0.01)
    assert found[0].lengths[2] == pytest.approx(widest)
    assert found[1].lengths[2] == pytest.approx(0.5, rel=0.3)
    assert found[0].variance > found[1].variance


def test_samples_are_observations_near_each_other():
    generator = np.random.default_rng(0)
    field = torch.tensor(generator.normal(size=(40, 30, 20)))
    field[torch.tensor(generator.random(field.shape) < 0.7)] = torch.nan
    axes = (torch.arange(40.0) * 2, torch.arange(30.0), 100 + torch.arange(20.0) / 2)
    lengths = (20.0, 4.0, 3.0)
    samples = draw_samples(field, axes, lengths, 9, np.random.default_rng(1))
    assert len(samples) == 9
    for points, values in samples:
        assert 1 <= len(points) <= SAMPLE_SIZE
        assert len(points.unique(dim=0)) == len(points)
        extent = (points.amax(0) - points.amin(0)).numpy()
        assert (extent <= SAMPLE_LENGTHS * np.array(lengths) + 1e-9).all()
        index = [(p - a[0]) / (a[1] - a[0]) for p, a in zip(points.T, axes, strict=True)]
        t, y, x = (i.round().long() for i in index)
        assert torch.equal(values, field[t, y, x])
    centres = torch.stack([points.mean(0) for points, _ in samples])
    assert float(centres[:, 0].std()) > 5  # from all over


def test_no_observation_gives_no_sample():
    axes = (torch.zeros(1), torch.zeros(1), torch.arange(5.0))
    empty = torch.full((1, 1, 5), torch.nan)
    assert draw_samples(empty, axes, (1.0, 1.0, 1.0), 3, np.random.default_rng(0)) == []
