"""Whether a configuration of `Variational` can be used: every problem at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xr4dvar.arguments import (
    check_choice,
    check_mapping,
    check_names,
    check_variances,
    is_count,
    shown,
)
from xr4dvar.contract.observing import operator_of
from xr4dvar.contract.states import check_chain, components
from xr4dvar.dynamics.learned import learns
from xr4dvar.dynamics.model import is_dynamics
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels.grid import Grid
from xr4dvar.labels.roles import by_role
from xr4dvar.operators.operator import is_mask, other_fields
from xr4dvar.priors.auto_encoder import AutoEncoder
from xr4dvar.priors.denoiser import Denoiser
from xr4dvar.priors.eof import EOFs
from xr4dvar.priors.static import StaticPrior, is_module_prior
from xr4dvar.solvers.words import is_solver, solver_words
from xr4dvar.types import Role

if TYPE_CHECKING:
    from xr4dvar.methods.variational.config import Variational

__all__ = [
    "check_both_variances",
    "check_pairs",
    "check_patch",
    "check_places",
    "check_prior",
    "check_solver",
    "needs_denoiser",
]


def check_prior(method: Variational, grid: Grid, names: Sequence[str], problems: Problems) -> None:
    """Note what is no prior, and settings of one that cannot be used."""
    prior: object = method.prior
    if not (isinstance(prior, StaticPrior) or is_dynamics(prior) or is_module_prior(prior)):
        fix = "give a prior, such as xr4dvar.EOFs(modes=10), xr4dvar.AutoEncoder() or a model"
        problems.add(f"prior is {shown(prior)}", fix)
        return
    if not is_dynamics(prior):
        if hasattr(prior, "check"):
            prior.check(problems)
        return
    if learns(prior):
        what = f"Variational takes {type(prior).__name__} as it is, and would not learn it"
        problems.add(what, "use FourDVar or FourDVarNet, or a model with known parameters")
    check_chain(prior, grid, names, problems)


def check_both_variances(
    method: Variational, grid: Grid, names: Sequence[str], problems: Problems
) -> None:
    """Note variances R and Q that cannot be used."""
    sizes = len(names), components(grid, names)
    error: object = method.error_variance
    fields = other_fields(operator_of(method))
    if fields:
        sizes = len(operator_of(method).states(names)), 1
        if isinstance(error, Mapping):
            check_names("error_variance", error, fields, problems)
            error = tuple(error.values())
    check_variances("error_variance", error, (len(fields),) if fields else sizes, problems)
    if method.model_error_variance is not None:
        check_variances("model_error_variance", method.model_error_variance, sizes, problems)


def check_solver(solver: object, problems: Problems) -> bool:
    """Note what is neither a solver nor a word for one."""
    before = len(problems.found)
    if isinstance(solver, str):
        check_choice("solver", solver, solver_words(), problems)
    elif solver is not None and not is_solver(solver):
        fix = "give a solver, such as xr4dvar.solvers.LBFGS(), or a word for one, 'lbfgs'"
        problems.add(f"solver is {shown(solver)}", fix)
    return len(problems.found) == before


def needs_denoiser(solver: object) -> bool:
    """Whether a solver is one whose prior is a denoiser."""
    return bool(getattr(solver, "needs_denoiser", False))


def check_pairs(method: Variational, problems: Problems) -> None:
    """Note parts that need what the others do not give."""
    prior, solver, name = method.prior, method.solver_part, method.solver_name
    kind = type(prior).__name__
    if isinstance(prior, Denoiser) != needs_denoiser(solver):
        what = f"solver {name!r} and the prior {kind} do not go together"
        problems.add(what, "use solver='plug_and_play' with a Denoiser, and with nothing else")
    if not is_mask(operator_of(method)):
        if method.control == "latent":
            what = "what no code holds adds to the error of observations, of an operator unknown"
            problems.add(what, "use control='state', or leave operator= out")
        if not getattr(solver, "takes_operators", True):
            what = f"solver {name!r} puts observations into the state, and takes no operator"
            problems.add(what, "use solver='lbfgs'")
        if needs_denoiser(solver) and not operator_of(method).linear:
            problems.add(f"solver {name!r} takes linear operators", "use solver='lbfgs'")
    if method.control == "latent":
        if not isinstance(prior, EOFs | AutoEncoder):
            problems.add(f"{kind} has no code to control", "use control='state'")
        if getattr(solver, "of_states", False):
            what = f"solver {name!r} is one of states, and a code is looked for"
            problems.add(what, "use solver='lbfgs'")


def check_patch(patch: Mapping[str, int], grid: Grid, problems: Problems) -> None:
    """Note a patch that the data do not hold."""
    if not check_mapping("patch", patch, "{'time': 15}", problems):
        return
    given: dict[Role, int] = {}
    with problems.collect():
        given = by_role(patch, grid.axes, "patch")
    for role, size in given.items():
        name, most = grid[role].name, grid[role].size
        if role != "time" and size != most:
            what = f"patch is {shown(size)} along {name!r}, whose {most} cells are one window"
            problems.add(what, f"leave {name!r} out of patch=")
        elif not is_count(size, 1, most):
            problems.add(
                f"patch is {shown(size)} along {name!r}, the data have {most}",
                f"use a whole number from 1 to {most}, or leave {name!r} out",
            )


def check_places(places: Mapping[Role, Sequence[float]], grid: Grid) -> None:
    """Raise where the places are not those that a prior of whole maps was learned at."""
    problems = Problems()
    for role, (size, first, last) in places.items():
        axis = grid[role]
        ends = axis.values[0], axis.values[-1]
        near = 0.01 * axis.spacing
        if axis.size != size or abs(ends[0] - first) > near or abs(ends[1] - last) > near:
            problems.add(
                f"{axis.name!r} has {axis.size} points from {ends[0]:g} to {ends[1]:g}, "
                f"the model knows {size} from {first:g} to {last:g}",
                "select these, or fit a model on such data: its prior is one of whole maps",
            )
    if problems.found:
        raise InputError(problems.found)
