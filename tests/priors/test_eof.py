"""EOFs as a prior: an orthogonal projection, of windows about their mean."""

from __future__ import annotations

import torch

from xr4dvar.priors import EOFProjection

SHAPE = (2, 3, 2, 4)
GENERATOR = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64)


def make(modes=5, mean=None):
    basis = torch.linalg.qr(random(48, modes)).Q.T.reshape(modes, *SHAPE)
    return EOFProjection(torch.zeros(SHAPE).double() if mean is None else mean, basis)


def dot(a, b):
    return (a * b).flatten(1).sum(1)


def test_it_leaves_alone_what_it_has_given():
    prior = make(mean=random(*SHAPE))
    x = prior(random(3, *SHAPE))
    torch.testing.assert_close(prior(x), x)
    assert (x - random(3, *SHAPE)).abs().max() > 1


def test_it_is_its_own_adjoint():
    prior, a, b = make(), random(3, *SHAPE), random(3, *SHAPE)
    torch.testing.assert_close(dot(prior(a), b), dot(a, prior(b)))


def test_what_it_takes_away_is_at_right_angles_to_the_modes():
    prior = make(mean=random(*SHAPE))
    x = random(3, *SHAPE)
    assert prior.encode(prior.mean + x - prior(x)).abs().max() < 1e-12
    assert (x - prior(x)).abs().max() > 0.1


def test_amplitudes_come_back():
    prior, z = make(mean=random(*SHAPE)), random(4, 5)
    torch.testing.assert_close(prior.encode(prior.decode(z)), z)
