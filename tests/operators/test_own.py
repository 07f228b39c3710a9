"""Operators of the user's own, compositions, and binding."""

import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv
from tests.operators.grids import bound, grid_of, is_adjoint, noise
from xr4dvar.covariance.observed import norm_squared
from xr4dvar.errors import InputError
from xr4dvar.operators.bound import AlongAxes, EachPatch
from xr4dvar.operators.scaled import InUnits
from xr4dvar.testing import assert_adjoint

GRID = {"time": np.arange(5.0), "x": ["a", "b", "c"]}
MATRIX = [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, -1.0]]


def test_a_matrix_of_components():
    h, seen = bound(xv.operators.Linear(MATRIX), grid_of(time=np.arange(5.0), x=np.arange(3.0)))
    x = noise(2, 1, 5, 1, 3)
    torch.testing.assert_close(h(x), x @ torch.tensor(MATRIX, dtype=torch.float64).T)
    assert is_adjoint(h, (5, 1, 3))
    np.testing.assert_array_equal(seen[0, 0, 0], [True, False, True])  # zeros tell nothing


def test_a_function_is_differentiated():
    h, _ = bound(xv.operators.Linear(lambda x: x.roll(1, -1) - 2 * x), grid_of(x=np.arange(6.0)))
    assert is_adjoint(h, (1, 1, 6))


def test_the_dot_product_finds_a_wrong_adjoint():
    field = xr.DataArray(np.zeros((5, 7)), dims=("time", "x"))
    assert_adjoint(xv.operators.Linear(lambda x: x.cumsum(-1)), field)
    wrong = xv.operators.Linear(lambda x: x.cumsum(-1), adjoint=lambda y: y.cumsum(-1))
    with pytest.raises(AssertionError, match="Linear: <H x, y> is"):
        assert_adjoint(wrong, field)


def test_one_after_the_other():
    grid = grid_of(y=np.arange(9.0), x=np.arange(12.0))
    blur, mean = xv.operators.Blur({"x": 1.2}), xv.operators.BlockMean({"x": 3})
    both, seen = bound(mean @ blur, grid)
    x = noise(2, 1, 1, 9, 12)
    first, last = (bound(one, grid)[0] for one in (blur, mean))
    torch.testing.assert_close(both(x), last(first(x)))
    assert is_adjoint(both, (1, 9, 12))
    dims = {dim: matrix.shape for dim, matrix in both.matrices.items()}
    assert dims == {-1: (12, 12)}
    part, seen = bound(mean @ blur, grid, x=slice(0, 9))
    known = both(x)[..., :9][:, :, seen[0]]
    torch.testing.assert_close(part(x[..., :9])[:, :, seen[0]], known, rtol=0, atol=5e-3)
    assert not seen[0][0, 0, 7]  # the block beside the cut knows the blur from beyond it


def test_operators_of_each_patch():
    one, two = AlongAxes({-1: 2 * torch.eye(3)}), AlongAxes({-1: 3 * torch.eye(3)})
    each = EachPatch([one, two, one])
    x = noise(3, 1, 1, 1, 3)
    torch.testing.assert_close(each(x), torch.stack([2 * x[0], 3 * x[1], 2 * x[2]]))
    torch.testing.assert_close(each.adjoint(x), each(x))
    torch.testing.assert_close(
        each.take(torch.tensor([1, 0]))(x[:2]), torch.stack([3 * x[0], 2 * x[1]])
    )
    assert each.take(torch.tensor([0, 2])) is one


def test_units_and_norm():
    h = AlongAxes({-1: torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)})
    offset, spread = torch.full((1, 1, 1, 1, 2), 5.0).double(), torch.tensor(4.0).double()
    scaled, x = InUnits(h, offset, spread), noise(1, 1, 1, 1, 2)
    torch.testing.assert_close(4 * scaled(x), h(5 + 4 * x) - h(offset))
    torch.testing.assert_close(scaled.scaled(h(5 + 4 * x)), scaled(x))
    largest = float(torch.linalg.matrix_norm(h.weights[-1], 2)) ** 2
    assert largest <= float(norm_squared(scaled, x)) <= 1.2 * largest


OBS = xr.DataArray(np.zeros((5, 3)), dims=("time", "component"), name="s",
                   coords={"component": ["a", "b", "c"]})  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        (xv.operators.Linear([[1.0, 0.0]]), r"matrix has the shape \(1, 2\), the data have 3"),
        (xv.operators.Linear(lambda x: x**2), "is not linear"),
        (xv.operators.Linear(lambda x: 2 * x, adjoint=lambda y: 3 * y), "adjoint is not that of"),
        (xv.operators.Linear(lambda x: x.sum(-1)), "turns a field of shape"),
        (xv.operators.Function(3), "function is 3"),
        (xv.operators.Function(lambda x: x / torch.zeros(7)), "fails on a field of shape"),
        (xv.operators.Linear("abc"), "matrix is 'abc', no matrix of finite numbers"),
        (xv.operators.Linear(3.0), "the data have 3 components along x"),
        (xv.operators.Linear([[np.nan] * 3] * 3), "no matrix of finite numbers"),
        (xv.operators.Linear(lambda x: x @ torch.eye(3).double()), "a.to"),
        (xv.operators.Blur, "no observation operator"),
        ("blur", "operator is 'blur', no observation operator"),
    ],
)
def test_what_cannot_be_used_is_told(operator, words):
    method = xv.FourDVar(xv.Lorenz63(dt=0.01), 1.0, operator=operator)
    with pytest.raises(InputError, match=words):
        OBS.fourdvar.reconstruct(method, dims={"x": "component"})


def test_functions_that_join_times_are_refused():
    mean = xv.operators.Function(lambda x: x - x.mean(2, keepdim=True))
    method = xv.FourDVar(xv.Lorenz63(dt=0.01), 1.0, operator=mean)
    with pytest.raises(InputError, match="joins times"):
        OBS.fourdvar.reconstruct(method, dims={"x": "component"})
