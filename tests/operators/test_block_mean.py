"""Block means against xarray's coarsen, with area, ragged edges, coasts and circles."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from tests.operators.grids import LON, bound, grid_of, is_adjoint, noise
from xr4dvar.errors import InputError, Problems

FINE = {"y": np.arange(13.0), "x": np.arange(0.0, 24.0, 2.0)}


def at_anchors(operator, state, observed, field):
    """Observations of a field (Y, X) at the cells that stand for blocks."""
    h, seen = bound(operator, state, observed)
    problems = Problems()
    anchors = operator.anchors(replace(state, observed=observed), problems)
    assert not problems.found
    values = h(torch.as_tensor(field)[None, None, None])[0, 0, 0].numpy()
    rows = anchors.get("y", np.arange(state["y"].size))
    columns = anchors.get("x", np.arange(state["x"].size))
    marked = np.zeros(values.shape, bool)
    marked[np.ix_(rows, columns)] = True
    assert (values[~marked] == 0).all()
    assert is_adjoint(h, (1, *field.shape))
    return values[np.ix_(rows, columns)], seen


def test_means_of_ragged_blocks_by_number():
    state = grid_of(**FINE)
    fine = xr.DataArray(noise(13, 12).numpy(), dims=("y", "x"), coords=FINE)
    observed = grid_of(y=np.arange(4.0), x=np.arange(3.0))
    found, seen = at_anchors(xv.operators.BlockMean({"y": 4, "x": 4}), state, observed, fine.values)
    expected = fine.pad(y=(0, 3)).coarsen(y=4, x=4).mean()
    np.testing.assert_allclose(found, expected.values, atol=1e-12)
    assert seen is not None  # the cells that stand for none


def test_blocks_need_not_match_the_cells():
    """Blocks of 2.5 cells: the shared cell counts by half."""
    state = grid_of(y=np.array([0.0, 1.0]), x=np.arange(10.0))
    observed = grid_of(y=np.array([0.0, 1.0]), x=np.array([0.75, 3.25, 5.75, 8.25]))
    field = np.stack([np.arange(10.0)] * 2)
    found, _ = at_anchors(xv.operators.BlockMean(), state, observed, field)
    first = (0 + 1 + 0.5 * 2) / 2.5
    np.testing.assert_allclose(found[0], [first, (0.5 * 2 + 3 + 4) / 2.5, 6 - 0.2, 9 - 0.8])


def test_latitudes_count_by_their_area():
    lat = np.array([0.0, 20.0, 40.0, 60.0])
    state = grid_of(lat=lat, lon=np.arange(3.0))
    observed = grid_of(lat=np.array([10.0, 50.0]), lon=np.arange(3.0))
    field = np.stack([lat] * 3, -1)
    found, _ = at_anchors(xv.operators.BlockMean(), state, observed, field)
    sines = np.sin(np.deg2rad([-10.0, 10.0, 30.0, 50.0, 70.0]))
    area = np.diff(sines)
    expected = [
        (area[:2] * lat[:2]).sum() / area[:2].sum(),
        (area[2:] * lat[2:]).sum() / area[2:].sum(),
    ]
    np.testing.assert_allclose(found[:, 0], expected)


def test_equal_weights_are_those_of_coarsen():
    lat = np.array([0.0, 20.0, 40.0, 70.0])
    state, observed = (
        grid_of(lat=lat, lon=np.arange(3.0)),
        grid_of(lat=[10.0, 55.0], lon=np.arange(3.0)),
    )
    operator = xv.operators.BlockMean({"lat": 2}, weights="equal")
    found, _ = at_anchors(operator, state, observed, np.stack([lat] * 3, -1))
    np.testing.assert_allclose(found[:, 0], [10.0, 55.0])


def test_one_block_along_an_axis_is_all_of_it():
    obs = xr.DataArray(
        np.ones((1, 3)), dims=("y", "x"), coords={"y": [4.5], "x": [4.0, 12.0, 20.0]}
    )
    fine = xr.Dataset(coords={"y": np.arange(10.0), "x": np.arange(1.0, 24.0, 2.0)})
    maps = obs.rename("t").fourdvar.reconstruct(oi(), grid=fine)
    np.testing.assert_allclose(maps.mean("y").coarsen(x=4).mean(), 1.0, atol=1e-3)
    off = obs.rename("t").assign_coords(y=[2.0])
    with pytest.raises(InputError, match="has one block, whose middle is not that of the grid"):
        off.fourdvar.reconstruct(oi(), grid=fine)


def test_missing_blocks_are_no_longer_ones(caplog):
    obs = coarse(y=np.array([1.0, 4.0, 10.0]), x=np.arange(2.0, 24.0, 6.0))
    with pytest.raises(InputError, match="steps from 3 to 6: blocks would reach over"):
        obs.fourdvar.reconstruct(oi(), grid=FINE_GRID)
    shifted = coarse(y=np.arange(0.0, 12.0, 3.0), x=np.arange(2.0, 24.0, 6.0))
    shifted.fourdvar.reconstruct(oi(), grid=FINE_GRID)
    assert "1 of 4 blocks of 'y' reach beyond the grid, and are not used" in caplog.text


def test_cells_are_counted_from_the_first_of_the_data():
    fine = xr.DataArray(noise(10, 4).numpy(), dims=("y", "x"), name="t",
                        coords={"y": np.arange(10.0)[::-1], "x": np.arange(4.0)})  # fmt: skip
    means = fine.pad(y=(0, 2)).coarsen(y=4).mean().assign_coords(y=[9.0, 5.0, 1.0])
    maps = means.fourdvar.reconstruct(oi(cells={"y": 4}), grid=fine)
    back = maps.pad(y=(0, 2)).coarsen(y=4).mean()
    np.testing.assert_allclose(back.values, means.values, atol=1e-3)


def test_labels_of_all_axes_are_those_of_the_grid():
    obs = coarse(y=np.arange(1.0, 12.0, 3.0), x=FINE["x"])
    fine = xr.Dataset(coords={"y": FINE["y"][:12], "x": FINE["x"][::-1]})
    maps = obs.fourdvar.reconstruct(oi(), grid=fine)
    np.testing.assert_array_equal(maps.x, fine.x)
    back = maps.sortby("x").coarsen(y=3).mean()
    np.testing.assert_allclose(back.values, obs.values, atol=1e-3)


def test_round_a_circle():
    """The first block reaches over the seam."""
    state = grid_of(("lon",), lat=np.arange(2.0), lon=LON)
    observed = grid_of(("lon",), lat=np.arange(2.0), lon=np.arange(0.0, 360.0, 60.0))
    field = np.stack([np.arange(18.0)] * 2)
    found, _ = at_anchors(xv.operators.BlockMean(), state, observed, field)
    np.testing.assert_allclose(found[0, :2], [(17 + 0 + 1) / 3, 3.0])


def test_times():
    state = grid_of(time=np.arange(6.0), x=np.arange(2.0))
    observed = grid_of(time=np.array([1.0, 4.0]), x=np.arange(2.0))
    h, _ = bound(xv.operators.BlockMean(), state, observed)
    x = noise(1, 1, 6, 1, 2)
    found = h(x)[0, 0, [1, 4]]
    torch.testing.assert_close(found, x[0, 0].reshape(2, 3, 1, 2).mean(1))
    assert is_adjoint(h, (6, 1, 2))


def test_the_sea_of_a_coastal_block():
    state, observed = grid_of(**FINE), grid_of(y=np.arange(4.0), x=np.arange(3.0))
    sea = np.ones((1, 13, 12), bool)
    sea[:, :3, :2] = False
    operator = xv.operators.BlockMean({"y": 4, "x": 4})
    h, _ = bound(operator, state, observed, domain=sea)
    field = np.where(sea, noise(1, 13, 12).numpy(), 1e9)
    found = h(torch.as_tensor(field)[None, None])[0, 0, 0]
    anchors = operator.anchors(replace(state, observed=observed), Problems())
    first = found[anchors["y"][0], anchors["x"][0]]
    assert float(first) == pytest.approx(field[0, :4, :4][sea[0, :4, :4]].mean())
    assert is_adjoint(h, (1, 13, 12))


def oi(**kw):
    lengths = {"y": 1.0, "x": 2.0}
    return xv.OptimalInterpolation(
        lengths, 1.0, 1e-6, mean=0.0, operator=xv.operators.BlockMean(**kw)
    )


def coarse(**coords):
    coords = coords or {"y": np.arange(1.0, 12.0, 3.0), "x": np.arange(2.0, 24.0, 6.0)}
    shape = [len(c) for c in coords.values()]
    return xr.DataArray(noise(*shape).numpy(), dims=list(coords), coords=coords, name="t")


def test_labels_of_the_result_are_those_of_the_grid():
    fine = xr.Dataset(coords={"y": FINE["y"][:12][::-1], "x": FINE["x"]})
    obs = coarse().assign_attrs(units="K")
    maps = obs.fourdvar.reconstruct(oi(), grid=fine)
    assert maps.sizes == {"y": 12, "x": 12}
    assert maps.attrs["units"] == "K"
    assert maps.name == "t"
    xr.testing.assert_equal(maps.y.drop_vars("y"), fine.y.drop_vars("y"))
    back = maps.sortby("y").coarsen(y=3, x=3).mean()
    np.testing.assert_allclose(back.values, obs.values, atol=1e-3)
    np.testing.assert_allclose(back.y.values, obs.y.values)
    turned = obs.isel(y=slice(None, None, -1)).fourdvar.reconstruct(oi(), grid=fine)
    xr.testing.assert_allclose(turned, maps)


def test_members_and_times_that_the_grid_lacks_are_those_of_the_data():
    fine = xr.Dataset(coords={"y": FINE["y"][:12], "x": FINE["x"]})
    obs = xr.concat([coarse(), 2 * coarse()], xr.IndexVariable("member", [7, 9]))
    maps = obs.fourdvar.reconstruct(oi(), grid=fine)
    assert maps.member.values.tolist() == [7, 9]
    one = coarse().fourdvar.reconstruct(oi(), grid=fine)
    np.testing.assert_allclose(maps.sel(member=7), one, atol=1e-6)


def test_lazy_and_chunked_is_the_same():
    fine = xr.Dataset(coords={"y": FINE["y"][:12], "x": FINE["x"]})
    obs = coarse()
    lazy = obs.chunk(y=2).fourdvar.reconstruct(oi(), grid=fine)
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), obs.fourdvar.reconstruct(oi(), grid=fine))


def test_every_verb_takes_the_grid_or_refuses():
    fine = xr.Dataset(coords={"y": FINE["y"][:12], "x": FINE["x"]})
    obs = coarse()
    assert obs.fourdvar.plan(oi(), grid=fine).patch == {"y": 12, "x": 12}
    with pytest.raises(InputError, match="a forecast is on the grid of obs"):
        obs.fourdvar.forecast(oi(), 1)
    with pytest.raises(InputError, match="points are of the field itself"):
        obs.stack(p=("y", "x")).reset_index("p").fourdvar.map_points(oi(), fine)


FINE_GRID = xr.Dataset(coords={"y": FINE["y"][:12], "x": FINE["x"]})


@pytest.mark.parametrize(
    ("obs", "method", "grid", "words"),
    [
        (coarse(), oi(), None, "give grid="),
        (coarse(), xv.OptimalInterpolation({"y": 3.0, "x": 6.0}, 1.0), FINE_GRID, "leave it out"),
        (coarse(), oi(), FINE_GRID.rename(y="lat"), "the grid has a dimension 'lat', obs has none"),
        (coarse(), oi(cells={"y": 5}), FINE_GRID, "'y' has 4 blocks, the grid has 3"),
        (coarse(y=np.arange(0, 12, 0.5), x=FINE["x"]), oi(), FINE_GRID, "is finer than"),
        (coarse(), oi(cells={"y": 0}), FINE_GRID, "cells along 'y'"),
        (coarse(), oi(cells={}), FINE_GRID, "cells is empty"),
        (coarse(), oi(cells={"y": 3}), FINE_GRID, "'x' of obs differs from that of the grid"),
        (
            coarse(y=50 + np.arange(0, 12, 3.0), x=FINE["x"]),
            oi(),
            FINE_GRID,
            "lie outside the grid",
        ),
    ],
)
def test_what_cannot_be_used_is_told(obs, method, grid, words):
    with pytest.raises(InputError, match=words):
        obs.fourdvar.reconstruct(method, grid=grid)
