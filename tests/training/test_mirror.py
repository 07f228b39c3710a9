"""Mirrored fields obey the law of the flow as well, or as badly, as the fields themselves."""

import pytest
import torch

from xr4dvar.cost.batch import Batch
from xr4dvar.training.mirror import mirror, mirrored

BETA, RADIUS = 0.7, 1.3


def difference(field, dim):
    """Centred, periodic: odd under a reflection, as a derivative is."""
    return 0.5 * (field.roll(-1, dim) - field.roll(1, dim))


def residual(psi):
    """``dq/dt + J(psi, q) + beta dpsi/dx`` of one layer, zero for a solution."""
    laplacian = sum(psi.roll(s, d) for d in (-1, -2) for s in (1, -1)) - 4 * psi
    q = laplacian - psi / RADIUS**2
    jacobian = difference(psi, -1) * difference(q, -2) - difference(psi, -2) * difference(q, -1)
    return difference(q, -3) + jacobian + BETA * difference(psi, -1)


@pytest.fixture
def psi():
    one = torch.randn(1, 1, 6, 7, 8, dtype=torch.float64, generator=torch.manual_seed(0))
    return one.expand(4, -1, -1, -1, -1)


def test_quasigeostrophic_flow_stays_a_solution(psi):
    law = residual(psi)[0]
    plain, north_south, east_west, both = residual(mirror(psi))
    torch.testing.assert_close(plain, law)
    torch.testing.assert_close(north_south, -law.flip(-2))
    torch.testing.assert_close(east_west, -law.flip(-3, -1))
    torch.testing.assert_close(both, law.flip(-3, -2, -1))


def test_a_change_of_sign_alone_would_not_do(psi):
    assert not torch.allclose(residual(-psi).abs(), residual(psi).abs())


def test_observations_stay_where_the_truth_says_the_same(psi):
    observed = torch.rand(psi.shape, generator=torch.manual_seed(1)) < 0.3
    batch = Batch.from_gappy(torch.where(observed, psi, torch.nan), context=2 * psi)
    turned, target = mirrored(batch, psi)
    assert 0 < turned.weight.mean() < 1
    torch.testing.assert_close(turned.y, turned.weight * target)
    torch.testing.assert_close(turned.context, 2 * target)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_any_number_of_patches(size):
    x = torch.arange(size * 6.0).reshape(size, 1, 1, 2, 3)
    torch.testing.assert_close(mirror(mirror(x)), x)
