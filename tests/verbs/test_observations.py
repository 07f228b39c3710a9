"""Kinds of observations on grids and at places of their own, in every method."""

import dask
import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.errors import InputError
from xr4dvar.operators import BlockMean, Geostrophic, Mask, Points, Stacked
from xr4dvar.testing import raise_if_dask_computes

TIME = np.datetime64("2020-01-01", "ns") + np.arange(4) * np.timedelta64(1, "D")
LAT, LON = 30 + 0.3 * np.arange(8)[::-1], 0.4 * np.arange(9)
GRID = xr.Dataset(coords={"time": TIME, "lat": LAT, "lon": LON})


def track(count=40, seed=0, name="sla"):
    """Random values at random places."""
    generator = np.random.default_rng(seed)
    days = generator.uniform(0, 3, count)
    coords = {
        "time": ("obs", TIME[0] + (days * 86400e9).astype("m8[ns]")),
        "lat": ("obs", generator.uniform(30.0, 32.1, count)),
        "lon": ("obs", generator.uniform(0.0, 3.2, count)),
    }
    values = 0.3 * generator.normal(size=count)
    return xr.DataArray(values, dims="obs", coords=coords, name=name, attrs={"units": "m"})


def oi(**settings):
    chosen = {"error_variance": 0.01, "variance": 0.09, "mean": 0.1} | settings
    return xv.OptimalInterpolation(length={"time": "4D", "lat": 1.0, "lon": 1.2}, **chosen)


def dense(obs, variance, given=False):
    """The best linear map from means over cells of linear interpolations."""
    days = (obs.time.values - TIME[0]) / np.timedelta64(1, "D")
    lat = np.sort(LAT)
    axes, places = (np.arange(4.0), lat, LON), (days, obs.lat.values, obs.lon.values)
    hats = [
        np.stack([np.interp(p, axis, unit) for unit in np.eye(len(axis))], 1)
        for axis, p in zip(axes, places, strict=True)
    ]
    rows = np.einsum("pa,pb,pc->pabc", *hats).reshape(obs.size, -1)
    cells = [np.abs(axis[:, None] - p).argmin(0) for axis, p in zip(axes, places, strict=True)]
    _, group = np.unique(np.ravel_multi_index(cells, (4, 8, 9)), return_inverse=True)
    errors = np.broadcast_to(variance, obs.size)
    weights = 1 / errors / np.bincount(group, 1 / errors)[group]
    mean = np.zeros((group.max() + 1, obs.size))
    mean[group, np.arange(obs.size)] = weights
    noise = np.diag(mean @ np.diag(errors) @ mean.T) if given else np.full(len(mean), variance)
    h, y = mean @ rows, mean @ obs.values
    points = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], 1) / [4, 1, 1.2]
    b = 0.09 * np.exp(-((points[:, None] - points[None]) ** 2).sum(-1))
    gain = b @ h.T @ np.linalg.inv(h @ b @ h.T + np.diag(noise))
    map_ = 0.1 + gain @ (y - h @ np.full(len(b), 0.1))
    return map_.reshape(4, 8, 9)[:, ::-1], np.sqrt(np.diag(b - gain @ h @ b)).reshape(4, 8, 9)[
        :, ::-1
    ]


def test_points_are_the_dense_solve():
    obs = track()
    maps = xv.reconstruct(xv.Observations(ssh=(obs, Points())), oi(), grid=GRID, error=True)
    expected, error = dense(obs, 0.01)
    np.testing.assert_allclose(maps.ssh.values, expected, atol=1e-9)
    np.testing.assert_allclose(maps.ssh_error.values, error, atol=1e-9)
    assert maps.ssh.attrs["units"] == "m"
    assert maps.lat.identical(GRID.lat)


def test_an_error_of_each_observation_weighs_it():
    obs = track(80)
    errors = obs.copy(data=np.random.default_rng(1).uniform(0.001, 0.05, 80)).drop_attrs()
    kinds = xv.Observations(ssh=(obs, Points(), errors))
    maps = xv.reconstruct(kinds, oi(), grid=GRID)
    expected, _ = dense(obs, errors.values, given=True)
    np.testing.assert_allclose(maps.ssh.values, expected, atol=1e-9)


