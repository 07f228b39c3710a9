"""The configuration of 4DVarNet: what it says to whom, and what it refuses."""

from __future__ import annotations

import math
from typing import get_args

import pytest

import xr4dvar as xv
from tests.training.builders import grid_of
from xr4dvar.errors import InputError
from xr4dvar.methods import Parameters, Window
from xr4dvar.methods.fourdvarnet.checks import PriorName, SolverName
from xr4dvar.priors import PRIORS

GRID = grid_of((30, 20, 24))
NAN = float("nan")


def problems_of(*, training=None, **settings):
    if training is not None:
        settings["training"] = xv.Training(**training)
    with pytest.raises(InputError) as caught:
        xv.FourDVarNet(**settings).check(GRID, ["ssh"])
    return caught.value.problems


INVALID = [
    ({"prior": "resnet"}, "prior is 'resnet'"),
    ({"prior": None, "solver": "gradient"}, "prior is None, and solver 'gradient'"),
    ({"prior": None, "solver": "fixed_point"}, "prior is None, and solver 'fixed_point'"),
    ({"prior": None, "model_error_variance": 1.0}, "model_error_variance is given without"),
    ({"prior": None, "loss": {"variational": 1.0}}, "the loss 'variational' is one of the prior"),
    ({"solver": "recurrent"}, "solver is 'recurrent', which is one of series"),
    ({"solver": "newton"}, "solver is 'newton'"),
    ({"steps": 0}, "steps is 0"),
    ({"steps": 2.0}, "steps is 2.0"),
    ({"backpropagation": "none"}, "backpropagation is 'none'"),
    ({"backpropagation": 0}, "backpropagation is 0"),
    ({"widths": ()}, "widths is ()"),
    ({"widths": (8, -8)}, "widths is (8, -8)"),
    ({"widths": (8.5,)}, "widths is (8.5,)"),
    ({"widths": 8}, "widths is 8"),
    ({"prior_width": -1}, "prior_width is -1"),
    ({"coarsen": 0}, "coarsen is 0"),
    ({"coarsen": -2}, "coarsen is -2"),
    ({"coarsen": 1.5}, "coarsen is 1.5"),
    ({"coarsen": "no"}, "coarsen is 'no'"),
    ({"coarsen": True}, "coarsen is True"),
    ({"shared": 0}, "shared is 0"),
    ({"shared": False, "solver": "fixed_point"}, "a fixed point is one for all steps"),
    ({"redraw": "yes"}, "redraw is 'yes'"),
    ({"mirror": 1}, "mirror is 1"),
    ({"patch": {"time": 31}}, "patch is 31 along 'time', the data have 30"),
    ({"patch": {"lat": 0}}, "patch is 0 along 'y'"),
    ({"patch": {"x": 2.5}}, "patch is 2.5 along 'x'"),
    ({"patch": {"depth": 5}}, "patch: 'depth' is not an axis"),
    ({"patch": 5}, "patch is 5, not a mapping"),
    ({"overlap": {"time": -1}}, "overlap is -1 along 'time'"),
    ({"overlap": {"time": 15}}, "overlap is 15 along 'time', the patch is 15"),
    ({"patch": {"x": 8}, "overlap": {"lon": 8}}, "overlap is 8 along 'x', the patch is 8"),
    ({"overlap": {"depth": 5}}, "overlap: 'depth' is not an axis"),
    ({"overlap": 5}, "overlap is 5, not a mapping"),
    ({"loss": {"sobel": 1.0}}, "unknown losses ['sobel']"),
    ({"loss": {"gradient": -1.0}}, "the weight of the loss 'gradient' is -1.0"),
    ({"loss": {"gradient": NAN}}, "the weight of the loss 'gradient' is nan"),
    ({"loss": {"supervised": 0, "regularisation": 0}}, "the weights of all losses are 0"),
    ({"loss": 1.0}, "loss is 1.0, not a mapping"),
    ({"error_variance": -1.0}, "error_variance is -1.0"),
    ({"error_variance": "small"}, "error_variance is 'small'"),
    ({"model_error_variance": [0.0]}, "one of model_error_variance is 0.0"),
    ({"model_error_variance": [1.0, 2.0]}, "model_error_variance has 2 numbers, the data have 1"),
    ({"training": {"steps": 0}}, "steps is 0"),
    ({"training": {"steps": 10.5}}, "steps is 10.5"),
    ({"training": {"batch_size": 0}}, "batch_size is 0"),
    ({"training": {"steps_per_epoch": 0}}, "steps_per_epoch is 0"),
    ({"training": {"patience": 0}}, "patience is 0"),
    ({"training": {"learning_rate": 0.0}}, "learning_rate is 0.0"),
    ({"training": {"learning_rate": -1e-3}}, "learning_rate is -0.001"),
    ({"training": {"learning_rate": NAN}}, "learning_rate is nan"),
    ({"training": {"learning_rate": "fast"}}, "learning_rate is 'fast'"),
    ({"training": {"gradient_clip": 0.0}}, "gradient_clip is 0.0"),
    ({"training": {"gradient_clip": math.inf}}, "gradient_clip is inf"),
    ({"training": {"averaging": 1.0}}, "averaging is 1.0"),
    ({"training": {"averaging": -0.1}}, "averaging is -0.1"),
    ({"background": "oi"}, "background is 'oi', not a method"),
    ({"background": xv.OptimalInterpolation}, "background is the class OptimalInterpolation"),
    ({"background": xv.OptimalInterpolation(error_variance=-1.0)}, "error_variance is -1.0"),
]


