"""The network of 4DVarNet: every part learns, and it starts where it should."""

from __future__ import annotations

import itertools

import pytest
import torch

from xr4dvar.cost.batch import Batch
from xr4dvar.methods.fourdvarnet.network import Architecture, FourDVarNetwork
from xr4dvar.priors import PRIORS

SOLVERS = ["unet", "lstm", "lstm_gradient", "gradient", "fixed_point"]
EVERY = list(itertools.product(PRIORS, SOLVERS))


def make_network(prior="bilinear", solver="unet", context=2, coarsen=1, **options):
    torch.manual_seed(0)
    sizes = {"iterations": 2, "widths": [4, 6], "prior_width": 8, "coarsen": coarsen}
    return FourDVarNetwork(
        Architecture(variables=2, times=3, context=context, solver=solver, **sizes | options),
        prior,
    )


def make_batch(size=(9, 10), samples=2, context=True, seed=1):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(samples, 2, 3, *size, generator=generator)
    observed = torch.rand(y.shape, generator=generator) < 0.4
    known = torch.randn(samples, 2, 3, *size, generator=generator) if context else None
    return Batch.from_gappy(torch.where(observed, y, torch.nan), known)


def run(network, batch):
    return network(batch.y, batch.weight, batch.context)[0]


def train_one_step(network, batch):
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    (run(network.train(), batch) - 1).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize(("prior", "solver"), EVERY)
@pytest.mark.parametrize("context", [0, 2])
def test_gradients_reach_every_parameter(prior, solver, context):
    network = make_network(prior, solver, context)
    batch = make_batch(context=context > 0)
    for _ in range(2):  # the last layers of a learned solver and of a U-Net as prior start at zero
        train_one_step(network, batch)
    (run(network, batch) - 1).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("solver", ["unet", "lstm"])
@pytest.mark.parametrize("coarsen", [1, 4])
def test_untrained_it_gives_the_background(solver, coarsen):
    network = make_network(solver=solver, coarsen=coarsen)
    assert (run(network, make_batch()) == 0).all()


@pytest.mark.parametrize(("prior", "solver"), EVERY)
@pytest.mark.parametrize("coarsen", [1, 2, 4])
def test_any_patch_size_and_grid(prior, solver, coarsen):
    network = make_network(prior, solver, coarsen=coarsen).eval()
    for size in ((9, 10), (1, 1), (16, 5)):
        batch = make_batch(size)
        increment, state = network(batch.y, batch.weight, batch.context)
        assert increment.shape == batch.y.shape
        assert state.shape == (2, 2, 3, -(-size[0] // coarsen), -(-size[1] // coarsen))
        assert torch.isfinite(increment).all()


@pytest.mark.parametrize(("prior", "solver"), EVERY)
def test_the_map_does_not_depend_on_training_mode_or_neighbours(prior, solver):
    network = make_network(prior, solver, coarsen=2)
    batch = make_batch()
    train_one_step(network, batch)
    in_training = run(network.train(), batch).detach()
    in_use = run(network.eval(), batch)
    torch.testing.assert_close(in_training, in_use, rtol=1e-5, atol=1e-6)
    assert in_use.grad_fn is None
    y, context = batch.y.clone(), batch.context.clone()
    y[1], context[1] = 50.0, -50.0
    changed = run(network, Batch(y, batch.weight, context))
    assert torch.equal(changed[0], in_use[0])
    assert not torch.equal(changed[1], in_use[1])


def test_a_gradient_solver_lowers_the_cost():
    network = make_network(solver="gradient", iterations=3).eval()
    batch = make_batch()
    before = network.cost(torch.zeros_like(batch.y), batch)
    after = network.cost(run(network, batch), batch)
    assert (after < before).all()


@pytest.mark.parametrize("solver", ["unet", "lstm"])
def test_without_a_prior_it_is_a_network_of_what_was_observed(solver):
    network = make_network(None, solver, context=2, iterations=1)
    batch = make_batch()
    train_one_step(network, batch)
    assert network.prior is None
    image = [-batch.weight * batch.y, 0 * batch.y, batch.weight, batch.context]
    image = torch.cat([field.flatten(1, 2) for field in image], 1)
    r = network.cost.terms[0].variance().detach().flatten().repeat_interleave(3)
    image[:, :6] /= r[:, None, None]
    expected, _ = network.solver.cell(image, None)
    torch.testing.assert_close(run(network.eval(), batch), -expected.view_as(batch.y))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("solver", ["unet", "lstm", "lstm_gradient", "gradient"])
def test_steps_that_share_nothing_have_weights_of_their_own(solver):
    shared = make_network(solver=solver, iterations=3)
    own = make_network(solver=solver, iterations=3, shared=False)
    assert count(own.solver) == 3 * count(shared.solver)
    assert count(own.prior) == count(shared.prior)
    batch = make_batch()
    before = [[p.detach().clone() for p in step.parameters()] for step in own.solver.solvers]
    for _ in range(3):
        train_one_step(own, batch)
    after = [[p.detach() for p in step.parameters()] for step in own.solver.solvers]
    for old, new in zip(before, after, strict=True):
        assert not all(torch.equal(a, b) for a, b in zip(old, new, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(after[0], after[2], strict=True))
    assert torch.isfinite(run(own.eval(), batch)).all()


def test_an_untrained_network_with_the_gradients_own_term_descends():
    network = make_network(solver="lstm_gradient", iterations=3).eval()
    batch = make_batch()
    x = torch.zeros_like(batch.y)
    for k in range(3):
        x = x - 0.2 * (k + 1) / 3 * sum(network.cost.gradients(x, batch))
    torch.testing.assert_close(run(network, batch), x)


def test_backpropagation_is_that_of_the_loop():
    batch = make_batch()
    found = {}
    for how in ("full", "checkpointed", 1):
        network = make_network(solver="lstm", iterations=3, backpropagation=how)
        train_one_step(network, batch)
        run(network, batch).square().mean().backward()
        found[how] = {name: p.grad for name, p in network.named_parameters()}
    torch.testing.assert_close(found["checkpointed"], found["full"], rtol=1e-3, atol=1e-6)
    assert not torch.allclose(*(found[how]["solver.cell.leave.weight"] for how in ("full", 1)))


def test_a_fixed_point_is_observations_and_prior_in_turn():
    """With perfect observations ``x <- M y + (1 - M) Phi(x)``."""
    network = make_network("unet", "fixed_point", iterations=4, error_variance=[[[[1e-12]]]] * 2)
    torch.nn.init.normal_(network.prior.unet.leave.weight, std=0.1)
    batch = make_batch()
    x = torch.zeros_like(batch.y)
    for _ in range(4):
        x = torch.where(batch.weight > 0, batch.y, network.prior(x, batch.context))
    assert x.std() > 0.1
    torch.testing.assert_close(run(network.eval(), batch), x)


@pytest.mark.parametrize("shared", [True, False])
def test_every_weight_has_one_name(shared):
    weights = make_network(iterations=2, shared=shared).state_dict().values()
    assert len({weight.data_ptr() for weight in weights}) == len(weights)
