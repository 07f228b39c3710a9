"""Configurations: through JSON and back, the same method."""

from __future__ import annotations

import json
from dataclasses import dataclass, make_dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xr4dvar as xv
from xr4dvar.errors import InputError
from xr4dvar.methods import from_config, to_config
from xr4dvar.registry import functions_of, register

counts = st.integers(1, 500)
numbers = st.floats(1e-6, 1e6)
axes = st.sampled_from(["time", "lat", "lon", "nav_lat"])

trainings = st.builds(
    xv.Training,
    steps=counts,
    batch_size=counts,
    learning_rate=numbers,
    steps_per_epoch=counts,
    patience=counts,
    gradient_clip=numbers,
    averaging=st.floats(0, 0.999),
)
lengths = st.dictionaries(axes, st.one_of(numbers, st.sampled_from(["7D", "100 km"])), min_size=1)
interpolations = st.builds(
    xv.OptimalInterpolation,
    length=st.one_of(st.none(), lengths, st.lists(lengths, min_size=1, max_size=2)),
    variance=st.one_of(st.none(), numbers),
    error_variance=st.one_of(st.none(), numbers),
    scales=st.integers(1, 2),
)
networks = st.builds(
    xv.FourDVarNet,
    background=st.one_of(st.none(), interpolations, st.just(xv.LinearInterpolation())),
    patch=st.one_of(st.none(), st.dictionaries(axes, counts)),
    overlap=st.one_of(st.none(), st.dictionaries(axes, counts)),
    prior=st.sampled_from(["bilinear", "two_scale"]),
    solver=st.sampled_from(["unet", "lstm", "gradient"]),
    steps=counts,
    widths=st.lists(counts, min_size=1, max_size=3),
    prior_width=counts,
    coarsen=st.one_of(st.just("auto"), counts),
    loss=st.one_of(st.none(), st.dictionaries(st.sampled_from(["gradient"]), numbers)),
    redraw=st.booleans(),
    mirror=st.booleans(),
    training=trainings,
)
variances = st.one_of(numbers, st.lists(numbers, min_size=1, max_size=2))
variationals = st.builds(
    xv.Variational,
    prior=st.one_of(
        st.builds(xv.EOFs, modes=counts),
        st.builds(xv.AutoEncoder, code=counts, width=counts, training=trainings),
        st.builds(xv.Denoiser, widths=st.lists(counts, min_size=1, max_size=3), depth=counts),
        st.builds(xv.Lorenz63, dt=numbers),
    ),
    error_variance=variances,
    model_error_variance=st.one_of(st.none(), variances),
    control=st.sampled_from(["state", "latent"]),
    solver=st.sampled_from([None, "lbfgs", "fixed_point"]),
    steps=st.one_of(st.none(), counts),
    patch=st.one_of(st.none(), st.dictionaries(axes, counts)),
    background=st.one_of(st.none(), interpolations),
)


@given(
    st.one_of(interpolations, networks, variationals, trainings, st.just(xv.LinearInterpolation()))
)
def test_a_method_survives_json(method):
    again = from_config(json.loads(json.dumps(to_config(method))))
    assert again == method
    assert type(again) is type(method)
    assert to_config(again) == to_config(method)


def test_numbers_of_numpy_become_plain():
    method = xv.FourDVarNet(
        patch={"time": np.int64(7)},
        widths=np.array([8, 16]),
        loss={"gradient": np.float32(0.5)},
        redraw=np.bool_(False),
        training=xv.Training(steps=np.int32(10)),
    )
    config = json.loads(json.dumps(to_config(method)))
    assert config["patch"] == {"time": 7}
    assert config["widths"] == [8, 16]
    assert config["loss"] == {"gradient": 0.5}
    assert config["redraw"] is False
    assert config["training"]["steps"] == 10
    assert from_config(config) == method


def test_a_method_of_another_version():
    with pytest.raises(InputError, match="method 'Kriging' is unknown to this version"):
        from_config({"name": "Kriging"})


def test_a_setting_of_another_version():
    config = {**to_config(xv.FourDVarNet()), "wavelets": 3}
    with pytest.raises(InputError, match=r"a setting of FourDVarNet is unknown .*wavelets"):
        from_config(config)


def test_a_background_of_another_version():
    config = {**to_config(xv.FourDVarNet()), "background": {"name": "Kriging"}}
    with pytest.raises(InputError, match="Kriging"):
        from_config(config)


def test_a_part_of_a_third_party_is_saved_by_name():
    @register
    @dataclass(frozen=True)
    class Relaxation:
        rate: float = 0.5

    assert to_config(Relaxation(0.25)) == {"name": "Relaxation", "rate": 0.25}
    assert from_config(to_config(Relaxation(0.25))) == Relaxation(0.25)
    assert functions_of(Relaxation()) == []


def test_no_two_parts_have_one_name():
    with pytest.raises(InputError, match=r"'EOFs' is registered already, for xr4dvar\.priors\.eof"):
        register(make_dataclass("EOFs", [], frozen=True))
    with pytest.raises(InputError, match="Plain is no dataclass"):
        register(type("Plain", (), {}))
