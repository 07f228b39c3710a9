"""4DVarNet on Gaussian fields, of which the best possible map is known.

The field is an AR(1) process in time with a Gaussian covariance in space; a share of its cells is
observed with noise. No method can on average beat the conditional mean, which is computed here.
"""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

import xr4dvar as xv
from tests.training.builders import make_data
from xr4dvar.contract.engine import engine_for
from xr4dvar.errors import InputError
from xr4dvar.methods import FitOptions, Parameters, Patches
from xr4dvar.methods.fourdvarnet import fit as fourdvarnet_fit
from xr4dvar.training.progress import Progress
from xr4dvar.training.sampler import PatchSampler

TIMES, SIZE, TRAIN = 120, 24, 96
PATCH = {"time": 5, "y": SIZE, "x": SIZE}
MEMORY, LENGTH, NOISE, SHARE = 0.9, 3.0, 0.3, 0.15
OPTIONS = FitOptions(seed=3, device="cpu")
BACKGROUND = engine_for(xv.LinearInterpolation(), Parameters())


def covariances(times):
    """Of time, and of one axis of space."""
    days, cells = np.arange(times), np.arange(SIZE)
    in_time = MEMORY ** np.abs(days[:, None] - days)
    in_space = np.exp(-((cells[:, None] - cells) ** 2) / (2 * LENGTH**2)) + 1e-8 * np.eye(SIZE)
    return in_time, in_space


@cache
def gaussian_field():
    """Truth and gappy, noisy observations (time, y, x)."""
    generator = np.random.default_rng(0)
    in_time, in_space = (np.linalg.cholesky(c) for c in covariances(TIMES))
    white = generator.normal(size=(TIMES, SIZE, SIZE))
    truth = np.einsum("ti,yj,xk,ijk->tyx", in_time, in_space, in_space, white, optimize=True)
    noisy = truth + NOISE * generator.normal(size=truth.shape)
    return truth, np.where(generator.random(truth.shape) < SHARE, noisy, np.nan)


def data(supervised, scale=1.0, shift=0.0):
    truth, obs = (scale * field + shift for field in gaussian_field())
    target = [truth] if supervised else None
    return make_data(obs, target=target, train=(0, TRAIN), validation=(TRAIN, TIMES))


def method(training_steps, **settings):
    training = xv.Training(
        steps=training_steps, batch_size=4, learning_rate=4e-3, steps_per_epoch=50, averaging=0.95
    )
    small = {"widths": (12, 16), "prior_width": 6, "patch": PATCH, "coarsen": 1}
    return xv.FourDVarNet(
        background=xv.LinearInterpolation(), training=training, **(small | settings)
    )


@cache
def fitted(supervised):
    return method(250).fit(data(supervised), OPTIONS, BACKGROUND)


def held_out(scale=1.0, shift=0.0):
    """Patches of the validation period, with the background of each from itself alone."""
    truth, obs = (scale * field[TRAIN:] + shift for field in gaussian_field())
    cuts = [slice(first, first + PATCH["time"]) for first in range(0, TIMES - TRAIN - 4, 5)]
    y = np.stack([obs[cut] for cut in cuts])[:, None]
    time = np.stack([np.arange(TRAIN, TIMES)[cut] for cut in cuts]).astype(float)
    patches = Patches(y, {"time": time})
    patches = dataclasses.replace(patches, background=BACKGROUND.maps(patches))
    return patches, np.stack([truth[cut] for cut in cuts])[:, None]


def conditional_mean(y):
    """The best map of one patch (time, y, x) that there is."""
    in_time, in_space = covariances(len(y))
    t, i, j = np.nonzero(np.isfinite(y))
    prior = in_time[t[:, None], t] * in_space[i[:, None], i] * in_space[j[:, None], j]
    weights = np.linalg.solve(prior + NOISE**2 * np.eye(len(t)), y[t, i, j])
    spread = np.zeros_like(y)
    spread[t, i, j] = weights
    return np.einsum("ti,yj,xk,ijk->tyx", in_time, in_space, in_space, spread, optimize=True)