def test_an_array_of_points_gives_an_array():
    maps = track().fourdvar.reconstruct(oi(operator=Points()), grid=GRID)
    assert isinstance(maps, xr.DataArray)
    np.testing.assert_allclose(maps.values, dense(track(), 0.01)[0], atol=1e-9)


def test_kinds_on_grids_of_their_own():
    """A coarse field, a fine one of some days, and tracks: each as if it were there alone."""
    generator = np.random.default_rng(3)
    coarse = xr.DataArray(
        generator.normal(size=(4, 2, 3)), dims=("time", "lat", "lon"), attrs={"units": "K"},
        coords={"time": TIME, "lat": [31.5, 30.45], "lon": [0.4, 1.6, 2.8]},
    )  # fmt: skip
    some = xr.DataArray(
        generator.normal(size=(2, 8, 9)), dims=("time", "lat", "lon"),
        coords={"time": TIME[[0, 2]], "lat": LAT[::-1], "lon": LON},
    )  # fmt: skip
    kinds = xv.Observations(ssh=(track(), Points()), sst=(coarse, BlockMean()), chl=some)
    errors = {"ssh": 0.01, "sst": 0.1, "chl": 0.2}
    maps = xv.reconstruct(kinds, oi(error_variance=errors), grid=GRID)
    assert list(maps.data_vars) == ["chl", "ssh", "sst"]
    np.testing.assert_allclose(maps.ssh, dense(track(), 0.01)[0], atol=1e-9)
    alone = coarse.fourdvar.reconstruct(oi(error_variance=0.1, operator=BlockMean()), grid=GRID)
    np.testing.assert_allclose(maps.sst, alone, atol=1e-9)
    whole = some.sortby("lat", ascending=False).reindex(time=TIME)
    expected = whole.fourdvar.reconstruct(oi(error_variance=0.2))
    np.testing.assert_allclose(maps.chl, expected, atol=1e-9)


def test_two_kinds_of_one_variable():
    """Half of the tracks each: as all of them, where no two share a cell."""
    obs = track(12, seed=8)
    kinds = xv.Observations(
        of={"first": "ssh", "second": "ssh"}, first=(obs[:6], Points()), second=(obs[6:], Points())
    )
    both = oi(error_variance={"first": 0.01, "second": 0.01})
    maps = xv.reconstruct(kinds, both, grid=GRID)
    np.testing.assert_allclose(maps.ssh.values, dense(obs, 0.01)[0], atol=1e-9)


def test_nodes_of_a_tree_are_kinds():
    drifters = xr.Dataset({"u": track(20, 1, "u"), "v": track(20, 1, "v")})
    for one in drifters.values():
        one.attrs["units"] = "m/s"
    tree = xr.DataTree.from_dict(
        {"ssh": track().to_dataset(name="ssh"), "drifters": drifters.drop_attrs()}
    )
    operator = Stacked({"ssh": Points(), "drifters": Points() @ Geostrophic()})
    method = oi(operator=operator, error_variance={"ssh": 0.01, "u": 0.02, "v": 0.02})
    maps = tree.fourdvar.reconstruct(method, grid=GRID)
    kinds = xv.Observations(ssh=(track(), Points()), drifters=(drifters, Points() @ Geostrophic()))
    xr.testing.assert_allclose(maps, xv.reconstruct(kinds, method, grid=GRID), atol=1e-12, rtol=0)
    assert list(maps.data_vars) == ["ssh"]
    with pytest.raises(InputError, match="the tree has no node 'drifters', it has 'ssh'"):
        tree.filter(lambda node: "u" not in node).fourdvar.reconstruct(method, grid=GRID)
    with pytest.raises(InputError, match="does not say how each node is observed"):
        tree.fourdvar.reconstruct(oi(), grid=GRID)


def test_windows_and_batches_give_the_same(monkeypatch):
    from xr4dvar.methods.oi import windows

    tall = GRID.drop_vars("lat").assign_coords(lat=30 + 0.3 * np.arange(99.0))
    obs = track(150)
    obs = obs.assign_coords(lat=("obs", 30 + (obs.lat.values - 30) * 14))
    kinds = xv.Observations(ssh=(obs, Points()))
    whole = xv.reconstruct(kinds, oi(), grid=tall)
    monkeypatch.setattr(windows, "WINDOW_CELLS", 100)
    cut = xv.reconstruct(kinds, oi(), grid=tall, batch_size=1)
    assert 1e-9 < float(abs(cut.ssh - whole.ssh).max()) < 0.03 * 0.3


