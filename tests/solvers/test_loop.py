"""The loop: the same numbers with and without a graph, and no graph unless asked for."""

from __future__ import annotations

import pytest
import torch

from xr4dvar.cost.cost import Cost, ObservationTerm, PriorTerm, Variance
from xr4dvar.priors import BilinearAutoEncoder
from xr4dvar.solvers import GradientDescent, LearnedSolver, State, minimise
from xr4dvar.solvers.gradient import LearnedDescent


@pytest.fixture
def learned_cost():
    torch.manual_seed(0)
    prior = BilinearAutoEncoder(4, 0, 4)
    return Cost(
        [ObservationTerm(Variance(1.0, learned=True)), PriorTerm(prior, Variance(1.0))]
    ).double()


def make_solver(name):
    torch.manual_seed(1)
    if name == "gradient":
        return LearnedDescent(0.1).double()
    make = {
        "lstm": lambda: LearnedSolver.lstm(16, 4, 3),
        "unet": lambda: LearnedSolver.unet(16, 4, (3, 4)),
    }
    solver = make[name]().double()
    for parameter in solver.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return solver


def tensors(memory):
    if isinstance(memory, torch.Tensor):
        return [memory]
    return [t for part in memory or () for t in tensors(part)]


SOLVERS = ["gradient", "lstm", "unet"]


@pytest.mark.parametrize("name", SOLVERS)
def test_values_do_not_depend_on_the_graph(learned_cost, batch, name):
    solver = make_solver(name)
    free = minimise(learned_cost, solver, batch, steps=3)
    kept = minimise(learned_cost, solver, batch, steps=3, differentiable=True)
    assert torch.equal(free.x, kept.x)
    assert free.x.abs().max() > 1e-3
    assert free.step == kept.step == 3


@pytest.mark.parametrize("name", SOLVERS)
def test_the_graph_is_kept_only_where_asked(learned_cost, batch, name):
    solver = make_solver(name)
    free = minimise(learned_cost, solver, batch, steps=3)
    assert all(t.grad_fn is None and not t.requires_grad for t in [free.x, *tensors(free.memory)])
    kept = minimise(learned_cost, solver, batch, steps=3, differentiable=True)
    assert all(t.grad_fn is not None for t in [kept.x, *tensors(kept.memory)])
    assert (free.memory is None) == (name != "lstm")


@pytest.mark.parametrize("name", SOLVERS)
def test_without_a_graph_each_step_keeps_as_much_as_the_last(learned_cost, batch, name):
    """Tensors that autograd holds at the end of every step: the same number each time."""
    held, alive = [], set()

    class Held:
        def __init__(self, tensor):
            self.tensor = tensor.detach()  # not its graph, which holds this very box
            alive.add(id(self))

        def __del__(self):
            alive.discard(id(self))

    class Counting:
        def __init__(self, solver):
            self.init, self.solver = solver.init, solver

        def step(self, *args, **options):
            state = self.solver.step(*args, **options)
            held.append(len(alive))
            return state

    solver = Counting(make_solver(name))
    with torch.autograd.graph.saved_tensors_hooks(Held, lambda box: box.tensor):
        minimise(learned_cost, solver, batch, steps=4)
        without = held.copy()
        held.clear()
        minimise(learned_cost, solver, batch, steps=4, differentiable=True)
    assert max(without[1:]) <= without[0]
    assert held == sorted(set(held)), "the full graph grows"


@pytest.mark.parametrize("name", SOLVERS)
def test_it_works_where_gradients_are_off(learned_cost, batch, name):
    solver = make_solver(name)
    expected = minimise(learned_cost, solver, batch, steps=2).x
    with torch.no_grad():
        assert torch.equal(minimise(learned_cost, solver, batch, steps=2).x, expected)


def test_state_is_handed_from_step_to_step(learned_cost, batch):
    seen = []

    class Recorder:
        def init(self, cost, batch):
            return State(torch.zeros_like(batch.y), memory=("first",))

        def step(self, cost, batch, state, *, differentiable):
            seen.append((state.step, state.memory))
            return State(state.x + 1, state.step + 1, (f"after {state.step}",))

    state = minimise(learned_cost, Recorder(), batch, steps=3)
    assert seen == [(0, ("first",)), (1, ("after 0",)), (2, ("after 1",))]
    assert state.memory == ("after 2",)
    assert (state.x == 3).all()


def test_no_step_is_the_background(learned_cost, batch):
    assert (minimise(learned_cost, GradientDescent(0.1), batch, steps=0).x == 0).all()


def gradients_of(cost, solver, batch, **options):
    """Of the square of the last state, by all that is learned."""
    modules = torch.nn.ModuleList([cost, solver])
    modules.zero_grad()
    state = minimise(cost, solver, batch, differentiable=True, **options)
    state.x.square().sum().backward()
    learned = {n: p for n, p in modules.named_parameters() if p.requires_grad}
    return state, {name: parameter.grad for name, parameter in learned.items()}


@pytest.mark.parametrize("name", SOLVERS)
def test_checkpointed_gradients_are_the_same(learned_cost, batch, name):
    solver = make_solver(name)
    state, expected = gradients_of(learned_cost, solver, batch, steps=4)
    other, found = gradients_of(
        learned_cost, solver, batch, steps=4, backpropagation="checkpointed"
    )
    torch.testing.assert_close(other.x, state.x, rtol=0, atol=0)
    assert other.step == 4
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert all(grad.abs().max() > 0 for grad in found.values())


@pytest.mark.parametrize("name", SOLVERS)
def test_checkpointed_steps_keep_the_state_alone(learned_cost, batch, name):
    """Tensors that autograd holds, parameters aside."""
    solver = make_solver(name)

    def held(steps, backpropagation):
        alive = {}

        class Held:
            def __init__(self, tensor):
                self.tensor = tensor.detach()
                if not isinstance(tensor, torch.nn.Parameter):
                    alive[id(self)] = tensor.shape

            def __del__(self):
                alive.pop(id(self), None)

        with torch.autograd.graph.saved_tensors_hooks(Held, lambda box: box.tensor):
            options = {"differentiable": True, "backpropagation": backpropagation}
            state = minimise(learned_cost, solver, batch, steps, **options)
        assert state.x.requires_grad  # and so the graph is there
        return len(alive)

    after = minimise(learned_cost, solver, batch, 1)
    kept = 1 + len(tensors(after.memory))
    assert held(5, "checkpointed") - held(4, "checkpointed") == kept
    assert held(5, "full") - held(4, "full") > 5 * kept


@pytest.mark.parametrize("name", SOLVERS)
def test_truncated_gradients_are_those_of_the_last_steps(learned_cost, batch, name):
    solver = make_solver(name)
    first = minimise(learned_cost, solver, batch, steps=3)
    _, expected = gradients_of(learned_cost, solver, batch, steps=2, start=first)
    state, found = gradients_of(learned_cost, solver, batch, steps=5, backpropagation=2)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert state.step == 5
    _, whole = gradients_of(learned_cost, solver, batch, steps=5)
    _, more = gradients_of(learned_cost, solver, batch, steps=5, backpropagation=9)
    torch.testing.assert_close(more, whole, rtol=0, atol=0)
    assert any(not torch.allclose(found[n], whole[n]) for n in found)
