"""Several variables mapped together: the dense closed form, what is found, files and errors."""

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.covariance import Separable
from xr4dvar.errors import InputError
from xr4dvar.methods.oi.joint import components, loadings_of
from xr4dvar.methods.oi.scales import empirical_covariance, many_scales

LENGTHS = [{"time": "4D", "lat": 4.0, "lon": 4.0}, {"time": "1.5D", "lat": 1.5, "lon": 1.5}]
TERMS = [((4.0, 4.0, 4.0), 1.0), ((1.5, 1.5, 1.5), 0.4)]
#: How much of the slow and the fast part of the temperature the height holds.
SHARED = 0.8, -0.3


def drawn(times, seed, lat=9, lon=10):
    """A temperature of two scales; a height that is part of both and of its own."""
    rng = np.random.default_rng(seed)
    axes = [np.arange(float(n)) for n in (times, lat, lon)]

    def field(lengths, variance):
        parts = [np.exp(-(((a[:, None] - a) / n) ** 2)) for a, n in zip(axes, lengths, strict=True)]
        roots = [np.linalg.cholesky(part + 1e-6 * np.eye(len(part))) for part in parts]
        white = rng.normal(size=[len(a) for a in axes])
        return variance**0.5 * np.einsum("ia,jb,kc,abc->ijk", *roots, white, optimize=True)

    slow, fast = (field(*term) for term in TERMS)
    height = SHARED[0] * slow + SHARED[1] * fast + field((3.0, 3.0, 3.0), 0.1)
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(times) * np.timedelta64(1, "D"),
        "lat": 40 + axes[1],
        "lon": axes[2],
    }
    dims = list(coords)
    sst = xr.DataArray(slow + fast, coords, dims, attrs={"units": "K"})
    ssh = xr.DataArray(height, coords, dims, attrs={"units": "m"})
    return xr.Dataset({"ssh": 0.1 * ssh.assign_attrs(units="m") + 2.0, "sst": sst + 15.0})


def observed(truth, shares=(0.05, 0.9), seed=0):
    rng = np.random.default_rng(seed)
    seen = {
        name: field.where(rng.random(field.shape) < share) + 0.005 * rng.normal(size=field.shape)
        for (name, field), share in zip(truth.items(), shares, strict=True)
    }
    return xr.Dataset(seen)


@pytest.fixture(scope="module")
def truth():
    return drawn(120, 0)


@pytest.fixture(scope="module")
def method():
    return xv.OptimalInterpolation(length=LENGTHS, multivariate=True)


@pytest.fixture(scope="module")
def model(truth, method):
    return observed(truth).fourdvar.fit(method, truth)


def rmse(one, other):
    return float(((one - other) ** 2).mean() ** 0.5)


def test_weights_are_found(model):
    found = loadings_of(model.parameters.settings["variables"]).numpy()
    np.testing.assert_array_equal(found[:, 1], [0, 0, 1, 1])
    np.testing.assert_array_equal(found[:2, 0], [1, 1])
    np.testing.assert_allclose(found[2:, 0], 0.1 * np.array(SHARED), atol=0.02)


def test_maps_are_those_of_the_dense_solve(model):
    some = observed(drawn(4, 5, lat=5, lon=6), (0.2, 0.6), 3)
    maps = some.fourdvar.reconstruct(model)
    points = np.stack(np.meshgrid(*(np.arange(float(n)) for n in (4, 5, 6)), indexing="ij"), -1)
    import torch

    points = torch.tensor(points.reshape(-1, 3))
    settings = model.parameters.settings["variables"]
    loadings = loadings_of(settings).numpy()
    terms = [term for own in settings for term in own["terms"]]
    each = [
        Separable((t["time"], t["y"], t["x"]), variance=t["variance"])
        .between(points, points)
        .numpy()
        for t in terms
    ]
    b = np.block(
        [
            [sum(a[v] * a[w] * c for a, c in zip(loadings, each, strict=True)) for w in range(2)]
            for v in range(2)
        ]
    )
    means = np.repeat([own["mean"] for own in settings], len(points))
    errors = np.repeat([own["error_variance"] for own in settings], len(points))
    y = np.concatenate([some[name].values.ravel() for name in some])
    seen = np.isfinite(y)
    gain = np.linalg.solve(b[np.ix_(seen, seen)] + np.diag(errors[seen]), (y - means)[seen])
    expected = means + b[:, seen] @ gain
    found = np.concatenate([maps[name].values.ravel() for name in maps])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_one_variable_helps_the_other(truth, model):
    later = drawn(30, 7)
    some = observed(later, (0.005, 0.9), seed=4)
    alone = some.ssh.fourdvar.reconstruct(
        observed(truth).ssh.fourdvar.fit(xv.OptimalInterpolation(), truth.ssh)
    )
    maps = some.fourdvar.reconstruct(model)
    assert rmse(maps.ssh, later.ssh) < 0.8 * rmse(alone, later.ssh)


@pytest.mark.parametrize("supervised", [True, False])
def test_all_is_found(truth, supervised):
    """Lengths, variances and weights, from the truth or from the observations alone."""
    obs, later = observed(truth, (0.3, 0.9)), drawn(30, 7)
    oi = xv.OptimalInterpolation(multivariate=True, mean="map")
    model = obs.fourdvar.fit(oi, truth if supervised else None)
    some = observed(later, seed=4)
    alone = some.ssh.fourdvar.reconstruct(obs.ssh.fourdvar.fit(xv.OptimalInterpolation(), None))
    maps = some.fourdvar.reconstruct(model)
    assert rmse(maps.ssh, later.ssh) < 0.85 * rmse(alone, later.ssh)
    assert "of it in 'ssh'" in repr(model)


