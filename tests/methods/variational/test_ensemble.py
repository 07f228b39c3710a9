"""Members of the posterior of `Variational` against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from tests.methods.variational.walks import LATENT, SHORT, R, eofs_of, flat, walks
from xr4dvar.methods import Patches
from xr4dvar.methods.variational.ensemble import places_of

Q, MEMBERS = 0.05, 600
#: Five relative standard errors of a standard deviation.
CLOSE = 5 / (2 * MEMBERS) ** 0.5


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return walks()


@pytest.fixture(scope="module")
def latent(ds) -> xv.Model:
    return ds.obs.fourdvar.fit(LATENT, ds.truth)


def assert_agree(members: xr.DataArray, maps: xr.DataArray, deviations: np.ndarray) -> None:
    """Members scatter about the map with the standard deviations (windows, cells)."""
    spread = flat(members.std("member", ddof=1))
    np.testing.assert_allclose(spread, deviations, rtol=CLOSE)
    off = flat(members.mean("member") - maps)
    np.testing.assert_array_less(np.abs(off), 5 * deviations / MEMBERS**0.5 + 1e-3)


def test_members_of_a_gaussian_code_are_of_its_posterior(ds, latent):
    """Optimal interpolation with the covariance of the modes and of what they lack."""
    few, q = ds.obs[:2], 0.4
    mean, e, variances = eofs_of(ds.truth, 6)
    b = e * variances @ e.T + q * np.eye(24)
    means, deviations = [], []
    for y in flat(few):
        seen = np.isfinite(y)
        gain = b[:, seen] @ np.linalg.inv(b[np.ix_(seen, seen)] + R * np.eye(seen.sum()))
        means.append(mean + gain @ (y - mean)[seen])
        deviations.append(np.sqrt(np.diag(b - gain @ b[seen])))
    method = replace(LATENT, model_error_variance=q)
    model = ds.obs.fourdvar.fit(method, ds.truth)
    members = few.fourdvar.reconstruct(model, ensemble=MEMBERS)
    assert_agree(members, few.copy(data=np.reshape(means, few.shape)), np.array(deviations))
    own = few.fourdvar.reconstruct(
        ds.obs.fourdvar.fit(replace(method, error_variance=10.0), ds.truth),
        error_variance=xr.full_like(few, R),
        ensemble=MEMBERS,
    )
    np.testing.assert_allclose(own, members, atol=1e-3)


def test_members_near_modes_are_of_the_posterior(ds):
    method = xv.Variational(xv.EOFs(3), R, model_error_variance=Q, solver="gauss_newton")
    model = ds.obs.fourdvar.fit(method, ds.truth)
    few = ds.obs[:2]
    _, e, _ = eofs_of(ds.truth, 3)
    rest = np.eye(len(e)) - e @ e.T
    precisions = [np.diag(np.isfinite(y) / R) + rest / Q for y in flat(few)]
    deviations = [np.sqrt(np.diag(np.linalg.inv(a))) for a in precisions]
    members = few.fourdvar.reconstruct(model, ensemble=MEMBERS)
    assert_agree(members, few.fourdvar.reconstruct(model), np.array(deviations))


def test_precise_observations_hold_all_members(ds, latent):
    """An observation's own variance is what its noise has."""
    few = ds.obs[:2]
    close = xr.full_like(few, 1e-6)
    exact = replace(latent, method=replace(LATENT, model_error_variance=1e-6))
    members = few.fourdvar.reconstruct(exact, ensemble=20, error_variance=close)
    loose = few.fourdvar.reconstruct(exact, ensemble=20)
    spread = [float(m.std("member").where(few.notnull()).mean()) for m in (members, loose)]
    assert spread[0] < 0.05 * spread[1]


def test_members_follow_from_the_seed_whatever_the_chunks(ds, latent):
    few = ds.obs[:6]
    members = few.fourdvar.reconstruct(latent, ensemble=2, seed=3)
    lazy = few.chunk(window=2, time=5).fourdvar.reconstruct(latent, ensemble=2, seed=3)
    xr.testing.assert_allclose(lazy.compute(), members, rtol=1e-3, atol=1e-3)
    other = few.fourdvar.reconstruct(latent, ensemble=2, seed=4)
    assert float(abs(other - members).max()) > 0.1


@pytest.mark.parametrize(
    ("prior", "options"),
    [
        (xv.EOFs(6), {"solver": "fixed_point"}),
        (xv.AutoEncoder(code=3, training=SHORT), {"control": "latent"}),
        (xv.Denoiser(widths=(8,), training=SHORT), {}),
    ],
)
def test_other_priors_and_solvers_give_members_too(ds, prior, options):
    model = ds.obs.fourdvar.fit(xv.Variational(prior, R, **options), ds.truth)
    few = ds.obs[:4]
    members, maps = few.fourdvar.reconstruct(model, ensemble=30), few.fourdvar.reconstruct(model)
    spread = members.std("member")
    assert 0.05 < float(spread.mean()) < 1.5
    assert float(abs(members.mean("member") - maps).mean()) < float(spread.mean())


def test_a_cell_has_one_place_in_all_windows_that_hold_it():
    y = np.zeros((2, 3, 4, 1, 5))
    coordinates = {"time": np.zeros((2, 4)), "x": np.zeros((2, 5))}
    origins = np.array([[7, 10, 0], [7, 12, 0]])  # of a batch dimension, time and x
    places = np.broadcast_arrays(*places_of(Patches(y, coordinates, origins=origins)))
    cells = np.stack(places, -1)
    assert cells.shape == (*y.shape, 5)
    np.testing.assert_array_equal(cells[0, :, 2:], cells[1, :, :2])
    np.testing.assert_array_equal(cells[0, 1, 2, 0, 3], [7, 1, 12, 0, 3])
    assert len(np.unique(cells.reshape(-1, 5), axis=0)) == 3 * 6 * 5


def test_past_the_end_of_a_circle_a_cell_has_its_old_place():
    y = np.zeros((2, 1, 4, 1, 1))
    coordinates = {"time": np.zeros((2, 4))}
    origins = np.array([[0, 4], [0, 0]])
    places = places_of(Patches(y, coordinates, origins=origins, closed={"time": 6}))
    assert np.broadcast_to(places[2], y.shape).squeeze().tolist() == [[4, 5, 0, 1], [0, 1, 2, 3]]
