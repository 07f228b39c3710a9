"""Several kinds of observations of one state, in every method, against dense algebra."""

import dask
import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from tests.operators.grids import bound, grid_of, noise
from xr4dvar.errors import InputError
from xr4dvar.labels import find_axes, make_grid
from xr4dvar.operators import Blur, Function, Geostrophic, Mask, Stacked
from xr4dvar.testing import assert_adjoint, raise_if_dask_computes

LENGTHS = {"time": 4.0, "lat": 1.0, "lon": 1.2}
ERRORS = {"ssh": 0.001, "u": 0.02, "v": 0.03}
BOTH = Stacked({"ssh": Mask(), "drifters": Geostrophic()})
DAYS = np.datetime64("2020-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D")


def observed(seed=0, shape=(3, 8, 9), share=0.15):
    """Random heights and currents, in another order than the operator gives them."""
    generator = np.random.default_rng(seed)
    coords = {"time": DAYS, "lat": 30 + 0.3 * np.arange(shape[1]), "lon": 0.4 * np.arange(shape[2])}
    units = {"v": "m/s", "ssh": "m", "u": "m s-1"}
    return xr.Dataset(
        {
            name: xr.DataArray(
                np.where(generator.random(shape) < share, values, np.nan),
                dims=list(coords), coords=coords, attrs={"units": unit},
            )
            for (name, unit), values in zip(
                units.items(), 0.3 * generator.normal(size=(3, *shape)), strict=True
            )
        }
    )  # fmt: skip


def method(operator=BOTH, **settings):
    length = {"time": "4D", "lat": 1.0, "lon": 1.2}
    chosen = {"error_variance": ERRORS, "variance": 0.09, "mean": 0.1} | settings
    return xv.OptimalInterpolation(length=length, operator=operator, **chosen)


def prior(obs):
    axes = [np.arange(3.0), obs.lat.values, obs.lon.values]
    places = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], 1)
    places = places / list(LENGTHS.values())
    return 0.09 * np.exp(-((places[:, None] - places[None]) ** 2).sum(-1))


def rows(operator, obs):
    """H (fields cells, cells) of all fields, one after the other."""
    import torch

    like = obs.ssh
    h, _ = bound(operator, make_grid(like, find_axes(like)))
    unit = torch.eye(like.size, dtype=torch.float64).view(like.size, 1, *like.shape)
    return h(unit).flatten(1).T.numpy()


def dense(operator, obs, errors=ERRORS):
    """Map and standard deviation of its error."""
    h, b, names = rows(operator, obs), prior(obs), operator.fields([])
    y = np.concatenate([obs[name].values.ravel() for name in names])
    r = np.repeat([errors[name] for name in names], obs.ssh.size)
    d, seen = y - h @ np.full(len(b), 0.1), np.isfinite(y)
    h = h[seen]
    gain = b @ h.T @ np.linalg.inv(h @ b @ h.T + np.diag(r[seen]))
    return 0.1 + gain @ d[seen], np.sqrt(np.diag(b - gain @ h @ b))


@pytest.mark.parametrize("few", [True, False])
def test_interpolation_is_the_dense_one(few, monkeypatch):
    from xr4dvar.covariance import gridded, observed_error

    monkeypatch.setattr(gridded, "FEW", 10_000 if few else 0)
    monkeypatch.setattr(gridded, "PATIENCE", 10_000)
    monkeypatch.setattr(observed_error, "FACTORISED", 10_000 if few else 0)
    obs = observed()
    found = obs.fourdvar.reconstruct(method(), error=True)
    expected, error = dense(BOTH, obs)
    assert list(found.data_vars) == ["ssh", "ssh_error"]
    gap = np.abs(found.ssh.values.ravel() - expected) / error
    assert gap.max() < (1e-9 if few else 0.01)
    np.testing.assert_allclose(
        found.ssh_error.values.ravel(), error, atol=1e-9 if few else 0.02 * 0.3
    )


def test_an_error_of_each_observation_counts():
    obs = observed()
    errors = {"ssh": 0.004, "u": 0.01, "v": 0.05}
    given = xr.Dataset({name: xr.full_like(obs[name], errors[name]) for name in obs})
    for one in given.values():
        one.attrs = {}
    found = obs.fourdvar.reconstruct(method(), error_variance=given)
    np.testing.assert_allclose(found.ssh.values.ravel(), dense(BOTH, obs, errors)[0], atol=1e-9)


