"""The analysis error field against the dense formula."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.covariance import Separable, Spherical, Sum, analyse, analysis_error
from xr4dvar.errors import InputError

TWO_SCALES = Sum((Separable((8.0, 14.0, 14.0)), Separable((4.0, 7.0, 7.0), variance=0.3)))


def dense(covariance, axes, observed, error):
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    seen = observed.flatten()
    cross = covariance.between(points, points[seen])
    system = cross[seen] + torch.diag(error.expand(observed.shape).flatten()[seen])
    lost = (cross * torch.linalg.solve(system, cross.T).T).sum(1)
    return (covariance.variance - lost).reshape(observed.shape)


def grid(*shape):
    return tuple(torch.arange(n, dtype=torch.float64) for n in shape)


def tracks(shape):
    """Straight tracks, another one every day, and a day without."""
    observed = torch.zeros(shape, dtype=torch.bool)
    for day in range(shape[0]):
        for row in range(shape[1]):
            observed[day, row, (row // 2 + 11 * day) % shape[2]] = True
    observed[shape[0] // 2] = False
    return observed


@pytest.mark.parametrize(
    "model",
    [
        TWO_SCALES,
        Separable((3.0, 2.0, 2.0), "matern12", 2.0),
        Spherical((3.0, 200.0), "matern32"),
        Separable((3.0, 2.0, 2.0), period=8.0),
    ],
)
def test_every_cell_with_every_observation_is_exact(model):
    axes, shape = grid(5, 6, 8), (5, 6, 8)
    observed = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.3
    error = 0.05 + torch.rand(shape, dtype=torch.float64)
    expected = dense(model, axes, observed, error)
    result = analysis_error(observed, error, axes, model, neighbours=1000, step=0)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-9)


def test_coarse_grid_is_within_a_few_percent_of_the_standard_deviation():
    shape = (7, 30, 33)
    axes, observed = grid(*shape), tracks(shape)
    error = torch.tensor(0.13, dtype=torch.float64)
    expected = dense(TWO_SCALES, axes, observed, error).sqrt()
    deviation = analysis_error(observed, 0.13, axes, TWO_SCALES).sqrt()
    relative = deviation / expected - 1
    assert float((relative.abs() < 0.05).double().mean()) > 0.98
    assert float(relative.abs().max()) < 0.1
    assert float(relative.square().mean().sqrt()) < 0.03
    assert float(expected.max() / expected.min()) > 1.5  # there is something to get wrong


def test_agrees_with_the_scatter_of_analyses():
    """Draw truths from the prior, observe and analyse them: the error has the variance said."""
    axes, shape = grid(5, 6, 7), (5, 6, 7)
    model = Separable((3.0, 2.0, 2.0))
    generator = torch.Generator().manual_seed(0)
    observed = torch.rand(shape, generator=generator) < 0.3
    root = model.root(axes)
    truth = root.apply(torch.randn(3000, len(root.spectrum), generator=generator))
    noise = 0.3 * torch.randn(truth.shape, generator=generator)
    error = truth - analyse(truth + noise, observed, root, 0.09).increment
    expected = analysis_error(observed, 0.09, axes, model, neighbours=1000, step=0)
    ratio = error.square().mean(0) / expected
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.02)
    assert float((ratio - 1).abs().max()) < 0.15


def test_limits():
    axes = grid(1, 1, 60)
    observed = torch.zeros(1, 1, 60, dtype=torch.bool)
    model = Separable((1.0, 1.0, 4.0), variance=2.0)
    assert analysis_error(observed, 0.1, axes, model).unique().tolist() == pytest.approx([2.0])
    observed[0, 0, 3] = True
    variance = analysis_error(observed, 1e-8, axes, model, step=0)
    assert float(variance[0, 0, 3]) < 1e-7
    assert float(variance[0, 0, -1]) == pytest.approx(2.0)


def test_error_variances_must_be_positive_where_observed():
    observed = torch.tensor([[[True, False]]])
    error = torch.tensor([[[0.1, -1.0]]])
    analysis_error(observed, error, grid(1, 1, 2), Separable((1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match="error variance"):
        analysis_error(~observed, error, grid(1, 1, 2), Separable((1.0, 1.0, 1.0)))
