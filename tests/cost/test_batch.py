"""Batches: what is observed, and what merging and interpolating cells must keep."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xr4dvar.cost.batch import Batch, coarsen, interpolate
from xr4dvar.cost.cost import Cost, ObservationTerm, Variance

sizes = st.integers(1, 11)
factors = st.integers(2, 5)
seeds = st.integers(0, 2**16)


def gappy_batch(ny, nx, seed, share=0.4):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(2, 2, 3, ny, nx, generator=generator, dtype=torch.float64)
    hidden = torch.rand(y.shape, generator=generator) > share
    context = torch.randn(2, 1, 3, ny, nx, generator=generator, dtype=torch.float64)
    return Batch.from_gappy(torch.where(hidden, torch.nan, y), context)


def blockwise(coarse, factor, like):
    """The field that is constant within the merged cells."""
    fine = coarse.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    return fine[..., : like.shape[-2], : like.shape[-1]]


def merged(fine, factor):
    """Sums over the merged cells, by a loop over blocks: the slow, plain way."""
    ny, nx = fine.shape[-2:]
    rows = [
        [fine[..., i : i + factor, j : j + factor].sum((-1, -2)) for j in range(0, nx, factor)]
        for i in range(0, ny, factor)
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


@pytest.mark.parametrize("gap", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_not_observed(gap):
    batch = Batch.from_gappy(torch.tensor([2.0, gap]).reshape(1, 1, 1, 1, 2))
    assert batch.y.flatten().tolist() == [2.0, 0.0]
    assert batch.weight.flatten().tolist() == [1.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_have_the_dtype_of_the_values(dtype):
    batch = Batch.from_gappy(torch.zeros(1, 1, 1, 2, 2, dtype=dtype))
    assert batch.y.dtype == batch.weight.dtype == dtype


@given(sizes, sizes, factors, seeds)
def test_coarse_observation_term_is_the_fine_one_up_to_a_constant(ny, nx, factor, seed):
    fine = gappy_batch(ny, nx, seed)
    coarse = coarsen(fine, factor)
    cost = Cost([ObservationTerm(Variance([0.5, 3.0]))]).double()
    generator = torch.Generator().manual_seed(seed + 1)
    states = torch.randn(2, *coarse.y.shape, generator=generator, dtype=torch.float64)
    differences = [cost(blockwise(x, factor, fine.y), fine) - cost(x, coarse) for x in states]
    torch.testing.assert_close(differences[0], differences[1], rtol=1e-9, atol=1e-9)


@given(sizes, sizes, factors, seeds)
def test_coarse_gradient_is_the_block_sum_of_the_fine_one(ny, nx, factor, seed):
    fine = gappy_batch(ny, nx, seed)
    coarse = coarsen(fine, factor)
    cost = Cost([ObservationTerm(Variance(0.5))]).double()
    x = torch.randn(coarse.y.shape, dtype=torch.float64)
    (on_fine,) = cost.gradients(blockwise(x, factor, fine.y), fine)
    (on_coarse,) = cost.gradients(x, coarse)
    torch.testing.assert_close(on_coarse, merged(on_fine, factor), rtol=1e-9, atol=1e-9)


@given(sizes, sizes, factors, seeds)
def test_coarse_cells_hold_counts_and_means(ny, nx, factor, seed):
    fine = gappy_batch(ny, nx, seed)
    coarse = coarsen(fine, factor)
    counts = merged(fine.weight, factor)
    torch.testing.assert_close(coarse.weight, counts)
    torch.testing.assert_close(coarse.y * counts, merged(fine.y, factor))
    assert (coarse.y[counts == 0] == 0).all()
    cells = merged(torch.ones_like(fine.context), factor)
    torch.testing.assert_close(coarse.context, merged(fine.context, factor) / cells)


def test_merging_twice_is_merging_once():
    fine = gappy_batch(8, 12, 0)
    twice, once = coarsen(coarsen(fine, 2), 2), coarsen(fine, 4)
    torch.testing.assert_close(twice.y, once.y)
    torch.testing.assert_close(twice.weight, once.weight)


def test_factor_one_changes_nothing():
    batch = gappy_batch(5, 6, 0)
    assert coarsen(batch, 1) is batch
    assert interpolate(batch.y, 1, (5, 6)) is batch.y


@given(sizes, sizes, factors, seeds)
def test_a_constant_stays_constant(ny, nx, factor, seed):
    value = torch.randn(1, generator=torch.Generator().manual_seed(seed))
    coarse = coarsen(Batch.from_gappy(value.expand(1, 2, 3, ny, nx)), factor).y
    back = interpolate(coarse, factor, (ny, nx))
    torch.testing.assert_close(back, value.expand(1, 2, 3, ny, nx))


@given(st.integers(2, 17), st.integers(2, 17), factors)
def test_interpolation_of_a_linear_field_is_exact_between_centres(ny, nx, factor):
    plane = 2.0 * torch.arange(ny)[:, None] - 0.5 * torch.arange(nx) + 3.0
    plane = plane.double().expand(1, 1, 2, ny, nx)
    coarse = coarsen(Batch.from_gappy(plane), factor).y
    back = interpolate(coarse, factor, (ny, nx))
    # the centres of whole blocks; a ragged last block has its centre elsewhere
    inner = [
        slice((factor - 1) // 2 + 1, max(0, n // factor * factor - factor // 2 - 1))
        for n in (ny, nx)
    ]
    torch.testing.assert_close(back[..., inner[0], inner[1]], plane[..., inner[0], inner[1]])


def test_interpolation_keeps_variables_and_times_apart():
    x = torch.randn(2, 3, 4, 2, 2)
    fine = interpolate(x, 2, (4, 4))
    for v in range(3):
        for t in range(4):
            alone = interpolate(x[:, v : v + 1, t : t + 1], 2, (4, 4))
            torch.testing.assert_close(fine[:, v : v + 1, t : t + 1], alone)


@pytest.mark.parametrize("factor", [2, 4])
def test_on_a_circle_interpolation_has_no_seam(factor):
    x = torch.randn(2, 1, 3, 5, 6, dtype=torch.float64)
    size = 5 * factor, 6 * factor
    turned = interpolate(x.roll(2, -1), factor, size, wraps=True)
    fine = interpolate(x, factor, size, wraps=True)
    torch.testing.assert_close(turned, fine.roll(2 * factor, -1))
    inside = slice(factor, -factor)  # whose neighbours are there without a circle too
    torch.testing.assert_close(fine[..., inside], interpolate(x, factor, size)[..., inside])