def test_kinds_of_one_variable_under_other_names():
    """Two instruments observe the height: as one whose precision is the sum of both."""
    obs = observed().rename(u="nadir", v="swot")[["nadir", "swot"]]
    obs = xr.Dataset({name: field.assign_attrs(units="m") for name, field in obs.items()})
    two = Stacked({"swot": Mask(), "nadir": Mask()}, of={"nadir": "ssh", "swot": "ssh"})
    found = obs.fourdvar.reconstruct(method(two, error_variance={"nadir": 0.01, "swot": 0.04}))
    weights = {"nadir": 100.0, "swot": 25.0}
    precision = sum(weights[n] * obs[n].notnull() for n in obs)
    mean = sum(weights[n] * obs[n].fillna(0) for n in obs) / precision
    one = method(Mask(), error_variance=0.01)
    both = mean.where(precision > 0).rename("ssh")
    expected = both.fourdvar.reconstruct(one, error_variance=(1 / precision).fillna(1.0))
    np.testing.assert_allclose(found.ssh, expected, atol=1e-9)
    assert found.ssh.attrs["units"] == "m"


def test_two_variables_each_of_its_kinds():
    """What is observed of one variable says nothing of another that is mapped beside it."""
    obs = observed()
    extra = obs.ssh.rename("sst") + 3
    operator = Stacked({"sst": Blur({"lat": 0.3}), "ssh": Mask(), "drifters": Geostrophic()})
    both = method(operator, error_variance=ERRORS | {"sst": 0.01})
    found = obs.assign(sst=extra).fourdvar.reconstruct(both)
    alone = obs.fourdvar.reconstruct(method())
    assert list(found.data_vars) == ["ssh", "sst"]
    np.testing.assert_allclose(found.ssh, alone.ssh, atol=1e-9)
    one = method(Blur({"lat": 0.3}), error_variance=0.01)
    np.testing.assert_allclose(found.sst, extra.fourdvar.reconstruct(one), atol=1e-9)


def test_chunks_windows_and_files_give_the_same(tmp_path, monkeypatch):
    from xr4dvar.methods.oi import windows

    obs = observed(shape=(3, 99, 5))
    eager = obs.fourdvar.reconstruct(method())
    with raise_if_dask_computes():
        lazy = obs.chunk(lat=40, time=1).fourdvar.reconstruct(method())
    assert lazy.chunks["lat"] == (40, 40, 19)
    with dask.config.set(scheduler="sync"):
        np.testing.assert_allclose(lazy.ssh.compute(), eager.ssh, atol=1e-9)
    monkeypatch.setattr(windows, "WINDOW_CELLS", 100)
    cut = obs.fourdvar.reconstruct(method())
    assert 1e-9 < float(abs(cut.ssh - eager.ssh).max()) < 0.02 * 0.3


def test_a_model_file_knows_what_it_maps(tmp_path):
    obs = observed()
    model = obs.fourdvar.fit(method(mean="constant"), target=obs.ssh.fillna(0.1).rename("ssh"))
    model.save(tmp_path / "model.safetensors")
    again = xv.load(tmp_path / "model.safetensors")
    assert again.states == {"ssh": "m"}
    assert again.digest == model.digest
    assert "maps: ssh (m)" in repr(again)
    xr.testing.assert_identical(
        obs.fourdvar.reconstruct(model).ssh.drop_attrs(),
        obs.fourdvar.reconstruct(again).ssh.drop_attrs(),
    )


def test_adjoint():
    like = observed().ssh
    assert_adjoint(BOTH, like)
    assert_adjoint(Stacked({"a": Mask(), "b": Blur({"lon": 0.5})}, of={"b": "a"}), like)
    grid = grid_of(lat=30 + np.arange(5.0), lon=np.arange(6.0))
    two, _ = bound(Stacked({"a": Mask(), "b": Blur({"lon": 2.0})}), grid)
    x, y = noise(3, 2, 1, 5, 6), noise(3, 2, 1, 5, 6, seed=1)
    assert abs(float((two(x) * y).sum() - (x * two.adjoint(y)).sum())) < 1e-10


