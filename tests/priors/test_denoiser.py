"""The denoiser: what it does untrained, what it can learn, at every noise level."""

from __future__ import annotations

import torch

from xr4dvar.priors import NoiseLevelUNet


def random(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NoiseLevelUNet(channels=4, widths=(8, 12))


def test_untrained_it_is_the_best_estimate_of_white_states():
    x = random(0, 3, 2, 2, 6, 7)
    levels = torch.tensor([0.1, 1.0, 5.0])
    expected = x / (1 + levels**2).view(3, 1, 1, 1, 1)
    torch.testing.assert_close(make()(x, levels), expected)


def test_a_level_of_each_sample_or_one_for_all():
    denoise, x = make(), random(0, 3, 2, 2, 6, 7)
    torch.nn.init.normal_(denoise.unet.leave.weight, generator=torch.Generator().manual_seed(1))
    levels = torch.tensor([0.1, 1.0, 5.0])
    each = denoise(x, levels)
    for n, level in enumerate(levels):
        torch.testing.assert_close(denoise(x, level)[n], each[n], rtol=1e-4, atol=1e-5)
    assert (denoise(x, levels.flip(0)) - each).abs().max() > 0.1


def test_it_learns_that_a_field_is_flat():
    """The mean of n noisy cells has 1/n of the variance of the noise."""
    denoise = make()
    optimizer = torch.optim.Adam(denoise.parameters(), lr=1e-2)
    for step in range(40):
        flat = random(step, 8, 1, 1, 1, 1).expand(8, 2, 2, 6, 6)
        noisy = flat + random(1000 + step, 8, 2, 2, 6, 6)
        loss = ((denoise(noisy, torch.ones(8)) - flat) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.25, "0.5 of a cell by itself"