def test_chunks_files_and_members(model, tmp_path):
    some = observed(drawn(40, 9), seed=2)
    maps = some.fourdvar.reconstruct(model)
    lazy = some.chunk(time=20).fourdvar.reconstruct(model)
    xr.testing.assert_allclose(lazy.compute(), maps, atol=1e-6)
    model.save(tmp_path / "joint.safetensors")
    back = xv.load(tmp_path / "joint.safetensors")
    xr.testing.assert_equal(some.fourdvar.reconstruct(back), maps)
    members = some.isel(time=slice(10)).fourdvar.reconstruct(model, ensemble=2, error_variance=0.01)
    assert members.ssh.sizes["member"] == 2


def test_three_variables_each_of_those_after_it(truth):
    three = truth.assign(chl=(truth.ssh - 2.0) * 5 + (truth.sst - 15.0))[["chl", "ssh", "sst"]]
    oi = xv.OptimalInterpolation(length=LENGTHS, multivariate=True)
    obs = observed(three, (0.05, 0.9, 0.9))
    model = obs.fourdvar.fit(oi, three)
    found = loadings_of(model.parameters.settings["variables"]).numpy()
    np.testing.assert_allclose(found[2:4, 0], 5.0, atol=0.8)  # of the height's own
    whole = 1.0 + 0.5 * np.array(SHARED)
    np.testing.assert_allclose(found[4:, 0], whole, atol=0.2)


def test_components_add_up_to_the_map():
    import torch

    truth = drawn(12, 3)
    terms = [{"time": t, "y": y, "x": x, "metric": False, "variance": v} for (t, y, x), v in TERMS]
    variable = {
        "name": "sst", "family": "gaussian", "terms": terms, "error_variance": 0.2, "periods": {},
    }  # fmt: skip
    anomaly = truth.sst.values - 15.0
    anomaly[np.random.default_rng(0).random(anomaly.shape) < 0.3] = np.nan
    places = tuple(torch.arange(float(n)).double() for n in anomaly.shape)
    slow, fast = components(variable, anomaly, places)
    oi = xv.OptimalInterpolation(length=LENGTHS, variance=[1.0, 0.4], error_variance=0.2, mean=0.0)
    whole = (truth.sst * 0 + anomaly).fourdvar.reconstruct(oi)
    np.testing.assert_allclose(slow + fast, whole.values, atol=0.02)
    assert np.std(slow) > np.std(fast)


def test_scales_of_a_known_covariance():
    anomaly = (drawn(400, 2, lat=12, lon=12).sst - 15.0).values
    coordinates = {
        role: np.arange(float(n)) for role, n in zip(("time", "y", "x"), anomaly.shape, strict=True)
    }
    found = many_scales(anomaly, coordinates, {"family": "gaussian", "periods": {}})
    near = sum(t["variance"] for t in found["terms"] if t["time"] <= 2.0)
    assert near == pytest.approx(0.4, abs=0.2)
    total = sum(t["variance"] for t in found["terms"]) + found["error_variance"]
    assert total == pytest.approx(1.4, abs=0.3)


def test_empirical_covariance_of_gaps():
    rng = np.random.default_rng(0)
    field = rng.normal(size=(6, 5, 7))
    field[rng.random(field.shape) < 0.4] = np.nan
    lags, found = empirical_covariance(field)
    t, y, x = (int(one[1]) for one in lags)
    pairs = [
        field[: 6 - t, max(0, -a) : 5 - max(0, a), max(0, -b) : 7 - max(0, b)]
        * field[t:, max(0, a) : 5 - max(0, -a), max(0, b) : 7 - max(0, -b)]
        for a in (y, -y)
        for b in (x, -x)
    ]
    total = np.concatenate([pair.ravel() for pair in pairs])
    np.testing.assert_allclose(found[1, 1, 1], np.nanmean(total), rtol=1e-10)


@pytest.mark.parametrize(
    ("do", "match"),
    [
        (lambda t, m: t.ssh.fourdvar.fit(m), "'ssh' is the only variable"),
        (lambda t, m: t.fourdvar.reconstruct(m), "has to be fitted"),
        (
            lambda t, m: t.fourdvar.fit(
                xv.OptimalInterpolation(multivariate=True, operator=xv.operators.Blur({"lat": 1.0}))
            ),
            "takes no operator",
        ),
        (lambda t, m: t.fourdvar.fit(xv.OptimalInterpolation(multivariate=1)), "multivariate is 1"),
        (
            lambda t, m: t.assign(ssh=t.ssh.where(t.ssh > t.ssh.quantile(0.9995))).fourdvar.fit(m),
            "too few to relate it",
        ),
    ],
)
def test_bad_input(truth, method, do, match):
    with pytest.raises(InputError, match=match):
        do(truth, method)


def test_errors_are_refused_by_name(truth, model):
    with pytest.raises(InputError, match="does not know the error of its maps"):
        truth.fourdvar.reconstruct(model, error=True)
