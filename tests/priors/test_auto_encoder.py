"""The auto-encoder: any window through a few numbers, and no more than these."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.networks.layout import MAPS, Layout
from xr4dvar.priors import ConvolutionalAutoEncoder
from xr4dvar.priors.auto_encoder import _finer

GENERATOR = torch.Generator().manual_seed(0)


def make(shape, code, layout):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ConvolutionalAutoEncoder(shape, code, width=6, layout=layout).double()


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((1, 50, 1, 3), Layout("time")),
        ((2, 50, 1, 3), Layout("time", fold=4)),
        ((1, 3, 13, 22), MAPS),
        ((2, 1, 5, 40), Layout(wraps=True)),
        ((1, 21, 1, 12), Layout("time-x", wraps=True)),
        ((1, 1, 1, 1), MAPS),
    ],
)
def test_any_window_comes_back_in_its_shape(shape, layout):
    prior = make(shape, 4, layout)
    x = torch.randn(3, *shape, generator=GENERATOR, dtype=torch.float64)
    assert prior(x).shape == x.shape
    torch.testing.assert_close(prior.decode(prior.encode(x)), prior(x))
    alone = torch.cat([prior(one[None]) for one in x])
    torch.testing.assert_close(alone, prior(x))


def test_the_map_has_the_rank_of_the_code():
    """What it gives can vary in as many directions as the code has numbers."""
    prior = make((1, 20, 1, 3), 4, Layout("time"))
    x = torch.randn(1, 1, 20, 1, 3, generator=GENERATOR, dtype=torch.float64)
    derivative = torch.autograd.functional.jacobian(prior, x).reshape(60, 60)
    assert torch.linalg.matrix_rank(derivative, rtol=1e-10) == 4


def test_every_cell_is_seen_and_is_given():
    prior = make((1, 3, 13, 22), 4, MAPS)
    x = torch.zeros(1, 1, 3, 13, 22, dtype=torch.float64, requires_grad=True)
    code = prior.encode(x)
    (seen,) = torch.autograd.grad(code.sum(), x)
    assert (seen != 0).all()
    z = torch.zeros(1, 4, dtype=torch.float64)
    given = torch.autograd.functional.jacobian(prior.decode, z)
    assert (given.abs().amax(-1) > 0).all()


def test_its_gradient_is_right():
    prior = make((1, 12, 1, 2), 3, Layout("time"))
    x = torch.randn(1, 1, 12, 1, 2, generator=GENERATOR, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(prior, (x,))


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_ring_is_made_finer_without_a_seam(ratio):
    image = torch.randn(2, 3, 4, 6, generator=GENERATOR, dtype=torch.float64)
    size = 8, 6 * ratio
    fine = _finer(image, size, True)
    torch.testing.assert_close(_finer(image.roll(1, -1), size, True), fine.roll(ratio, -1))
    inside = slice(ratio, -ratio)  # whose neighbours are there without a ring too
    torch.testing.assert_close(fine[..., inside], _finer(image, size, False)[..., inside])


def test_a_ring_of_an_odd_number_ends_in_half_a_cell():
    image = torch.randn(2, 3, 4, 6, generator=GENERATOR, dtype=torch.float64)
    whole = _finer(image, (8, 12), True)
    torch.testing.assert_close(_finer(image, (8, 11), True), whole[..., :11])


def test_a_window_of_a_ring_comes_back_in_its_shape():
    prior = make((1, 3, 13, 22), 4, Layout("y-x", wraps=True))
    x = torch.randn(2, 1, 3, 13, 22, generator=GENERATOR, dtype=torch.float64)
    assert prior(x).shape == x.shape
