"""Control in a code: there and back, and the cost that a Gaussian code has."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import BackgroundTerm, Cost, ObservationTerm, Variance
from xr4dvar.priors import DecodedTerm, EOFProjection, GaussianCode
from xr4dvar.solvers import LBFGS, GaussNewtonCG, minimise

SHAPE = (1, 3, 2, 2)
GENERATOR = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64)


@pytest.fixture(scope="module")
def code() -> GaussianCode:
    modes = torch.linalg.qr(random(12, 4)).Q.T.reshape(4, *SHAPE)
    root = torch.linalg.cholesky(torch.eye(4) + 0.5 * torch.ones(4, 4)).double()
    return GaussianCode(EOFProjection(random(*SHAPE), modes), random(4), root)


def test_there_and_back(code):
    u = random(3, 4, 1, 1, 1)
    torch.testing.assert_close(code.encode(code.decode(u)), u)


def test_numbers_of_variance_one_are_the_gaussian_of_the_code(code):
    x = code.decode(random(3, 4, 1, 1, 1))
    anomaly = code.prior.encode(x) - code.mean
    precision = torch.linalg.inv(code.root @ code.root.T)
    expected = 0.5 * ((anomaly @ precision) * anomaly).sum(1)
    batch = Batch.from_gappy(x)
    torch.testing.assert_close(BackgroundTerm(Variance(1.0))(code.encode(x), batch), expected)


@pytest.mark.parametrize("solver", [LBFGS(tolerance=1e-14), GaussNewtonCG(tolerance=1e-14)])
def test_the_minimum_is_the_posterior_mean(code, solver):
    y = random(3, *SHAPE)
    batch = Batch.from_gappy(torch.where(y > -0.3, y, torch.nan))
    known = DecodedTerm(ObservationTerm(Variance(0.5)), code.decode)
    cost = Cost([known, BackgroundTerm(Variance(1.0))]).double()
    start = solver.init(cost, batch, torch.zeros(3, 4, 1, 1, 1, dtype=torch.float64))
    x = code.decode(minimise(cost, solver, batch, 60, start=start).x)
    mean = code.decode(torch.zeros(1, 4, 1, 1, 1).double()).flatten()
    directions = code.prior.modes.flatten(1).T @ code.root
    for n in range(3):
        seen = batch.weight[n].flatten() > 0
        b = directions @ directions.T
        gain = b[:, seen] @ torch.linalg.inv(b[seen][:, seen] + 0.5 * torch.eye(int(seen.sum())))
        expected = mean + gain @ (y[n].flatten() - mean)[seen]
        torch.testing.assert_close(x[n].flatten(), expected, rtol=1e-5, atol=1e-5)
