"""The covariance of several variables: its root, and solves, against dense algebra."""

import numpy as np
import pytest
import torch

from xr4dvar.covariance import Joint, Prior, Separable, Spherical, analyse

LOADINGS = torch.tensor([[1.0, 0.0], [-0.7, 1.0], [0.4, 1.0]], dtype=torch.float64)
TIMES = torch.tensor([0.0, 1.0, 2.5], dtype=torch.float64)
Y, X = 40 + torch.arange(4.0).double(), torch.arange(5.0).double()
PARTS = {
    "plane": [Separable((2.0, 1.5, 2.0), variance=v) for v in (1.0, 0.5, 0.2)],
    "rough": [Separable((2.0, 1.5, 2.0), "matern12", variance=v) for v in (1.0, 0.5, 0.2)],
    "sphere": [Spherical((2.0, 150.0), variance=v) for v in (1.0, 0.5, 0.2)],
}


def dense(parts):
    """The covariance of all cells of both variables, by its definition."""
    points = torch.cartesian_prod(TIMES, Y, X)
    each = [part.between(points, points).numpy() for part in parts]
    loadings = LOADINGS.numpy()
    blocks = [
        [sum(a[v] * a[w] * c for a, c in zip(loadings, each, strict=True)) for w in (0, 1)]
        for v in (0, 1)
    ]
    size = np.sqrt([np.diag(blocks[v][v])[0] for v in (0, 1)])
    return np.block([[blocks[v][w] / (size[v] * size[w]) for w in (0, 1)] for v in (0, 1)])


def prior(parts):
    slots = torch.arange(6.0, dtype=torch.float64)
    return Prior(Joint(parts, LOADINGS, TIMES), (slots, Y, X))


@pytest.mark.parametrize("name", PARTS)
def test_root_and_points_give_the_covariance(name):
    own, expected = prior(PARTS[name]), dense(PARTS[name])
    points = own.points(torch.cartesian_prod(torch.arange(6), torch.arange(4), torch.arange(5)))
    between = own.covariance.between(points, points).numpy()
    np.testing.assert_allclose(between, expected, atol=1e-12)
    if name == "sphere":
        return  # whose root is one up to its embedding
    root = own.root(1e-9, torch.float64)
    size = len(root.spectrum)
    rows = root.apply(torch.eye(size, dtype=torch.float64)).reshape(size, -1).numpy()
    np.testing.assert_allclose(rows.T @ rows, expected, atol=1e-8)
    np.testing.assert_allclose(root.spectrum, (rows**2).sum(1), atol=1e-9)


def test_adjoint_and_information():
    root = prior(PARTS["plane"]).root(1e-9, torch.float64)
    generator = torch.Generator().manual_seed(0)
    control = torch.randn(2, len(root.spectrum), dtype=torch.float64, generator=generator)
    field = torch.randn(2, *root.shape, dtype=torch.float64, generator=generator)
    left = (root.apply(control) * field).sum()
    torch.testing.assert_close(left, (control * root.adjoint(field)).sum(), rtol=1e-10, atol=0)
    same = torch.full((1, *root.shape), 3.0, dtype=torch.float64)
    torch.testing.assert_close(root.information(same)[0], 3.0 * root.spectrum)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("most", [3000, 0], ids=["factorised", "iterated"])
def test_analysis_is_the_dense_one(name, most, monkeypatch):
    from xr4dvar.covariance import gridded

    if not most:
        monkeypatch.setattr(gridded, "FEW", 0)
        monkeypatch.setattr(gridded, "PATIENCE", 10**6)
    rng = np.random.default_rng(1)
    seen = rng.random((6, 4, 5)) < np.repeat([0.3, 0.9], 3)[:, None, None]
    y = np.where(seen, rng.normal(size=seen.shape), np.nan)
    errors = rng.uniform(0.01, 0.2, seen.shape)
    b, flat = dense(PARTS[name]), seen.ravel()
    gain = np.linalg.solve(b[np.ix_(flat, flat)] + np.diag(errors[seen]), y[seen])
    expected = (b[:, flat] @ gain).reshape(seen.shape)
    found = analyse(
        torch.tensor(y), torch.tensor(seen), prior(PARTS[name]), torch.tensor(errors),
        tolerance=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(found.increment, expected, atol=1e-5 if name == "sphere" else 1e-6)