def test_lazy_kinds_stay_lazy():
    values = np.random.default_rng(0).normal(size=(4, 8, 9))
    field = xr.DataArray(values, dims=("time", "lat", "lon"), coords=GRID.coords, name="ssh")
    field = field.where(field > 0.5)
    other = track(20, 4)
    eager = xv.Observations(of={"tracks": "ssh"}, ssh=field, tracks=(other, Points()))
    errors = oi(error_variance={"ssh": 0.02, "tracks": 0.01})
    maps = xv.reconstruct(eager, errors)
    chunked = xv.Observations(
        of={"tracks": "ssh"}, ssh=field.chunk(time=2), tracks=(other, Points())
    )
    with raise_if_dask_computes():
        lazy = xv.reconstruct(chunked, errors)
    with dask.config.set(scheduler="sync"):
        np.testing.assert_allclose(lazy.ssh.compute(), maps.ssh, atol=1e-9)
    again = xv.reconstruct(chunked, errors)
    assert again.ssh.data.name == lazy.ssh.data.name
    moved = xv.Observations(
        of={"tracks": "ssh"}, ssh=field.chunk(time=2),
        tracks=(other.assign_coords(lat=other.lat + 0.01), Points()),
    )  # fmt: skip
    assert xv.reconstruct(moved, errors).ssh.data.name != lazy.ssh.data.name


@pytest.fixture(scope="module")
def truth():
    t, y, x = np.ogrid[:30, :16, :18]
    values = sum(
        0.1 * np.cos(ky * y + kx * x + w * t + phase)
        for ky, kx, w, phase in np.random.default_rng(0).normal(size=(8, 4)) * [0.5, 0.5, 0.3, 3]
    )
    coords = {
        "time": TIME[0] + np.arange(30) * np.timedelta64(1, "D"),
        "lat": 30 + 0.3 * np.arange(16), "lon": 0.4 * np.arange(18),
    }  # fmt: skip
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords, name="ssh")


def along(truth, count=900, seed=5):
    """The truth at random places, with an error."""
    generator = np.random.default_rng(seed)
    ends = {"lat": (30.0, 34.5), "lon": (0.0, 6.8)}
    places = {n: ("obs", generator.uniform(*ends[n], count)) for n in ends}
    times = truth.time.values[generator.integers(30, size=count)]
    where = {n: xr.DataArray(p[1], dims="obs") for n, p in places.items()}
    values = truth.interp(time=xr.DataArray(times, dims="obs"), **where)
    noisy = values.values + 0.01 * generator.normal(size=count)
    return xr.DataArray(noisy, dims="obs", coords={"time": ("obs", times), **places}, name="ssh")


@pytest.mark.parametrize("name", ["OptimalInterpolation", "Variational", "FourDVarNet"])
def test_methods_learn_from_points(truth, name, tmp_path):
    obs = xv.Observations(ssh=(along(truth), Points()))
    first = xv.OptimalInterpolation(
        length={"time": "4D", "lat": 1.0, "lon": 1.2}, variance=float(truth.var()),
        error_variance=1e-4, mean=0.0, operator=obs.operator,
    )  # fmt: skip
    method = {
        "OptimalInterpolation": xv.OptimalInterpolation(scales=1, mean=0.0),
        "Variational": xv.Variational(
            xv.EOFs(modes=8), 1e-4, patch={"time": 6}, background=None
        ),
        "FourDVarNet": xv.FourDVarNet(
            background=first, operator=obs.operator, patch={"time": 4, "lat": 16, "lon": 18},
            widths=(8, 8), prior_width=8, steps=2,
            training=xv.Training(steps=3, batch_size=2),
        ),
    }[name]  # fmt: skip
    model = xv.fit(obs, method, target=truth, validation=0.2)
    model.save(tmp_path / "m.safetensors")
    model = xv.load(tmp_path / "m.safetensors")
    maps = xv.reconstruct(obs, model, grid=truth).ssh
    best = xv.reconstruct(obs, first, grid=truth).ssh
    rmse = [float(((m - truth) ** 2).mean() ** 0.5) for m in (maps, best)]
    assert rmse[0] < 1.3 * rmse[1] < 0.5 * float(truth.std())


def refused(match, kinds, method=None, **options):
    with pytest.raises(InputError, match=match):
        xv.reconstruct(kinds, oi() if method is None else method, **{"grid": GRID, **options})


