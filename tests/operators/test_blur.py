"""Blurs against scipy's filters, at edges, on spheres, round circles, at coasts and in patches."""

import numpy as np
import pytest
import torch
from scipy import ndimage

import xr4dvar as xv
from tests.operators.grids import LON, bound, grid_of, is_adjoint, noise
from xr4dvar.errors import InputError

PLANE = {"y": ("y", np.arange(17.0), {"units": "km"}), "x": ("x", np.arange(23.0), {"units": "km"})}


def plane():
    import xarray as xr

    from xr4dvar.labels import find_axes, make_grid

    field = xr.DataArray(np.zeros((17, 23)), dims=("y", "x"), coords=PLANE)
    return make_grid(field, find_axes(field))


def test_gaussian_is_that_of_scipy_mirrored_at_the_rim():
    operator, seen = bound(xv.operators.Blur({"y": "1.5 km", "x": "2 km"}), plane())
    x = noise(2, 1, 1, 17, 23)
    expected = ndimage.gaussian_filter(x.numpy(), (0, 0, 0, 1.5, 2.0), mode="reflect", truncate=8.0)
    assert seen is None
    np.testing.assert_allclose(operator(x).numpy(), expected, atol=1e-12)


def test_box_is_that_of_scipy():
    operator, _ = bound(xv.operators.Blur({"y": "3 km", "x": "5 km"}, kernel="box"), plane())
    x = noise(1, 1, 1, 17, 23)
    expected = ndimage.uniform_filter(x.numpy(), (0, 0, 0, 3, 5), mode="reflect")
    np.testing.assert_allclose(operator(x).numpy(), expected, atol=1e-12)


def test_a_box_that_ends_inside_cells_takes_their_part():
    """2 of the cell itself, half of each neighbour: 1/4, 1/2, 1/4."""
    grid = grid_of(time=np.arange(9.0))
    operator, _ = bound(xv.operators.Blur({"time": "2D"}, kernel="box"), grid)
    impulse = torch.zeros(1, 1, 9, 1, 1, dtype=torch.float64)
    impulse[0, 0, 4] = 1.0
    found = operator(impulse).flatten().numpy()
    np.testing.assert_allclose(found[2:7], [0, 0.25, 0.5, 0.25, 0], atol=1e-12)


CASES = {
    "km on the sphere": (
        xv.operators.Blur({"lat": "300 km", "lon": "300 km"}),
        {"lat": np.linspace(-60, 71, 14), "lon": np.arange(0.0, 33.0, 3.0)},
        (),
    ),
    "circle": (xv.operators.Blur({"lon": 30.0}), {"lat": np.arange(3.0), "lon": LON}, ("lon",)),
    "uneven": (
        xv.operators.Blur({"x": 1.5, "y": 2.0}),
        {"y": np.cumsum(1 + np.arange(9.0) % 3), "x": np.cumsum(1 + np.arange(13.0) % 2)},
        (),
    ),
    "time": (
        xv.operators.Blur({"time": "1.5D"}),
        {"time": np.arange(21.0), "x": np.arange(3.0)},
        (),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_adjoint_means_and_patches(name):
    """A constant stays as it is; a patch gives what the whole gives, where it says that it does."""
    operator, coords, periodic = CASES[name]
    grid = grid_of(periodic, **coords)
    whole, seen = bound(operator, grid)
    shape = [grid[r].size if r in grid.roles else 1 for r in ("time", "y", "x")]
    assert seen is None
    assert is_adjoint(whole, shape)
    ones = torch.ones(1, 1, *shape, dtype=torch.float64)
    torch.testing.assert_close(whole(ones), ones, rtol=0, atol=1e-12)
    role = {"circle": "x", "time": "time"}.get(name, "y")
    part = slice(1, grid[role].size - 1)
    cut, seen = bound(operator, grid, **{role: part})
    x = noise(1, 1, *shape)
    axis = ("time", "y", "x").index(role) + 2
    inside = x.narrow(axis, 1, part.stop - 1)
    expected = whole(x).narrow(axis, 1, part.stop - 1)
    assert seen is None or seen.any()
    known = np.ones(inside.shape[2:], bool) if seen is None else seen[0]
    assert is_adjoint(cut, inside.shape[2:])
    gap = (cut(inside) - expected)[0, 0].abs().numpy()
    assert gap[known].max(initial=0.0) < 4e-3 * float(x.abs().max())  # a thousandth may lie outside
    assert not seen.all() if seen is not None else True


def test_length_in_km_is_that_of_each_row():
    """At 60 degrees a kilometre is twice as many degrees of longitude as at the equator."""
    grid = grid_of(lat=np.array([0.0, 60.0]), lon=np.arange(-40.0, 41.0))
    operator, _ = bound(xv.operators.Blur({"lon": "333.585 km"}), grid)  # 3 degrees
    impulse = torch.zeros(1, 1, 1, 2, 81, dtype=torch.float64)
    impulse[..., 40] = 1.0
    spread = operator(impulse)[0, 0, 0].numpy()
    lon = np.arange(-40.0, 41.0)
    widths = np.sqrt((spread * lon**2).sum(1))
    np.testing.assert_allclose(widths, [3.0, 6.0], rtol=5e-3)


def test_what_lies_outside_the_mask_counts_for_nothing():
    sea = np.ones((1, 17, 23), bool)
    sea[:, :, 10:14] = False
    operator, _ = bound(xv.operators.Blur({"y": "1 km", "x": "2 km"}), plane(), domain=sea)
    assert is_adjoint(operator, (1, 17, 23))
    x = torch.where(torch.tensor(sea), 3.0, 1e6).to(torch.float64)[None, None]
    np.testing.assert_allclose(operator(x).numpy()[0, 0][sea], 3.0, atol=1e-9)


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        (xv.operators.Blur({"y": "9 km"}), "the kernel reaches 36 km, the domain is 17 long"),
        (xv.operators.Blur({"y": 3.0}), "has no unit"),
        (xv.operators.Blur({"z": "3 km"}), "'z' is not an axis of the data"),
        (xv.operators.Blur({"y": "3 km"}, kernel="hat"), "kernel"),
        (xv.operators.Blur({"y": "-3 km"}), "positive, finite length"),
        (xv.operators.Blur("3 km"), "length is '3 km'"),
    ],
)
def test_what_cannot_be_used_is_told(operator, words):
    import xarray as xr

    obs = xr.DataArray(np.zeros((17, 23)), dims=("y", "x"), coords=PLANE, name="t")
    oi = xv.OptimalInterpolation("4 km", 1.0, 0.1, mean=0.0, operator=operator)
    with pytest.raises(InputError, match=words):
        obs.fourdvar.reconstruct(oi)
