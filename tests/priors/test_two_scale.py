"""The two-scale prior: blind to the cell that it predicts, whatever it has learned."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.networks.layout import Layout
from xr4dvar.priors import TwoScalePrior

SIZES = [(8, 8), (9, 7), (5, 11), (3, 2)]


def make(context=0, factor=4, reach=1):
    torch.manual_seed(0)
    return TwoScalePrior(state=4, context=context, width=8, factor=factor, reach=reach).double()


def random_state(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def jacobian(prior, x, context=None):
    """Derivative of Phi by x, (cells, channels out, cells, channels in)."""
    matrix = torch.autograd.functional.jacobian(lambda x: prior(x, context), x)
    matrix = matrix[0, :, :, :, :, 0]  # one sample
    return matrix.flatten(0, 1).flatten(1, 2).flatten(2, 3).flatten(3, 4).permute(1, 0, 3, 2)


def own(matrix):
    """Derivatives of each cell by itself: every variable and time by every other."""
    cells = torch.arange(len(matrix))
    return matrix[cells, :, cells]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("factor", "reach"), [(4, 1), (2, 2), (3, 1)])
def test_no_cell_sees_itself(size, factor, reach):
    prior = make(factor=factor, reach=reach)
    assert (own(jacobian(prior, random_state(1, 2, 2, *size))) == 0).all()


@pytest.mark.parametrize("layout", [Layout("time", 2), Layout("time-x", 2, wraps=True)])
def test_no_state_of_a_series_sees_itself(layout):
    """Nor the others that are channels of the same place."""
    torch.manual_seed(0)
    x = random_state(1, 1, 12, 1, 5)
    prior = TwoScalePrior(layout.channels(x.shape[1:]), 0, 6, layout, factor=3, reach=1).double()
    matrix = torch.autograd.functional.jacobian(lambda x: prior(x, None), x)[0, 0, :, 0, :, 0, 0]
    matrix = matrix[..., 0, :]  # (time, x, time, x)
    time = torch.arange(12)
    itself = matrix[time, :, time]
    assert (itself.diagonal(dim1=1, dim2=2) == 0).all()
    assert (matrix[time, :, time ^ 1].diagonal(dim1=1, dim2=2) == 0).all()
    assert matrix.abs().max() > 0


def test_no_cell_sees_itself_after_training():
    prior = make()
    optimizer = torch.optim.AdamW(prior.parameters(), lr=0.1)
    x = random_state(1, 2, 2, 9, 7)
    before = jacobian(prior, x)
    for _ in range(3):
        optimizer.zero_grad()
        (prior(x, None) - x).square().mean().backward()
        optimizer.step()
    after = jacobian(prior, x)
    assert not torch.equal(before, after)
    assert (own(after) == 0).all()


def test_neighbours_and_far_cells_do_matter():
    ny, nx = 12, 12
    matrix = jacobian(make(), random_state(1, 2, 2, ny, nx))
    middle = 5 * nx + 5
    seen = (matrix[middle].abs().amax((0, 2)) > 0).view(ny, nx)
    fine = torch.zeros(ny, nx, dtype=torch.bool)
    fine[4:7, 4:7] = True
    fine[5, 5] = False
    coarse = torch.ones(ny, nx, dtype=torch.bool)
    coarse[4:8, 4:8] = False  # the whole coarse cell is left out there
    assert torch.equal(seen, fine | coarse)


def test_values_of_a_cell_do_not_reach_it():
    prior = make()
    x = random_state(1, 2, 2, 9, 10)
    other = x.clone()
    other[..., 4, 5] = 100.0
    torch.testing.assert_close(
        prior(x, None)[..., 4, 5], prior(other, None)[..., 4, 5], rtol=0, atol=1e-12
    )


def test_the_context_of_a_cell_is_seen():
    prior = make(context=4)
    x, context = random_state(1, 2, 2, 9, 7), random_state(1, 2, 2, 9, 7, seed=2)
    assert (own(jacobian(prior, x, context)) == 0).all()
    swapped = torch.autograd.functional.jacobian(lambda c: prior(x, c), context)
    assert swapped[0, :, :, 4, 3, 0, :, :, 4, 3].abs().min() > 0


def test_the_hole_is_not_part_of_the_weights():
    assert not [name for name in make().state_dict() if "hole" in name]
