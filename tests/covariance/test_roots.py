"""Covariance roots against brute-force covariance matrices."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.covariance import FAMILIES, Prior, Separable, Spherical, Sum, analyse, find_family
from xr4dvar.errors import InputError


def grid_points(coordinates):
    return torch.stack(torch.meshgrid(*coordinates, indexing="ij"), -1).reshape(-1, 3)


def dense(root):
    """L L' column by column."""
    size = torch.Size(root.shape).numel()
    identity = torch.eye(size, dtype=root.spectrum.dtype).reshape(size, *root.shape)
    return root.apply(root.adjoint(identity)).reshape(size, size)


def coordinates(seed=0):
    generator = torch.Generator().manual_seed(seed)
    time = torch.tensor([0.0, 1.0, 2.5, 6.0, 6.5], dtype=torch.float64)
    y = torch.rand(6, generator=generator, dtype=torch.float64).cumsum(0) + 30.0
    x = torch.rand(7, generator=generator, dtype=torch.float64).cumsum(0) - 60.0
    return time, y, x


def sphere(spacing, first, n_longitude, latitudes=(-70.0, -12.0, 3.0, 41.0, 89.0)):
    longitude = first + spacing * torch.arange(n_longitude, dtype=torch.float64)
    time = torch.tensor([0.0, 2.0, 7.0], dtype=torch.float64)
    return time, torch.tensor(latitudes, dtype=torch.float64), longitude


