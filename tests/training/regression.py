"""A toy that `train` can learn: ``y = 2 x + 1`` with noise; known floor, known answer."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from xr4dvar.methods import FitOptions, Patches, Training
from xr4dvar.training.loop import train
from xr4dvar.training.sampler import Sample

NOISE = 0.5
FLOOR = NOISE**2
OPTIONS = {"steps": 60, "steps_per_epoch": 10, "learning_rate": 0.1, "averaging": 0.9}


def make_network(seed=0):
    generator = torch.Generator().manual_seed(seed)
    network = nn.utils.skip_init(nn.Linear, 1, 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network


def sample(step, rank=0, size=200):
    """Like that of `PatchSampler`, a function of the step alone."""
    generator = np.random.default_rng([step, rank])
    x = generator.normal(size=(4, 1, 1, 1, size)).astype(np.float32)
    noise = generator.normal(scale=NOISE, size=x.shape).astype(np.float32)
    return Sample(Patches(x, {}), 2 * x + 1 + noise)


def loss(network, sample):
    x, target = (torch.as_tensor(a)[..., None] for a in (sample.patches.y, sample.target))
    squares = ((network(x) - target) ** 2).flatten(1).mean(1)
    return squares, {"supervised": squares}


def validate(network):
    with torch.no_grad():
        return float(loss(network, sample(10**6, size=5000))[0].mean())


def run(
    *,
    training=None,
    checkpoint=None,
    identity=None,
    network=None,
    loss=loss,
    sample=sample,
    validate=validate,
    **options,
):
    """Train the toy; what is given replaces its part."""
    return train(
        make_network() if network is None else network,
        loss,
        sample,
        validate,
        training or Training(**(OPTIONS | options)),
        FitOptions(device="cpu", checkpoint=None if checkpoint is None else str(checkpoint)),
        identity or {"toy": 1},
    )
