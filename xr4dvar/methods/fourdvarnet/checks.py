"""Whether a configuration of 4DVarNet can be used: every problem at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from xr4dvar.arguments import (
    check_choice,
    check_count,
    check_flag,
    check_mapping,
    check_number,
    check_variances,
    is_count,
    is_word,
    shown,
)
from xr4dvar.contract.layouts import default_patch, goes_round, layout_grid
from xr4dvar.contract.method import check_method
from xr4dvar.contract.observing import check_method_operator, operator_of
from xr4dvar.contract.states import check_chain, components
from xr4dvar.dynamics.model import is_dynamics
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid, by_role
from xr4dvar.operators.operator import is_mask, other_fields
from xr4dvar.priors.static import is_module_prior
from xr4dvar.registry import find_part
from xr4dvar.solvers.words import is_solver
from xr4dvar.training.losses import is_loss, loss_name, needs_prior
from xr4dvar.training_options import Training
from xr4dvar.types import Role

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvarnet.config import FourDVarNet

__all__ = [
    "LOSSES",
    "PriorName",
    "SolverName",
    "check_fourdvarnet",
]

PriorName: TypeAlias = Literal["bilinear", "two_scale", "unet"]
SolverName: TypeAlias = Literal[
    "unet", "lstm", "lstm_gradient", "recurrent", "gradient", "fixed_point"
]

#: Solvers that are networks, which can do without a prior.
NETWORKS = ("unet", "lstm", "recurrent")
#: Weights of the training losses where the user does not say otherwise.
LOSSES = {"supervised": 1.0, "gradient": 0.0, "regularisation": 0.1, "variational": 0.0}


def check_fourdvarnet(method: FourDVarNet, grid: Grid, names: Sequence[str]) -> None:
    """Raise one `InputError` with every setting of `method` that cannot be used on the grid."""
    problems = Problems()
    _check_network(method, problems)
    if is_word(method.solver, "recurrent") and layout_grid(grid) != "time":
        problems.add("solver is 'recurrent', which is one of series", "use 'unet'")
    states = operator_of(method).states(names)
    _check_prior(method, grid, states, problems)
    _check_losses(method, problems)
    for name in ("error_variance", "model_error_variance"):
        if (value := getattr(method, name)) is not None:
            own = names if name == "error_variance" else states
            size = components(grid, own) if layout_grid(grid) == "time" else len(own)
            check_variances(name, value, (size,), problems)
    _check_windows(method, grid, problems)
    training: object = method.training
    if isinstance(training, Training):
        training.check(problems)
    else:
        problems.add(f"training is {shown(training)}", "give xr4dvar.Training(...)")
    _check_background(method, grid, names, problems)
    _check_operator(method, grid, names, problems)
    problems.raise_if_any()


def _check_operator(
    method: FourDVarNet, grid: Grid, names: Sequence[str], problems: Problems
) -> None:
    usable = check_method_operator(method, grid, names, problems)
    if not usable or is_mask(method.operator):
        return
    kind = type(method.operator).__name__
    if other_fields(method.operator) and layout_grid(grid) != "y-x":
        what = f"{kind} observes other fields than those of the state, and the data are no maps"
        problems.add(what, "use Variational, or give maps of y and x")
    solver = method.solver_part
    if is_word(method.solver, "fixed_point") or not getattr(solver, "takes_operators", True):
        what = f"a fixed point puts observations into the state, and takes no operator ({kind})"
        problems.add(what, "use another solver, such as 'unet'")
    if method.mirror is True and not method.operator.linear:
        what = f"mirror=True changes the sign of fields, and {kind} is not known to be linear"
        problems.add(what, "leave mirror out, or use operators.Linear")


def _check_background(
    method: FourDVarNet, grid: Grid, names: Sequence[str], problems: Problems
) -> None:
    background = method.background
    if background is None or not check_method("background", background, problems):
        return
    if isinstance(background, type(method)):  # it would have to map blocks of any size
        problems.add(
            f"background is a {type(method).__name__}, which maps patches of one size only",
            "use OptimalInterpolation(), LinearInterpolation() or None",
        )
    with problems.collect():
        background.check(grid, names)


def _check_network(method: FourDVarNet, problems: Problems) -> None:
    _check_solver(method.solver, problems)
    check_count("steps", method.steps, problems)
    backpropagation: object = method.backpropagation
    if not is_word(backpropagation, "full", "checkpointed") and not is_count(backpropagation):
        what = f"backpropagation is {shown(backpropagation)}"
        problems.add(what, "use 'full', 'checkpointed' or a whole number of steps, at least 1")
    own = method.solver_part is not None
    if (own or is_word(method.solver, "fixed_point")) and method.shared is False:
        who = type(method.solver).__name__ if own else "a fixed point"
        problems.add(f"shared is False, and {who} is one for all steps", "leave shared out")
    check_count("prior_width", method.prior_width, problems)
    if method.depth is not None:
        check_count("depth", method.depth, problems)
    widths: object = method.widths
    good = isinstance(widths, tuple) and widths and all(map(is_count, widths))
    if widths is not None and not good:
        fix = "use whole numbers, at least 1, such as (48, 64)"
        problems.add(f"widths is {shown(widths)}", fix)
    coarsen: object = method.coarsen
    if not is_word(coarsen, "auto") and not is_count(coarsen):
        problems.add(f"coarsen is {shown(coarsen)}", "use 'auto' or a whole number, at least 1")
    for name in ("shared", "redraw", "mirror"):
        check_flag(name, getattr(method, name), problems)


def _check_solver(solver: object, problems: Problems) -> None:
    """Note what is neither a word nor a solver that training can differentiate through."""
    if not is_solver(solver):
        check_choice("solver", solver, get_args(SolverName), problems)
    elif not getattr(solver, "differentiable", True):
        what = f"{type(solver).__name__} cannot be differentiated through"
        problems.add(what, "use a gradient solver, or one of 'unet', 'lstm'")
    elif getattr(solver, "needs_denoiser", False):
        what = f"solver {type(solver).__name__} needs a Denoiser as the prior"
        problems.add(what, "use it with Variational")


def _check_prior(method: FourDVarNet, grid: Grid, names: Sequence[str], problems: Problems) -> None:
    prior: object = method.prior
    if prior is None:
        _check_direct(method, problems)
        return
    if is_module_prior(prior):
        if hasattr(prior, "check"):
            prior.check(problems)
        return
    if not is_dynamics(prior):
        check_choice("prior", prior, get_args(PriorName), problems)
        return
    check_chain(prior, grid, names, problems)
    if method.background is not None:
        what = "a model as prior is one of whole states, not of increments to a background"
        problems.add(what, "give background=None")
    if layout_grid(grid) == "y-x" and method.coarsen != 1:
        what = f"coarsen is {method.coarsen!r}, and a model as prior has a grid of its own"
        problems.add(what, "give coarsen=1")


def _check_direct(method: FourDVarNet, problems: Problems) -> None:
    """Note what needs a prior where there is none."""
    if method.solver not in NETWORKS:
        what = f"prior is None, and solver {method.solver!r} has the cost alone to go by"
        problems.add(what, f"use one of {', '.join(map(repr, NETWORKS))}, or give a prior")
    if method.model_error_variance is not None:
        problems.add("model_error_variance is given without a prior", "leave it out")
    words: Any = {} if method.loss is None else method.loss
    given = words
    if not isinstance(words, tuple):
        used = (word for word, weight in words.items() if weight and word in LOSSES)
        given = [find_part("loss", word) for word in used]
    for loss in given:
        if needs_prior(loss):
            name = loss_name(loss)
            problems.add(f"the loss {name!r} is one of the prior", "leave it out, or give a prior")


def _check_losses(method: FourDVarNet, problems: Problems) -> None:
    before = len(problems.found)
    given: Any = {} if method.loss is None else method.loss
    if isinstance(given, tuple):
        _check_parts(given, problems)
    elif check_mapping("loss", given, "{'gradient': 0.5}", problems):
        if unknown := set(given) - set(LOSSES):
            fix = f"use {', '.join(LOSSES)}, or give losses, [xr4dvar.losses.Supervised(), ...]"
            problems.add(f"unknown losses {sorted(unknown, key=str)}", fix)
        for name, weight in {**LOSSES, **given}.items():
            check_number(f"the weight of the loss {name!r}", weight, problems, zero=True)
    if len(problems.found) == before and not any(loss.weight for loss in method.losses):
        problems.add("the weights of all losses are 0", "give at least one a positive weight")


def _check_parts(losses: tuple[Any, ...], problems: Problems) -> None:
    """Note what is no loss, and two of one name."""
    for loss in losses:
        if is_loss(loss):
            check_number(f"the weight of {loss!r}", loss.weight, problems, zero=True)
        else:
            fix = "give losses, such as [xr4dvar.losses.Supervised()]"
            problems.add(f"loss holds {shown(loss)}, no training loss", fix)
    names = [loss_name(loss) for loss in losses]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(f"loss holds {name!r} more than once", "give one, with the sum of the weights")


def _check_coarsening(
    method: FourDVarNet, grid: Grid, patch: Mapping[Role, int], problems: Problems
) -> None:
    """Note blocks of cells that do not go round a circle evenly."""
    factor = method.coarsen
    if layout_grid(grid) != "y-x" or not is_count(factor) or not goes_round(grid, patch):
        return
    axis = grid["x"]
    if axis.size % int(factor):
        what = f"coarsen is {factor}, and {axis.name!r} closes after {axis.size} cells"
        problems.add(what, f"use 1 or a divisor of {axis.size}")


def _check_windows(method: FourDVarNet, grid: Grid, problems: Problems) -> None:
    patch = default_patch(grid)
    given: Any = {} if method.patch is None else method.patch
    if check_mapping("patch", given, "{'time': 15}", problems):
        with problems.collect():
            patch |= by_role(given, grid.axes, "patch")
    for role, size in patch.items():
        name, most = grid[role].name, grid[role].size
        if not is_count(size) or size > most:
            problems.add(
                f"patch is {shown(size)} along {name!r}, the data have {most}",
                f"use a whole number from 1 to {most}, or leave {name!r} out",
            )
    _check_coarsening(method, grid, patch, problems)
    overlap: Any = {} if method.overlap is None else method.overlap
    if not check_mapping("overlap", overlap, "{'time': 10}", problems):
        return
    with problems.collect():
        for role, cells in by_role(overlap, grid.axes, "overlap").items():
            size = patch[role]
            if not is_count(cells, 0) or (is_count(size) and cells >= size):
                problems.add(
                    f"overlap is {shown(cells)} along {grid[role].name!r}, the patch is "
                    f"{shown(size)}",
                    "use a whole number of cells, at least 0 and less than the patch",
                )