ROUND_TENS = sphere(10.0, 5.0, 36)
CASES = {
    **{name: (Separable((4.0, 1.0, 1.5), name, 2.0), coordinates()) for name in FAMILIES},
    "periodic": (
        Separable((4.0, 1.0, 20.0), "matern32", periods=(30.0, None, 360.0)),
        (*coordinates()[:2], torch.arange(0.0, 360.0, 15.0, dtype=torch.float64)),
    ),
    "sum": (
        Sum((Separable((4.0, 2.0, 2.0)), Separable((2.0, 0.5, 0.5), "matern52", 0.3))),
        coordinates(),
    ),
    **{f"round {n}": (Spherical((4.0, 2000.0), n, 2.0), ROUND_TENS) for n in FAMILIES},
    "odd circle": (Spherical((4.0, 2000.0), "matern12"), sphere(8.0, 0.0, 45)),
    "region": (
        Spherical((4.0, 120.0)),
        sphere(0.5, -65.0, 12, latitudes=(33.0, 33.5, 34.0, 36.0, 36.1)),
    ),
    "rough region": (
        Spherical((4.0, 120.0), "matern12"),
        sphere(0.5, 359.0, 12, latitudes=(33.0, 33.5, 34.0, 36.0)),
    ),
    "region, long": (Spherical((4.0, 3000.0), "matern32"), sphere(1.0, -65.0, 20)),
    "region, uneven circle": (
        Spherical((4.0, 120.0)),
        sphere(0.7, -65.0, 12, latitudes=(33.0, 33.5)),
    ),
    "one longitude": (Spherical((4.0, 800.0)), sphere(1.0, 7.0, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_root_times_its_adjoint_is_the_covariance(name):
    covariance, axes = CASES[name]
    points = grid_points(axes)
    expected = covariance.between(points, points)
    fine = dense(covariance.root(axes, tolerance=1e-13, dtype=torch.float64))
    assert (fine - expected).abs().max() < 1e-11 * covariance.variance
    coarse = dense(covariance.root(axes, tolerance=1e-6))
    assert (coarse - expected).abs().max() < 6e-6 * covariance.variance


@pytest.mark.parametrize("name", CASES)
def test_adjoint_is_the_transpose(name):
    covariance, axes = CASES[name]
    root = covariance.root(axes, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    control = torch.randn(2, 3, len(root.spectrum), generator=generator, dtype=torch.float64)
    field = torch.randn(2, 3, *root.shape, generator=generator, dtype=torch.float64)
    left = (root.apply(control) * field).sum((-3, -2, -1))
    right = (control * root.adjoint(field)).sum(-1)
    torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["gaussian", "periodic", "sum", "round matern32", "odd circle"])
def test_spectrum_is_the_diagonal_of_the_inner_product(name):
    covariance, axes = CASES[name]
    root = covariance.root(axes, dtype=torch.float64)
    identity = torch.eye(len(root.spectrum), dtype=torch.float64)
    columns = root.apply(identity).flatten(1)
    torch.testing.assert_close(columns.square().sum(1), root.spectrum, rtol=1e-9, atol=1e-9)


def test_spectrum_of_a_region_has_the_trace_of_the_covariance():
    covariance, axes = CASES["region"]
    root = covariance.root(axes)
    cells = torch.Size(root.shape).numel()
    assert float(root.spectrum.sum()) == pytest.approx(cells, rel=1e-4)


def test_neighbours_across_the_seam_are_neighbours():
    time = torch.zeros(1, dtype=torch.float64)
    latitude = torch.tensor([0.125, 40.125], dtype=torch.float64)
    longitude = torch.arange(0.125, 360.0, 0.25, dtype=torch.float64)
    assert float(longitude[-1]) == 359.875
    root = Spherical((7.0, 100.0)).root((time, latitude, longitude))
    impulse = torch.zeros(root.shape)
    impulse[0, 0, 0] = 1.0
    column = root.apply(root.adjoint(impulse))[0, 0]
    assert float(column[-1]) == pytest.approx(float(column[1]), abs=1e-5)
    assert float(column[-1]) == pytest.approx(0.926, abs=1e-3)
    assert abs(float(column[720])) < 1e-5


def test_a_gaussian_root_is_short_and_a_matern_root_keeps_what_matters():
    axis = torch.arange(100, dtype=torch.float64) / 10
    smooth = Separable((1.0, 1.0, 1.0)).root((axis, axis, axis))
    assert smooth.time.shape[1] < 35
    rough = Separable((1.0, 1.0, 1.0), "matern12").root((axis, axis, axis))
    assert rough.time.shape[1] == 100


def test_gaussian_has_no_half():
    d = torch.tensor([0.5, 1.0])
    torch.testing.assert_close(find_family("gaussian")(d), torch.exp(-(d**2)))


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_correlations(name):
    d = torch.linspace(0, 6, 200, dtype=torch.float64)
    c = find_family(name)(d)
    assert float(c[0]) == 1.0
    assert bool((c.diff() < 0).all())
    assert float(c[-1]) < 0.01
    line = torch.linspace(0, 3, 12, dtype=torch.float64)
    matrix = find_family(name)((line[:, None] - line).abs())
    assert float(torch.linalg.eigvalsh(matrix).min()) > -1e-12


def test_matern_families_agree_with_sklearn():
    kernels = pytest.importorskip("sklearn.gaussian_process.kernels")
    d = torch.linspace(0, 3, 7, dtype=torch.float64)
    for name, order in {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}.items():
        expected = kernels.Matern(1.0, nu=order)(d[:1, None].numpy(), d[:, None].numpy())[0]
        torch.testing.assert_close(find_family(name)(d), torch.from_numpy(expected))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Separable((0.0, 1.0, -1.0), "round"), "3 problems"),
        (lambda: Separable((1.0, 1.0, 1.0), periods=(None, None, float("nan"))), "period"),
        (lambda: Spherical((1.0, 1.0), variance=0.0), "variance"),
        (lambda: find_family("round"), "matern32"),
        (
            lambda: Spherical((1.0, 100.0)).root(
                (torch.zeros(1), torch.zeros(1), torch.tensor([0.0, 1.0, 3.0]))
            ),
            "evenly spaced",
        ),
        (
            lambda: Spherical((1.0, 5000.0)).root(
                (torch.zeros(1), torch.tensor([3.0, 30.0]), torch.arange(0, 350.0, 7.0))
            ),
            "does not divide 360",
        ),
    ],
)
def test_bad_models_are_refused(make, text):
    with pytest.raises(InputError, match=text):
        make()


def test_analysis_on_the_sphere_equals_the_dense_one():
    covariance, axes = CASES["round matern32"]
    points = grid_points(axes)
    generator = torch.Generator().manual_seed(3)
    shape = tuple(len(axis) for axis in axes)
    innovation = torch.randn(shape, generator=generator, dtype=torch.float64)
    observed = torch.rand(shape, generator=generator) < 0.3
    matrix = covariance.between(points, points)
    seen = observed.flatten()
    system = matrix[seen][:, seen] + 0.1 * torch.eye(int(seen.sum()), dtype=torch.float64)
    expected = matrix[:, seen] @ torch.linalg.solve(system, innovation.flatten()[seen])
    result = analyse(innovation, observed, Prior(covariance, axes), 0.1)
    assert (result.increment.flatten() - expected).abs().max() < 1e-8