def test_what_is_wrong_is_told(caplog):
    obs, points = track(), Points()
    with pytest.raises(InputError, match="there is no observation"):
        xv.Observations()
    with pytest.raises(InputError, match=r"(?s)'a' is 3, no DataArray.*of 'b' is 'Points'"):
        xv.Observations(a=3, b=(obs, "Points"))
    nothing = obs.drop_vars("lat")
    negative = (obs, points, -1.0 * abs(obs))
    far = obs.assign_coords(lat=obs.lat + 50)
    one, two = (obs, points), (obs, points, 0.1)
    plain = abs(obs).drop_attrs()
    short, foreign = (obs, points, plain[:5]), (obs, points, plain.rename(obs="foo"))
    centimetres = (obs, points, plain.assign_attrs(units="cm2"))
    nowhere = obs.assign_coords(lat=("obs", np.r_[np.nan, obs.lat.values[1:]]))
    two_in_one = xr.Dataset({"ssh": obs, "flag": obs})
    kinds = xv.Observations(ssh=one)
    refused("the grid of the maps is not known", kinds, grid=None)
    refused("LinearInterpolation maps the variables", kinds, xv.LinearInterpolation())
    refused("error_variance= is given beside Observations", kinds, error_variance=0.1)
    refused("the method of", kinds, oi(operator=Stacked({"ssh": BlockMean()})))
    for words, given in {
        "none of the 40 observations of 'ssh' lies inside": {"ssh": (far, points)},
        "is up to 0.1 degree off the grid": {"ssh": shifted(), "sst": one},
        "obs needs one coordinate for the latitude": {"ssh": (nothing, points)},
        "error_variance of 'ssh' is not positive and finite": {"ssh": negative},
        "'error_variance of 'ssh'': |error_variance of 'ssh': 'obs' has 5": {"ssh": short},
        "error_variance of 'ssh': has a dimension 'foo'": {"ssh": foreign},
        "that of 'ssh' is in 'cm2'|is in 'cm2'": {"ssh": centimetres},
        "'ssh' has infinite values": {"ssh": (obs / 0.0, points)},
        "1 observations of 'ssh' have no time or place": {"ssh": (nowhere, points)},
        "'ssh' has no value, all is missing": {"ssh": (obs * np.nan, points)},
        "'ssh' is int64, not real numbers": {"ssh": (obs.astype(int), points)},
        "'ssh' holds 'ssh', 'flag', and its operator observes 'ssh'": {"ssh": (two_in_one, points)},
        "'sst': no error_variance": {"ssh": two, "sst": one},
        "its operator observes 'u', 'v'": {"d": (obs, points @ Geostrophic())},
        "time is 'cubic'": {"ssh": (obs, Points(time="cubic"))},
    }.items():
        refused(words, xv.Observations(**given))
    half = obs.assign_coords(lat=("obs", np.where(np.arange(40) < 3, 60.0, obs.lat.values)))
    xv.reconstruct(xv.Observations(ssh=(half, points)), oi(), grid=GRID)
    assert "3 of 40 observations of 'ssh' lie outside the grid" in caplog.text


def shifted():
    lat = LAT + 0.1
    return xr.DataArray(
        np.zeros((4, 8, 9)),
        dims=("time", "lat", "lon"),
        coords={"time": TIME, "lat": lat, "lon": LON},
    )


def test_a_model_is_used_with_its_kinds():
    obs = along_small()
    target = xr.DataArray(
        np.random.default_rng(0).normal(size=(4, 8, 9)), dims=("time", "lat", "lon"),
        coords=GRID.coords, name="ssh",
    )  # fmt: skip
    model = xv.fit(obs, oi(mean=0.1), target=target)
    other = xv.Observations(ssh=(track(), Points(time="nearest")))
    refused("the observations are of", other, model)
    assert Mask() != model.method.operator


def along_small():
    return xv.Observations(ssh=(track(), Points()))


