"""Patches for training: repeatable, from the training period, without a look at the answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.training.builders import gappy, make_data
from xr4dvar.methods import FitOptions, OptimalInterpolation
from xr4dvar.training.sampler import PatchSampler, validation_patches

PATCH = {"time": 3, "y": 4, "x": 5}
BLOCK = {"time": 6, "y": 8, "x": 9}


class ShownPlusOne:
    """A background that tells what it was shown: the values + 1, and 0 in the gaps."""

    def maps(self, patches):
        return np.nan_to_num(patches.y + 1)


BACKGROUND = ShownPlusOne()


def make_sampler(data, background=BACKGROUND, seed=0, batch_size=4, **options):
    return PatchSampler(data, background, BLOCK, PATCH, batch_size, seed, **options)


@pytest.fixture
def hidden_data():
    return make_data(gappy(30, 10, 12), train=(0, 20), validation=(20, 30))


@pytest.fixture
def true_data():
    truth = gappy(30, 10, 12, share=1.0)
    obs = gappy(30, 10, 12) + np.random.default_rng(5).normal(size=truth.shape)
    return make_data(obs, target=[truth], train=(0, 20), validation=(20, 30))


@pytest.fixture(params=["hidden_data", "true_data"])
def data(request):
    return request.getfixturevalue(request.param)


def parts(sample):
    patches = sample.patches
    fields = {"y_": patches.y, "background": patches.background, "target": sample.target}
    return fields | dict(patches.coordinates)


def same(one, two):
    return all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(parts(one).values(), parts(two).values(), strict=True)
    )


def test_shapes(data):
    sample = make_sampler(data).sample(0)
    shapes = {name: array.shape for name, array in parts(sample).items()}
    fields = dict.fromkeys(("y_", "background", "target"), (4, 1, 3, 4, 5))
    assert shapes == fields | {"time": (4, 3), "y": (4, 4), "x": (4, 5)}
    assert make_sampler(data, background=None).sample(0).patches.background is None


def test_a_step_is_the_same_after_a_restart(data):
    """Without the blocks that an uninterrupted run has in memory."""
    running = make_sampler(data, kept=3, fresh=1 / 2)
    through = [running.sample(step) for step in range(12)]
    for step in (0, 5, 11):
        assert same(make_sampler(data, kept=3, fresh=1 / 2).sample(step), through[step])


def test_seeds_steps_and_ranks_differ(data):
    first = make_sampler(data).sample(3, 0)
    assert not same(first, make_sampler(data, seed=1).sample(3, 0))
    assert not same(first, make_sampler(data).sample(4, 0))
    assert not same(first, make_sampler(data).sample(3, 1))


def test_blocks_make_room_for_new_ones(data):
    sampler = make_sampler(data, kept=3, fresh=1 / 2)
    blocks = [sampler.blocks(step) for step in range(6)]
    assert [len(b) for b in blocks] == [3] * 6
    assert blocks[0][1] is blocks[1][1], "a block is made once"
    assert blocks[0][1] is blocks[2][0]
    assert not any(blocks[0][0] is block for block in blocks[2])
    assert len(sampler._blocks) == 3


def test_the_validation_period_is_never_read_in_training(data):
    """Nor the other way round."""
    times = []

    def read(index):
        times.append((index[-3].start, index[-3].stop))
        return data.read(index)

    watched = dataclasses.replace(data, read=read)
    sampler = make_sampler(watched, kept=2, fresh=1 / 1)
    for step in range(80):
        sampler.sample(step)
    assert min(start for start, _ in times) == 0
    assert max(stop for _, stop in times) == 20
    times.clear()
    validation_patches(watched, BACKGROUND, PATCH, PATCH, 0, {})
    assert times == [(20, 30)]


def test_all_of_the_training_period_is_seen(data):
    sampler = make_sampler(data, kept=2, fresh=1 / 1)
    coordinates = [sampler.sample(step).patches.coordinates for step in range(60)]
    for role, size, first in (("time", 20, 100), ("y", 10, 20), ("x", 12, 3)):
        seen = np.unique(np.concatenate([c[role].ravel() for c in coordinates]))
        np.testing.assert_array_equal(seen, first + np.arange(size))


def test_everything_in_a_patch_is_of_the_same_place(hidden_data):
    sample = make_sampler(hidden_data).sample(0)
    at = sample.patches.coordinates
    time, y, x = (at[role] - first for role, first in (("time", 100), ("y", 20), ("x", 3)))
    place = (10_000 * time[:, :, None, None] + 100 * y[:, None, :, None] + x[:, None, None, :])[
        :, None
    ]
    for field, offset in (
        (sample.patches.y, 0),
        (sample.target, 0),
        (np.where(np.isfinite(sample.patches.y), sample.patches.background, np.nan), 1),
    ):
        known = np.isfinite(field)
        assert known.any()
        np.testing.assert_array_equal(field[known], (place + offset)[known])


def test_hidden_values_are_neither_shown_nor_in_the_background():
    obs = gappy(30, 10, 12)
    generator = np.random.default_rng(0)
    for step in range(5):
        sample = make_sampler(make_data(obs)).sample(step)
        assert np.isfinite(sample.target).any()
        assert not (np.isfinite(sample.patches.y) & np.isfinite(sample.target)).any()
        # the background has 0 where it was shown nothing
        assert (sample.patches.background[~np.isfinite(sample.patches.y)] == 0).all()
        # changing all that is hidden in this step's patches changes no other input
        place = sample.target[np.isfinite(sample.target)]
        other = np.where(np.isin(obs, place), generator.normal(size=obs.shape), obs)
        again = make_sampler(make_data(other)).sample(step)
        shown = np.isfinite(again.patches.y) & ~np.isin(sample.patches.y, place)
        np.testing.assert_array_equal(again.patches.y[shown], sample.patches.y[shown])


def test_observing_anew_makes_more_pairs_with_real_errors(true_data):
    obs, truth = true_data.read((slice(None),) * 3)
    real = np.round((obs - truth)[np.isfinite(obs)], 6)
    sample = make_sampler(true_data).sample(0)
    errors = (sample.patches.y - sample.target)[np.isfinite(sample.patches.y)]
    assert np.isin(np.round(errors, 6), real).all()
    kept = make_sampler(true_data, redraw=False).sample(0)
    assert np.isin(kept.patches.y[np.isfinite(kept.patches.y)], obs).all()
    anew = sample.patches.y[np.isfinite(sample.patches.y)]
    assert not np.isin(anew, obs).any()


def test_patches_with_too_few_observations_are_drawn_again():
    obs = gappy(30, 10, 12, share=0.8)
    obs[:, :, 7:] = np.nan
    data = make_data(obs, share=0.1)

    def shares(least):
        sampler = make_sampler(data, minimum_observed=least)
        y = np.concatenate([sampler.sample(step).patches.y for step in range(20)])
        return np.isfinite(y).mean((1, 2, 3, 4))

    assert shares(0.0).min() < 0.4
    assert shares(0.4).min() >= 0.4


def test_patches_without_a_target_are_drawn_again():
    obs = gappy(30, 10, 12)
    obs[:, :, 7:] = np.nan
    sampler = make_sampler(make_data(obs))
    target = np.concatenate([sampler.sample(step).target for step in range(20)])
    assert np.isfinite(target).any((1, 2, 3, 4)).all()


def test_a_hopeless_field_still_gives_a_sample():
    empty = np.full((30, 10, 12), np.nan)
    empty[0, 0, :2] = 0.0, 1.0
    sample = make_sampler(make_data(empty), minimum_observed=0.9).sample(0)
    assert sample.patches.y.shape == (4, 1, 3, 4, 5)


def test_validation_patches_cover_their_period_and_are_repeatable(data):
    stride = {"time": 2, "y": 3, "x": 5}
    samples = validation_patches(data, BACKGROUND, PATCH, stride, 0, {})
    again = validation_patches(data, BACKGROUND, PATCH, stride, 0, {})
    assert all(same(a, b) for a, b in zip(samples, again, strict=True))
    covered = np.zeros((30, 10, 12), bool)
    for sample in samples:
        at = sample.patches.coordinates
        for n in range(len(sample.target)):
            time, y, x = (
                at[role][n].astype(int) - first
                for role, first in (("time", 100), ("y", 20), ("x", 3))
            )
            covered[np.ix_(time, y, x)] = True
        assert sample.patches.y.shape[1:] == (1, 3, 4, 5)
    assert covered[20:].all()
    assert not covered[:20].any()


def test_windows_that_are_set_apart_are_validated_on():
    windows = make_data(
        gappy(6, 5, 4, 3), dims=("window", "time", "y", "x"), train=(0, 5), validation=(0, 5)
    )
    data = dataclasses.replace(windows, train_entries=(0, 4), validation_entries=(4, 6))
    seen = []

    def read(index):
        seen.append(index[0].start)
        return windows.read(index)

    data = dataclasses.replace(data, read=read)
    whole = {"time": 5, "y": 4, "x": 3}
    (held_out,) = validation_patches(data, None, whole, whole, 0, {})
    assert held_out.target.shape == (2, 1, 5, 4, 3)
    assert seen == [4, 5]
    sampler = PatchSampler(data, None, whole, whole, 4, 0, kept=4, fresh=4)
    seen.clear()
    for step in range(10):
        sampler.sample(step)
    assert set(seen) == {0, 1, 2, 3}
    assert len(seen) == 40


def test_nor_does_the_background_learn_from_them():
    windows = make_data(
        gappy(6, 5, 4, 3), dims=("window", "time", "y", "x"), train=(0, 5), validation=(0, 5)
    )
    seen = set()

    def read(index):
        seen.add(index[0].start)
        return windows.read(index)

    data = dataclasses.replace(windows, read=read, train_entries=(0, 2), validation_entries=(2, 6))
    for seed in range(4):
        OptimalInterpolation(scales=1).fit(data, FitOptions(seed=seed))
    assert seen <= {0, 1}