def currents(truth):
    """Heights and currents with errors, seen here and there."""
    import torch

    generator = np.random.default_rng(3)
    h, _ = bound(Geostrophic(latitude=38.0), make_grid(truth, find_axes(truth)))
    fields = h(torch.as_tensor(truth.values)[None, None])[0].numpy()
    shown = {}
    for name, field, error in zip(
        ("ssh", "u", "v"), (truth.values, *fields), (0.01, 0.05, 0.05), strict=True
    ):
        seen = generator.random(truth.shape) < 0.05
        noisy = field + error * generator.normal(size=truth.shape)
        shown[name] = truth.copy(data=np.where(seen, noisy, np.nan)).assign_attrs(
            units="m" if name == "ssh" else "m/s"
        )
    return xr.Dataset(shown)


@pytest.fixture(scope="module")
def waves():
    """Waves that move, of 12 numbers, on a plane."""
    generator = np.random.default_rng(0)
    t, y, x = np.ogrid[:40, :20, :22]
    truth = sum(
        0.05 * np.cos(ky * y + kx * x + 0.3 * w * t + phase)
        for ky, kx, w, phase in generator.normal(size=(12, 4)) * [0.5, 0.5, 1.0, 3.0]
    )
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D"),
        "y": ("y", 10.0 * np.arange(20), {"units": "km"}),
        "x": ("x", 9.0 * np.arange(22), {"units": "km"}),
    }
    return xr.DataArray(truth, dims=["time", "y", "x"], coords=coords, name="ssh")


WITH_DRIFTERS = Stacked({"ssh": Mask(), "drifters": Geostrophic(latitude=38.0)})
PRECISE = {"ssh": 1e-4, "u": 0.0025, "v": 0.0025}


def rmse(field, truth):
    return float(((field - truth) ** 2).mean() ** 0.5)


def test_fit_finds_errors_and_lengths_through_both(waves):
    obs = currents(waves)
    model = obs.fourdvar.fit(
        xv.OptimalInterpolation(operator=WITH_DRIFTERS, mean=0.0, scales=1), target=waves
    )
    found = model.parameters.settings["variables"][0]["error_variance"]
    assert found.keys() == PRECISE.keys()
    for name, variance in PRECISE.items():
        assert 0.3 < found[name] / variance < 3
    heights = obs.ssh.fourdvar.fit(xv.OptimalInterpolation(mean=0.0, scales=1), target=waves)
    alone = rmse(obs.ssh.fourdvar.reconstruct(heights), waves)
    assert rmse(obs.fourdvar.reconstruct(model).ssh, waves) < 0.6 * alone


def test_variational_minimum_is_the_dense_one(waves):
    """With EOFs: ``(H' R^-1 H + (I - P) / Q) x = H' R^-1 y`` of a window."""
    obs = currents(waves)
    modes = xv.Variational(
        xv.EOFs(modes=6), PRECISE, 1e-4, operator=WITH_DRIFTERS, patch={"time": 2},
        background=None, steps=2000,
    )  # fmt: skip
    model = obs.fourdvar.fit(modes, target=waves)
    window = obs.isel(time=slice(0, 2))
    found = window.fourdvar.reconstruct(model).ssh.values.ravel()
    arrays = model.parameters.arrays
    mean = np.broadcast_to(arrays["mean"][0], (2, 20, 22)).ravel()
    own = arrays["prior/modes"].reshape(6, -1)
    h = rows(WITH_DRIFTERS, window)
    names = WITH_DRIFTERS.fields([])
    y = np.concatenate([window[name].values.ravel() for name in names])
    r = np.repeat([PRECISE[name] for name in names], mean.size)
    seen = np.isfinite(y)
    centre = mean + (arrays["prior/mean"] * arrays["spread"]).ravel()
    h, d, r = h[seen], (y - h @ centre)[seen], r[seen]
    rest = np.eye(mean.size) - own.T @ own
    expected = centre + np.linalg.solve(h.T / r @ h + rest / 1e-4, h.T @ (d / r))
    np.testing.assert_allclose(found, expected, atol=2e-3 * float(waves.std()))


def test_variational_members_and_curves(waves):
    obs = currents(waves).isel(time=slice(0, 10))
    modes = xv.Variational(
        xv.EOFs(modes=6), PRECISE, operator=WITH_DRIFTERS, patch={"time": 5}, background=None
    )
    model = currents(waves).fourdvar.fit(modes, target=waves)
    members = obs.fourdvar.reconstruct(model, ensemble=3)
    assert members.ssh.sizes == {"member": 3, "time": 10, "y": 20, "x": 22}
    assert float(members.ssh.std("member").min()) > 0
    curve = obs.isel(time=slice(0, 5)).fourdvar.cost_curve(model)
    assert bool((curve.cost.diff("step") <= 1e-9).all())


