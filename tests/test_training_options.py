"""The learning rate rises, then falls to nothing."""

from __future__ import annotations

import numpy as np
import pytest

from xr4dvar.methods import Training


def test_the_rate_rises_then_falls_along_a_cosine():
    training = Training(steps=1000, learning_rate=2.0)
    rates = np.array([training.rate(step) for step in range(1000)])
    assert (np.diff(rates[:90]) > 0).all()
    assert (np.diff(rates[110:]) < 0).all()
    assert rates[0] == pytest.approx(0.02)
    assert rates[500] == pytest.approx(1.0)
    assert 0 < rates[-1] < 1e-4
    assert rates.max() < 2.0


def test_a_short_run_has_positive_rates():
    training = Training(steps=5)
    assert all(training.rate(step) > 0 for step in range(5))
