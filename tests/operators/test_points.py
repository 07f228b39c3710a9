"""Observations at places between cells, against linear interpolation by hand."""

import numpy as np
import pytest
import torch

from tests.operators.grids import LON, bound, grid_of, noise
from xr4dvar.errors import InputError
from xr4dvar.operators import Geostrophic, Points
from xr4dvar.operators.operator import Composed
from xr4dvar.operators.points import PlacedPoints, place_points

LAT = np.array([10.0, 11.0, 12.5, 13.0, 15.0])


def hats(axis, places, period=None):
    """Weights (P, n) of the cells of an axis."""
    if period is not None:
        axis = np.concatenate([axis, [axis[0] + period]])
        places = axis[0] + (places - axis[0]) % period
    found = np.stack([np.interp(places, axis, unit) for unit in np.eye(len(axis))], 1)
    if period is not None:
        found[:, 0] += found[:, -1]
        found = found[:, :-1]
    return found


def placed(grid, count=40, seed=0, weights=None, **settings):
    """Random places inside a grid, and the operator that knows them."""
    generator = np.random.default_rng(seed)
    places = {}
    for role in grid.roles:
        axis = grid[role]
        width = axis.period or axis.values[-1] - axis.values[0]
        places[role] = axis.values[0] + width * generator.random(count)
    points = Points(**settings)
    stencils, inside = place_points(
        places, np.ones(count) if weights is None else weights, grid, points
    )
    assert inside.all()
    return PlacedPoints(points, stencils), places


def by_hand(grid, places, weights, x, nearest=False):
    """Means over cells of the field at the places, (T, Y, X) with NaN where there is none."""
    parts = []
    for role in ("time", "y", "x"):
        if role not in grid.roles:
            parts.append(np.ones((len(weights), 1)))
        elif role == "time" and nearest:
            parts.append(np.eye(grid["time"].size)[np.rint(places["time"]).astype(int)])
        else:
            parts.append(hats(grid[role].values, places[role], grid[role].period))
    values = np.einsum("pt,py,px,tyx->p", *parts, x)
    cells = []
    for role in ("time", "y", "x"):
        if role not in grid.roles:
            cells.append(np.zeros(len(weights), int))
            continue
        axis = grid[role]
        gap = np.abs(axis.values[:, None] - places[role])
        if axis.period is not None:
            gap = np.minimum(gap, axis.period - gap)
        cells.append(gap.argmin(0))
    total, size = np.zeros(x.shape), np.zeros(x.shape)
    np.add.at(total, tuple(cells), weights * values)
    np.add.at(size, tuple(cells), weights)
    with np.errstate(invalid="ignore"):
        return total / size


GRIDS = {
    "all axes": ({"time": np.arange(4.0), "lat": LAT, "lon": np.arange(0.0, 7.0)}, ()),
    "circle": ({"lat": LAT, "lon": LON}, ("lon",)),
    "series": ({"time": np.arange(9.0)}, ()),
}


@pytest.mark.parametrize("name", GRIDS)
def test_means_of_linear_interpolation(name):
    coords, periodic = GRIDS[name]
    grid = grid_of(periodic, **coords)
    weights = np.random.default_rng(2).uniform(0.5, 2, 40)
    operator, places = placed(grid, weights=weights)
    h, seen = bound(operator, grid)
    shape = [grid[r].size if r in grid.roles else 1 for r in ("time", "y", "x")]
    x = noise(1, 1, *shape)
    expected = by_hand(grid, places, weights, x[0, 0].numpy())
    there = np.isfinite(expected)
    np.testing.assert_allclose(h(x)[0, 0].numpy()[there], expected[there], atol=1e-12)
    assert seen is None
    y = noise(3, 1, *shape, seed=1)
    z = noise(3, 1, *shape, seed=2)
    assert abs(float((h(z) * y).sum() - (z * h.adjoint(y)).sum())) < 1e-10


def test_the_nearest_time():
    grid = grid_of(**GRIDS["all axes"][0])
    operator, places = placed(grid, time="nearest")
    h, _ = bound(operator, grid)
    x = noise(1, 1, 4, 5, 7)
    expected = by_hand(grid, places, np.ones(40), x[0, 0].numpy(), nearest=True)
    there = np.isfinite(expected)
    np.testing.assert_allclose(h(x)[0, 0].numpy()[there], expected[there], atol=1e-12)


@pytest.mark.parametrize("name", ["all axes", "circle"])
def test_patches_give_what_the_whole_gives_where_they_say_so(name):
    coords, periodic = GRIDS[name]
    grid = grid_of(periodic, **coords)
    operator, _ = placed(grid, count=200)
    whole, _ = bound(operator, grid)
    part = slice(2, 6)
    h, seen = bound(operator, grid, x=part)
    shape = [grid[r].size if r in grid.roles else 1 for r in ("time", "y", "x")]
    x = noise(1, 1, *shape)
    inside = np.ones((*shape[:2], 4), bool) if seen is None else seen[0]
    found, expected = h(x[..., part])[0, 0].numpy(), whole(x)[0, 0, ..., part].numpy()
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-12)
    assert inside[..., 1:3].all()
    assert not inside.all()


def test_at_a_coast_the_sea_counts():
    """Of a place with three quarters of its weight at sea the rest is left out; with less, all."""
    grid = grid_of(lat=np.arange(3.0), lon=np.arange(4.0))
    points = Points()
    places = {"y": np.array([0.0, 2.0]), "x": np.array([0.25, 2.75])}
    stencils, _ = place_points(places, np.ones(2), grid, points)
    sea = np.ones((1, 3, 4), bool)
    sea[0, 0, 1] = sea[0, 2, 3] = False
    h, seen = bound(PlacedPoints(points, stencils), grid, domain=sea)
    x = noise(1, 1, 1, 3, 4)
    assert seen[0, 0, 0, 0]
    assert not seen[0, 0, 2, 3]
    torch.testing.assert_close(h(x)[0, 0, 0, 0, 0], x[0, 0, 0, 0, 0])


def test_places_outside_are_told_apart():
    grid = grid_of(lat=LAT, lon=LON)
    places = {"y": np.array([9.0, 9.6, 16.5, 12.0]), "x": np.array([40.0, 40.0, 40.0, -90.0])}
    _, inside = place_points(places, np.ones(4), grid, Points())
    np.testing.assert_array_equal(inside, [False, True, False, False])


def test_currents_at_places():
    grid = grid_of(lat=20 + np.arange(6.0), lon=np.arange(7.0))
    places, _ = placed(grid, count=30)
    both, _ = bound(Composed(places, Geostrophic()), grid)
    flow, _ = bound(Geostrophic(), grid)
    at, _ = bound(places, grid)
    x = noise(2, 1, 1, 6, 7)
    torch.testing.assert_close(both(x), at(flow(x)))
    y = noise(2, 2, 1, 6, 7, seed=1)
    gap = float((both(x) * y).sum() - (x * both.adjoint(y)).sum())
    assert abs(gap) < 1e-10 * float(both(x).abs().sum())


def test_without_places_nothing_is_observed():
    with pytest.raises(InputError, match="Points observes at places, which an array on a grid"):
        bound(Points(), grid_of(lat=LAT, lon=LON))