def test_points_are_mapped_by_any_method_that_observes_them(truth):
    obs = along(truth)
    kinds = xv.Observations(ssh=(obs, Points()))
    method = xv.Variational(xv.EOFs(modes=8), 1e-4, patch={"time": 6}, background=None)
    model = xv.fit(kinds, method, target=truth)
    maps = obs.rename("sla").fourdvar.map_points(model, truth)
    xr.testing.assert_allclose(maps, xv.reconstruct(kinds, model, grid=truth).ssh, rtol=1e-12)
    assert maps.name == "sla"
    chosen = xv.OptimalInterpolation(
        length={"time": "4D", "lat": 1.0, "lon": 1.2}, variance=float(truth.var()),
        error_variance=1e-4, mean=0.0, operator=Points(),
    )  # fmt: skip
    averaged = obs.fourdvar.map_points(chosen, truth, error=True)
    xr.testing.assert_allclose(
        averaged, xv.reconstruct(kinds, chosen, grid=truth, error=True), rtol=1e-12
    )
    on_grid = truth.fourdvar.fit(method, target=truth)
    with pytest.raises(InputError, match=r"fit it with operator=xr4dvar.operators.Points\(\)"):
        obs.fourdvar.map_points(on_grid, truth)


def test_a_network_learns_from_points_alone(truth):
    """Without a target it asks for the grid, and is held against points that it was not shown."""
    obs = xv.Observations(ssh=(along(truth, 3000), Points()))
    net = xv.FourDVarNet(
        background=None, patch={"time": 4, "lat": 16, "lon": 18}, widths=(8, 8), prior_width=8,
        steps=1, prior=None, training=xv.Training(steps=80, batch_size=4, learning_rate=5e-3),
    )  # fmt: skip
    with pytest.raises(InputError, match="the grid of the maps is not known"):
        xv.fit(obs, net, validation=0.2)
    model = xv.fit(obs, net, grid=truth, validation=0.2)
    history = model.history
    assert float(history.validation_loss.min()) < 0.9 * history.attrs["background_loss"]
    with pytest.raises(InputError, match="grid is given, and obs has one"):
        truth.fourdvar.fit(net, grid=truth)
    with pytest.raises(InputError, match="grid is given, and the target has one"):
        xv.fit(obs, net, target=truth, grid=truth)


def gridded(seed=0):
    values = np.random.default_rng(seed).normal(size=(4, 8, 9))
    field = xr.DataArray(values, dims=("time", "lat", "lon"), coords=GRID.coords, name="z")
    return field.where(field > 0.8)


def test_the_order_of_kinds_is_none(truth):
    """One process solves both orders: neither gets the errors or places of the other."""
    of, errors = {"z": "ssh", "a": "ssh"}, {"z": 0.5, "a": 0.001}
    first = xv.Observations(of=of, a=(track(), Points()), z=gridded())
    second = xv.Observations(of=of, z=gridded(), a=(track(), Points()))
    method = oi(error_variance=errors)
    one, two = (xv.reconstruct(kinds, method, grid=GRID) for kinds in (first, second))
    xr.testing.assert_equal(one.drop_attrs(), two.drop_attrs())
    single = oi(error_variance={"z": 0.5})
    lonely = xv.reconstruct(xv.Observations(of={"z": "ssh"}, z=gridded()), single)
    expected = gridded().fourdvar.reconstruct(oi(error_variance=0.5))
    np.testing.assert_allclose(lonely.ssh, expected, atol=1e-9)
    target = gridded().fillna(0.1).rename("ssh")
    model = xv.fit(first, method, target=target)
    again, other = (xv.reconstruct(kinds, model, grid=GRID) for kinds in (first, second))
    xr.testing.assert_equal(again.drop_attrs(), other.drop_attrs())


def test_variances_lie_where_their_observations_do():
    variance = xr.DataArray(
        np.random.default_rng(1).uniform(0.01, 1, (4, 8, 9)),
        dims=("time", "lat", "lon"), coords=GRID.coords,
    )  # fmt: skip
    field = gridded().rename("ssh")
    kinds = xv.Observations(ssh=(field.isel(time=[0, 2]), Mask(), variance.isel(time=[0, 2])))
    maps = xv.reconstruct(kinds, oi(), grid=GRID)
    some = field.where(field.time.isin(TIME[[0, 2]]))
    expected = some.fourdvar.reconstruct(oi(), error_variance=variance)
    np.testing.assert_allclose(maps.ssh, expected, atol=1e-9)
    for wrong in (variance, variance.isel(lat=slice(None, None, -1))):
        kinds = xv.Observations(ssh=(field.isel(time=[0, 2]), Mask(), wrong))
        refused("error_variance of 'ssh'", kinds)