def rmse(maps, truth):
    return float(np.sqrt(np.mean((maps - truth) ** 2)))


@pytest.mark.parametrize("supervised", [True, False], ids=["truth", "gappy data alone"])
def test_it_beats_its_background_and_comes_near_the_best_map(supervised):
    patches, truth = held_out()
    maps = engine_for(xv.FourDVarNet(), fitted(supervised)).maps(patches)
    best = np.stack([conditional_mean(y) for y in patches.y[:, 0]])[:, None]
    scores = {"map": rmse(maps, truth), "background": rmse(patches.background, truth)}
    scores["best"] = rmse(best, truth)
    assert scores["map"] < 0.75 * scores["background"], scores
    # nobody beats the conditional mean; who does has seen the truth
    assert scores["map"] > 0.97 * scores["best"], scores


@pytest.mark.parametrize("supervised", [True, False])
def test_the_history_tells_the_score_and_that_of_the_background(supervised):
    history = fitted(supervised).history
    assert history.attrs["background_loss"] > history.validation_loss.min()
    assert {"train_loss", "supervised", "regularisation", "validation_loss"} <= set(history)
    best = history.attrs["best_epoch"]
    assert history.validation_loss.sel(epoch=best) == history.validation_loss.min()
    assert history.validation_loss[-1] < history.validation_loss[0]


def test_it_maps_whatever_is_observed():
    solve = engine_for(xv.FourDVarNet(), fitted(True)).maps
    patches, _ = held_out()
    y = patches.y.copy()
    y[0] = np.nan
    y[1, :, 0] = np.nan
    y[2, 0, 0, 0, 0] = 100.0
    maps = solve(dataclasses.replace(patches, y=y))
    assert maps.shape == y.shape
    assert np.isfinite(maps).all()
    np.testing.assert_array_equal(maps[3:], solve(patches)[3:])


def test_a_power_of_two_in_the_units_changes_no_bit():
    """Nothing rounds differently, so that even training stays the same."""
    maps = []
    for scale in (1.0, 1024.0):
        parameters = method(20).fit(data(True, scale), OPTIONS, BACKGROUND)
        maps.append(engine_for(xv.FourDVarNet(), parameters).maps(held_out(scale)[0]) / scale)
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-6, atol=1e-6)
    assert rmse(maps[0], held_out()[0].background) > 1e-3


def test_units_and_zero_do_not_matter():
    """Kelvin or degrees, metres or millimetres."""
    scale, shift = 1000.0, 273_150.0
    maps = []
    for a, b in ((1.0, 0.0), (scale, shift)):
        parameters = method(20).fit(data(True, a, b), OPTIONS, BACKGROUND)
        maps.append((engine_for(xv.FourDVarNet(), parameters).maps(held_out(a, b)[0]) - b) / a)
    assert rmse(maps[0], maps[1]) < 1e-3 * maps[0].std()


def test_the_same_seed_gives_the_same_network():
    one, two, other = (
        method(8).fit(data(False), dataclasses.replace(OPTIONS, seed=seed), BACKGROUND)
        for seed in (1, 1, 2)
    )
    assert one.arrays.keys() == two.arrays.keys()
    assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)
    assert any(not np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)
    assert one.settings == two.settings


class Stop(Exception):
    pass


def test_a_fit_that_was_stopped_ends_with_the_same_weights(tmp_path, monkeypatch):
    short = dataclasses.replace(method(30), training=xv.Training(steps=30, steps_per_epoch=10))
    expected = short.fit(data(False), OPTIONS, BACKGROUND)
    options = dataclasses.replace(OPTIONS, checkpoint=str(tmp_path / "checkpoint"))
    after_step = Progress.after_step

    def stopping(self, *args):
        if self.step == 25:
            raise Stop
        after_step(self, *args)

    monkeypatch.setattr(Progress, "after_step", stopping)
    with pytest.raises(Stop):
        short.fit(data(False), options, BACKGROUND)
    monkeypatch.undo()
    found = short.fit(data(False), options, BACKGROUND)
    assert all(np.array_equal(found.arrays[name], expected.arrays[name]) for name in found.arrays)
    assert found.settings == expected.settings