@pytest.mark.parametrize(("settings", "what"), INVALID, ids=[what for _, what in INVALID])
def test_settings_that_cannot_be_used(settings, what):
    ((found, fix),) = problems_of(**settings)
    assert what in found
    assert fix


def test_training_that_is_none():
    with pytest.raises(InputError, match=r"training is \{'steps': 5\}; fix: give xr4dvar.Training"):
        xv.FourDVarNet(training={"steps": 5}).check(GRID, ["ssh"])


def test_all_problems_are_told_at_once():
    found = problems_of(
        prior="none",
        steps=0,
        patch={"time": 99, "y": 99},
        overlap={"x": -1},
        loss={"sobel": 1.0},
        training={"steps": 0, "averaging": 2.0},
        background=xv.OptimalInterpolation(error_variance=-1.0),
    )
    assert len(found) == 9
    assert len(set(found)) == 9


@pytest.mark.parametrize("settings", [{}, {"patch": {"lat": 20}}, {"coarsen": 3, "loss": {}}])
@pytest.mark.parametrize("dims", [("time", "y", "x"), ("y", "x"), ("time",)])
def test_good_settings_pass(settings, dims):
    if "y" not in dims:
        settings = {}
    xv.FourDVarNet(**settings).check(grid_of((30, 20, 24)[-len(dims) :], dims), ["ssh"])


def test_names_are_those_of_the_rooms():
    assert set(get_args(PriorName)) == set(PRIORS)
    assert set(get_args(SolverName)) == {
        "unet",
        "lstm",
        "lstm_gradient",
        "recurrent",
        "gradient",
        "fixed_point",
    }


def test_patches_are_at_most_the_domain():
    large = grid_of((30, 200, 24))
    assert xv.FourDVarNet().patch_sizes(large) == {"time": 15, "y": 128, "x": 24}
    method = xv.FourDVarNet(patch={"lat": 50, "t": 7})
    assert method.patch_sizes(large) == {"time": 7, "y": 50, "x": 24}


def test_windows_overlap_by_two_thirds_in_time_and_a_quarter_in_space():
    method = xv.FourDVarNet(patch={"time": 15, "y": 20, "x": 8})
    assert method.windows(GRID, Parameters()) == {
        "time": Window(15, 5),
        "y": Window(20, 15),
        "x": Window(8, 6),
    }
    given = xv.FourDVarNet(patch={"time": 15, "x": 8}, overlap={"time": 0, "lon": 7})
    windows = given.windows(GRID, Parameters())
    assert (windows["time"], windows["x"]) == (Window(15, 15), Window(8, 1))


def test_a_fitted_patch_goes_before_the_domain():
    fitted = Parameters({"patch": {"time": 5, "y": 6, "x": 7}})
    windows = xv.FourDVarNet().windows(GRID, fitted)
    assert [window.patch for window in windows.values()] == [5, 6, 7]


def test_losses_have_documented_defaults():
    assert xv.FourDVarNet(loss={"gradient": 0.5, "regularisation": 0}).loss_weights == {
        "supervised": 1.0,
        "gradient": 0.5,
        "regularisation": 0,
        "variational": 0.0,
    }


def test_without_a_prior_no_loss_is_one_of_it():
    weights = xv.FourDVarNet(prior=None).loss_weights
    assert weights == {
        "supervised": 1.0, "gradient": 0.0, "regularisation": 0.0, "variational": 0.0
    }  # fmt: skip


def test_nothing_is_known_before_training():
    assert xv.FourDVarNet().known(GRID, ["ssh"]) is None