def test_numbers_are_the_errors_of_a_method_that_has_none():
    given = xv.Observations(ssh=(track(), Points(), 0.01))
    maps = xv.reconstruct(given, oi(error_variance=None), grid=GRID)
    np.testing.assert_allclose(maps.ssh.values, dense(track(), 0.01, given=True)[0], atol=1e-9)
    model = xv.fit(given, oi(error_variance=None), grid=GRID)
    assert model.method.error_variance == {"ssh": 0.01}
    alone = track().fourdvar.reconstruct(oi(operator=Points()), grid=GRID, error_variance=0.01)
    np.testing.assert_allclose(alone.values, maps.ssh.values, atol=1e-12)


def test_points_of_two_currents_tell_what_they_lack(caplog):
    flow = xr.Dataset({"u": track(30, 1, "u"), "v": track(30, 1, "v")}).drop_attrs()
    half = flow.assign(u=flow.u.where(np.arange(30) % 2 == 0))
    method = oi(error_variance={"u": 0.02, "v": 0.02})
    kinds = xv.Observations(d=(half, Points() @ Geostrophic()))
    maps = xv.reconstruct(kinds, method, grid=GRID)
    assert "15 observations of 'd' lack one of 'u', 'v'" in caplog.text
    even = xv.Observations(d=(flow.isel(obs=slice(0, None, 2)), Points() @ Geostrophic()))
    xr.testing.assert_allclose(maps, xv.reconstruct(even, method, grid=GRID), rtol=1e-12)
    mapped = xv.map_points(flow, oi(operator=Points() @ Geostrophic()), GRID)
    assert list(mapped.data_vars) == ["ssh"]
    chained = xv.Observations(d=(flow, Points() @ Geostrophic() @ Mask()))
    other = xv.Observations(d=(flow, Points() @ Geostrophic()))
    xr.testing.assert_allclose(
        xv.reconstruct(chained, method, grid=GRID), xv.reconstruct(other, method, grid=GRID)
    )
    neither = flow.assign(u=flow.u.where(np.arange(30) < 9), v=flow.v.where(np.arange(30) > 9))
    kinds = xv.Observations(d=(neither, Points() @ Geostrophic()))
    refused("no observation of 'd' has all of 'u', 'v'", kinds, method)


def test_kinds_of_a_circle_may_be_named_otherwise():
    """Longitudes a turn away, or a rounding below the first one."""
    lon = np.arange(0.0, 360.0, 30.0)
    whole = xr.DataArray(
        np.random.default_rng(0).normal(size=(4, 8, 12)), dims=("time", "lat", "lon"),
        coords={"time": TIME, "lat": LAT, "lon": lon}, name="ssh",
    )  # fmt: skip
    expected = whole.fourdvar.reconstruct(oi(), periodic=("lon",))
    for own in (lon - 1e-7, lon + 360.0):
        kinds = xv.Observations(ssh=whole.assign_coords(lon=own))
        maps = xv.reconstruct(kinds, oi(), grid=whole, periodic=("lon",))
        np.testing.assert_allclose(maps.ssh, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: xv.Observations(of="ssh", a=track()), "of is 'ssh'; fix: give names"),
        (lambda: xv.Observations(of={"a": ["ssh"]}, a=track()), "of is {'a': "),
        (
            lambda: xv.Observations(d=(track(), Stacked({"d": Points()}))),
            "the operator of 'd' is a Stacked",
        ),
        (
            lambda: xv.reconstruct(
                xv.Observations(of={"a": "lat"}, a=(track(), Points())), oi(), grid=GRID
            ),
            "'lat', the variable that is mapped, is the name of a coordinate",
        ),
        (
            lambda: xv.reconstruct(xv.Observations(ssh=(track(), Points())), None, grid=GRID),
            "model|method is None",
        ),
        (
            lambda: xv.plan(xv.Observations(ssh=gridded()), oi()),
            "fit, reconstruct and map_points alone take several kinds",
        ),
        (
            lambda: xr.DataTree.from_dict(
                {"ssh": track().to_dataset(name="ssh"), "sst": gridded().to_dataset()}
            ).fourdvar.reconstruct(oi(operator=Stacked({"ssh": Points()})), grid=GRID),
            "the node 'sst' is not observed by the operator",
        ),
    ],
)
def test_what_is_no_observation_is_told(make, words):
    with pytest.raises(InputError, match=words):
        make()