@pytest.mark.parametrize("coarsen", [1, 2])
def test_4dvarnet_starts_from_the_background_and_learns(waves, coarsen):
    obs = currents(waves)
    spread = float(waves.var())
    oi = xv.OptimalInterpolation(
        length={"time": "4D", "y": "30 km", "x": "30 km"}, variance=spread,
        error_variance=PRECISE, mean=0.0, operator=WITH_DRIFTERS,
    )  # fmt: skip
    net = xv.FourDVarNet(
        operator=WITH_DRIFTERS, background=oi, patch={"time": 4, "y": 20, "x": 22}, steps=2,
        widths=(8, 8), prior_width=8, coarsen=coarsen, mirror=True,
        training=xv.Training(steps=3, batch_size=2),
    )  # fmt: skip
    model = obs.fourdvar.fit(net, target=waves, validation=0.2)
    maps = obs.fourdvar.reconstruct(model)
    first = rmse(obs.fourdvar.reconstruct(oi).ssh, waves)
    assert list(maps.data_vars) == ["ssh"]
    assert rmse(maps.ssh, waves) < 1.3 * first
    with pytest.raises(InputError, match="without a target 'ssh' cannot be learned"):
        obs.fourdvar.fit(net, validation=0.2)


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        (Stacked({"ssh": Mask()}), "the operator observes 'ssh', the data hold"),
        (Stacked({}), "parts"),
        (Stacked({"ssh": Mask}), "part 'ssh' is <class"),
        (Stacked({"ssh": Mask()}, of=None), "of is None"),
        (Stacked({"ssh": "mask"}), "part 'ssh' is 'mask', no observation operator"),
        (Stacked({"u": Mask(), "drifters": Geostrophic()}), "'u': in two parts"),
        (
            Stacked({"ssh": Mask(), "drifters": Geostrophic()}, of={"swot": "ssh"}),
            "of names 'swot', which is no part",
        ),
        (
            Stacked({"ssh": xv.operators.BlockMean(), "drifters": Geostrophic()}),
            "part 'ssh', BlockMean, is not on the grid of the maps",
        ),
        (Stacked({"ssh": Function(abs), "drifters": Geostrophic()}), "takes linear operators"),
    ],
)
def test_what_does_not_fit_is_told(operator, words):
    with pytest.raises(InputError, match=words):
        observed().fourdvar.reconstruct(method(operator))


def test_units_that_differ_are_told():
    obs = observed()
    obs["ssh"].attrs["units"] = "cm"
    with pytest.raises(InputError, match="'ssh' gives 'ssh' in 'cm', another part in 'm'"):
        obs.fourdvar.reconstruct(method())


def test_errors_of_fields_are_asked_for_by_name():
    with pytest.raises(InputError, match=r"error_variance is given for 'ssh'; fix: give it for"):
        observed().fourdvar.reconstruct(method(error_variance={"ssh": 1.0}))
    with pytest.raises(InputError, match="has to be fitted before"):
        observed().fourdvar.reconstruct(method(error_variance=None))


def test_methods_that_map_what_they_observe_refuse():
    series = xv.datasets.lorenz63(windows=1, observed=("x", "y", "z")).obs.isel(window=0)
    obs = series.to_dataset("component").rename(x="first")
    operator = Stacked({"first": Mask(), "y": Mask(), "z": Mask()}, of={"first": "x"})
    method = xv.FourDVar(xv.Lorenz63(dt=0.01), error_variance=1.0, operator=operator)
    with pytest.raises(InputError, match="FourDVar maps the variables that are observed"):
        obs.fourdvar.reconstruct(method)


def test_variational_starts_from_its_mean_where_other_fields_are_observed(waves):
    obs = currents(waves)
    usual = xv.Variational(xv.EOFs(modes=6), PRECISE, operator=WITH_DRIFTERS, patch={"time": 4})
    assert usual.background is None
    maps = obs.fourdvar.reconstruct(obs.fourdvar.fit(usual, target=waves))
    assert rmse(maps.ssh, waves) < 0.3 * float(waves.std())
    net = xv.FourDVarNet(operator=WITH_DRIFTERS, background=xv.LinearInterpolation())
    with pytest.raises(InputError, match="background LinearInterpolation maps what is observed"):
        obs.fourdvar.fit(net, target=waves)
