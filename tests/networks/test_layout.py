"""Layouts: every number of a state has one place in the image, and comes back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xr4dvar.networks.layout import MAPS, Layout

SIZES = st.tuples(*[st.integers(1, 4)] * 5)


@given(SIZES, st.sampled_from(["y-x", "time", "time-x"]), st.integers(1, 5))
def test_states_come_back(shape, grid, fold):
    layout = Layout(grid, fold)
    x = torch.rand(shape)
    image = layout.flat(x)
    assert image.shape[:2] == (shape[0], layout.channels(shape[1:]))
    assert torch.equal(layout.back(image, x), x)


def test_of_maps_the_channels_are_variables_by_times():
    x, context = torch.rand(2, 3, 4, 5, 6), torch.rand(2, 1, 4, 5, 6)
    image = MAPS.join(x, None, context)
    assert image.shape == (2, 16, 5, 6)
    for v in range(3):
        for t in range(4):
            assert torch.equal(image[:, 4 * v + t], x[:, v, t])
    assert torch.equal(image[:, 12:], context[:, 0])


def test_of_series_a_place_holds_times_in_a_row():
    x = torch.arange(10.0)[None, None, :, None, None] + torch.tensor([0.0, 0.5])
    image = Layout("time", fold=4).flat(x)
    assert image.shape == (1, 8, 1, 3)
    assert sorted(image[0, :, 0, 1].tolist()) == [4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5]
    assert sorted(image[0, :, 0, 2].tolist())[:4] == [0.0] * 4  # past the end


def test_of_sections_x_stays_an_axis():
    x = torch.rand(1, 2, 6, 1, 5)
    image = Layout("time-x", fold=2).flat(x)
    assert image.shape == (1, 4, 3, 5)
    assert torch.equal(image[0, :2, 1], x[0, 0, 2:4, 0])


@pytest.mark.parametrize(
    ("grid", "kernel"), [("y-x", (3, 3)), ("time", (1, 3)), ("time-x", (3, 3))]
)
def test_kernels_have_the_axes_of_the_image(grid, kernel):
    assert Layout(grid).kernel(3) == kernel