OTHER_FITS = {
    "truth": {"data": data(True)},
    "values": {"data": data(False, scale=2.0)},
    "validation": {"data": dataclasses.replace(data(False), validation=(100, 110))},
    "method": {"method": method(10, steps=1)},
    "seed": {"options": dataclasses.replace(OPTIONS, seed=4)},
}


@pytest.mark.parametrize("what", OTHER_FITS)
def test_a_checkpoint_of_another_fit_is_refused(tmp_path, what):
    path = str(tmp_path / "checkpoint")
    fit = {"method": method(10), "data": data(False), "options": OPTIONS}

    def run(method, data, options):
        method.fit(data, dataclasses.replace(options, checkpoint=path), BACKGROUND)

    run(**fit)
    with pytest.raises(InputError, match="is of another fit"):
        run(**(fit | OTHER_FITS[what]))


@pytest.mark.parametrize("coarse", [2, 4])
def test_coarsening_is_chosen_by_what_the_grid_holds(coarse):
    """A field that is smooth over `coarse` cells is solved on a grid as coarse."""
    wave = np.sin(2 * np.pi * np.arange(64) / (16 * coarse))
    truth = wave[:, None] * wave * np.ones((20, 1, 1))
    obs = np.where(np.random.default_rng(0).random(truth.shape) < 0.2, truth, np.nan)
    settings = {"patch": {"time": 3, "y": 64, "x": 64}, "coarsen": "auto", "widths": (4,)}
    parameters = dataclasses.replace(method(1, **settings), background=None).fit(
        make_data(obs, target=[truth]), OPTIONS
    )
    assert parameters.settings["architecture"]["coarsen"] == coarse


@pytest.mark.parametrize("name", ["gradient", "regularisation", "variational"])
def test_every_loss_is_in_the_history_where_it_has_a_weight(name):
    with_loss = method(4, loss={"regularisation": 0.0, name: 0.3}).fit(
        data(True), OPTIONS, BACKGROUND
    )
    history = with_loss.history
    assert set(history) >= {"supervised", name}
    expected = history.supervised + 0.3 * history[name]
    np.testing.assert_allclose(history.train_loss, expected, rtol=1e-5)


def test_patches_with_too_few_observations_are_not_learned_from(monkeypatch):
    samplers = []

    class Recorded(PatchSampler):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            samplers.append(self)

    monkeypatch.setattr(fourdvarnet_fit, "PatchSampler", Recorded)
    demanding = dataclasses.replace(method(1).training, minimum_observed=SHARE)
    dataclasses.replace(method(1), training=demanding).fit(data(True), OPTIONS, BACKGROUND)
    shares = [np.isfinite(samplers[0].sample(n).patches.y).mean((1, 2, 3, 4)) for n in range(20)]
    assert np.min(shares) >= SHARE


def test_without_a_background_it_starts_from_the_mean():
    parameters = dataclasses.replace(method(4), background=None).fit(data(True), OPTIONS)
    patches = dataclasses.replace(held_out()[0], background=None)
    maps = engine_for(xv.FourDVarNet(), parameters).maps(patches)
    assert np.isfinite(maps).all()
    assert parameters.settings["architecture"]["context"] == 0


def test_a_validation_period_without_any_observation():
    obs = gaussian_field()[1].copy()
    obs[TRAIN:] = np.nan
    empty = make_data(obs, train=(0, TRAIN), validation=(TRAIN, TIMES))
    with pytest.raises(InputError, match="validation period has nothing to score on"):
        method(2).fit(empty, OPTIONS, None)
