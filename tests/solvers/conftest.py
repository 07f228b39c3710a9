"""A cost whose analysis is known in closed form."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import BackgroundTerm, Cost, ObservationTerm, Variance

#: Variances of the observations and of the background.
R, B = 0.5, 2.0


@pytest.fixture
def batch() -> Batch:
    """Gappy observations; some cells stand for several."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(3, 2, 2, 4, 5, generator=generator, dtype=torch.float64)
    weight = torch.randint(0, 3, y.shape, generator=generator).double()
    return Batch(y * (weight > 0), weight)


@pytest.fixture
def quadratic() -> Cost:
    """Observations and background of independent cells."""
    terms = [ObservationTerm(Variance(R, learned=True)), BackgroundTerm(Variance(B, learned=True))]
    return Cost(terms).double()


@pytest.fixture
def curvature(batch: Batch) -> torch.Tensor:
    """Second derivative of the quadratic cost, cell by cell."""
    return batch.weight / R + 1 / B


@pytest.fixture
def analysis(batch: Batch) -> torch.Tensor:
    """The best linear unbiased estimate: ``y B / (B + R)`` where seen once, 0 where never."""
    return batch.y * batch.weight * B / (batch.weight * B + R)
