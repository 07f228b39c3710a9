"""Variational reconstruction with any prior of whole windows, known or learned beforehand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias, get_args

from xr4dvar.arguments import as_tuple, check_choice, check_count, is_count, is_word, shown
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid
from xr4dvar.methods.base import (
    CurveSolver,
    EnsembleSolver,
    ErrorSolver,
    FitOptions,
    Method,
    Parameters,
    Solver,
    Window,
    check_method,
)
from xr4dvar.methods.dynamics import Dynamics, is_dynamics
from xr4dvar.methods.fourdvarnet_checks import (
    check_circle,
    check_variances,
    default_patch,
    layout_grid,
)
from xr4dvar.methods.learned_dynamics import learns
from xr4dvar.methods.linear_interpolation import LinearInterpolation
from xr4dvar.methods.states import check_chain, components
from xr4dvar.methods.static_priors import AutoEncoder, Denoiser, EOFs, StaticPrior
from xr4dvar.methods.training_data import TrainingData
from xr4dvar.methods.training_options import Training
from xr4dvar.types import Role

__all__ = ["Variational"]

Control: TypeAlias = Literal["state", "latent"]
SolverName: TypeAlias = Literal[
    "lbfgs", "gauss_newton", "gradient", "momentum", "adam", "fixed_point", "plug_and_play"
]


@dataclass(frozen=True)
class Variational:
    r"""Minimise a variational cost whose prior is known, or was learned before from a target.

    .. math:: U(x) = \tfrac12\sum_{\text{observed}} \frac{(y - x)^2}{R}
                   + \tfrac12\sum_{\text{cells}} \frac{(x - \Phi(x))^2}{Q}

    or, with ``control="latent"``, of a code z whose mean and covariance are those of the target's
    windows (then Q is what a decoded state D(z) lacks, and adds to the error of the observations):

    .. math:: U(z) = \tfrac12\sum_{\text{observed}} \frac{(y - D(z))^2}{R + Q}
                   + \tfrac12 |z - m|^2_C

    Prior and solver are apart, unlike in `FourDVarNet`: any prior, any solver, and what is
    learned knows nothing of the observations. A state is a window: some times in a row, the whole
    of y and x.

    Parameters
    ----------
    prior : EOFs, AutoEncoder, TwoScale, Denoiser or Dynamics
        Phi. Of a known model such as `Lorenz63`, ``Phi(x)_{t+1} = M(x_t)``. A `Denoiser` gives no
        Phi: it is the prior of the solver ``"plug_and_play"``.
    error_variance : float or sequence of float
        R: variance of the observation errors, of all variables or each (of series: of each
        component), in the data's units squared.
    prior_error_variance : float or sequence of float, optional
        Q: variance of ``x - Phi(x)``. Default: that of the target's windows of validation. With
        a model and its Q there is nothing to learn, and `fit` is not needed.
    control : {"state", "latent"}
        What is looked for: the state, or the code of `EOFs` or an `AutoEncoder`.
    solver : str, optional
        ``"lbfgs"``; ``"gauss_newton"``, without a matrix; ``"gradient"``, of a fixed step,
        ``"momentum"`` and ``"adam"``, which take thousands of steps; ``"fixed_point"`` of
        ``x <- Phi(x)`` with the observations put in, the minimum only for `EOFs`; or
        ``"plug_and_play"``. Default: that for a `Denoiser`, else ``"lbfgs"``.
    steps : int, optional
        Most steps of the solver. Default: 20 of ``"plug_and_play"``, whose noise levels fall from
        the spread of the data to the error of the observations meanwhile, else 200.
    patch : int, optional
        Times of a window. Default: 15 of maps, 256 of series, at most all.
    background : Method or None
        Gives the first guess that the solver starts from, which decides to which minimum it goes
        where the prior is not linear. None: start from the mean.

    References
    ----------
    Courtier et al. 1994, https://doi.org/10.1002/qj.49712051912;
    Mack et al. 2020, https://doi.org/10.1016/j.cma.2020.113291 (latent control)

    Examples
    --------
    >>> ds = xv.datasets.lorenz63(windows=60, steps=40, observed=("x", "z"), first=4, last=36)
    >>> method = xv.Variational(xv.EOFs(modes=8), error_variance=2.0, control="latent")
    >>> model = ds.obs.fourdvar.fit(method, target=ds.truth)
    >>> maps = ds.obs.fourdvar.reconstruct(model)
    >>> bool(((maps - ds.truth) ** 2).mean() < 0.2 * ds.truth.var())
    True
    """

    prior: StaticPrior | Dynamics
    error_variance: float | Sequence[float]
    prior_error_variance: float | Sequence[float] | None = None
    control: Control = "state"
    solver: SolverName | None = None
    steps: int | None = None
    patch: int | None = None
    background: Method | None = field(default_factory=LinearInterpolation)

    takes_error_variance: ClassVar[bool] = True
    knows_states: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("error_variance", "prior_error_variance"):
            object.__setattr__(self, name, as_tuple(getattr(self, name)))

    @property
    def training(self) -> Training | None:
        """How long and how fast the prior learns, if by steps."""
        return getattr(self.prior, "training", None)

    @property
    def solver_name(self) -> SolverName:
        """The solver, with its default."""
        usual: SolverName = "plug_and_play" if isinstance(self.prior, Denoiser) else "lbfgs"
        return self.solver or usual

    @property
    def knows_error(self) -> bool:
        """Whether ``error=True`` can be asked for: of a state the cost alone may leave any."""
        return self.control == "latent"

    @property
    def step_count(self) -> int:
        """Most steps of the solver, with their default."""
        return self.steps or (20 if self.solver_name == "plug_and_play" else 200)

    def check(self, grid: Grid, names: Sequence[str]) -> None:
        """Raise one `InputError` if the configuration cannot be used on the grid."""
        problems = Problems()
        _check_prior(self, grid, names, problems)
        _check_variances(self, grid, names, problems)
        check_choice("control", self.control, get_args(Control), problems)
        if self.solver is not None:
            check_choice("solver", self.solver, get_args(SolverName), problems)
        named = self.solver is None or is_word(self.solver, *get_args(SolverName))
        if named and is_word(self.control, *get_args(Control)):
            _check_pairs(self, problems)
        if self.steps is not None:
            check_count("steps", self.steps, problems)
        if self.patch is not None:
            _check_patch(self.patch, grid, problems)
        if self.background is not None and check_method("background", self.background, problems):
            with problems.collect():
                self.background.check(grid, names)
        problems.raise_if_any()

    def known(self, grid: Grid, names: Sequence[str]) -> Parameters | None:
        """Give the climate of a free run, if the prior is a model and Q is given."""
        if not is_dynamics(self.prior) or self.prior_error_variance is None:
            return None
        from xr4dvar.methods.variational_fit import known_model

        return known_model(self, self.prior, grid, names)

    def patch_sizes(self, grid: Grid) -> dict[Role, int]:
        """Cells of a window along each axis of the grid."""
        sizes: dict[Role, int] = {role: grid[role].size for role in grid.roles}
        if "time" in sizes:
            sizes["time"] = self.patch or default_patch(grid)["time"]
        return sizes

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        """Give windows that overlap by half in time; y and x are one, where they were in `fit`."""
        _check_places(parameters.settings.get("places", {}), grid)
        if parameters.settings.get("wraps"):
            check_circle(grid)
        patch = parameters.settings.get("patch") or self.patch_sizes(grid)
        return {
            role: Window(size, max(1, size // 2) if role == "time" else size)
            for role, size in patch.items()
        }

    def closed_axes(self, grid: Grid, parameters: Parameters | None) -> Collection[Role]:
        """Time where windows go round it; of maps, x where convolutions do.

        All of y and x where the prior is EOFs or a model, to which cells are no neighbours.
        """
        windows = self.windows(grid, parameters or Parameters())
        closed = {role for role, window in windows.items() if window.patch < grid[role].size}
        if isinstance(self.prior, EOFs) or is_dynamics(self.prior):
            return closed | {"y", "x"}
        wraps = layout_grid(grid) != "time"
        if parameters is not None:
            wraps = parameters.settings["wraps"]
        return closed | {"x"} if wraps else closed

    def fit(
        self, data: TrainingData, options: FitOptions, background: Solver | None = None
    ) -> Parameters:
        """Learn the prior, and how wrong it is, from the target."""
        from xr4dvar.methods.variational_fit import fit_variational

        if not data.supervised and (known := self.known(data.grid, data.names)) is not None:
            return known
        return fit_variational(self, data, options)

    def solver_for(self, parameters: Parameters, device: str) -> Solver:
        """Give the function that completes windows."""
        from xr4dvar.methods.variational_solve import make_solver

        return make_solver(self, parameters, device)

    def error_solver_for(self, parameters: Parameters, device: str) -> ErrorSolver:
        """Give the function from windows to maps and the standard deviations of their errors.

        With ``control="latent"``; exact where decoding is linear, as of `EOFs`.
        """
        from xr4dvar.methods.variational_error import make_error_solver

        return make_error_solver(self, parameters, device)

    def ensemble_solver_for(self, parameters: Parameters, device: str) -> EnsembleSolver:
        """Give the function from windows to members of the posterior."""
        from xr4dvar.methods.variational_ensemble import make_ensemble_solver

        return make_ensemble_solver(self, parameters, device)

    def curve_solver_for(self, parameters: Parameters, device: str) -> CurveSolver:
        """Give the function from windows to the curves of their costs."""
        from xr4dvar.methods.variational_solve import make_curve_solver

        return make_curve_solver(self, parameters, device)


def _check_prior(method: Variational, grid: Grid, names: Sequence[str], problems: Problems) -> None:
    prior: object = method.prior
    if not (isinstance(prior, StaticPrior) or is_dynamics(prior)):
        fix = "give a prior, such as xr4dvar.EOFs(modes=10), xr4dvar.AutoEncoder() or a model"
        problems.add(f"prior is {shown(prior)}", fix)
        return
    if isinstance(prior, StaticPrior):
        prior.check(problems)
        return
    if learns(prior):
        what = f"Variational takes {type(prior).__name__} as it is, and would not learn it"
        problems.add(what, "use FourDVar or FourDVarNet, or a model with known parameters")
    check_chain(prior, grid, names, problems)


def _check_variances(
    method: Variational, grid: Grid, names: Sequence[str], problems: Problems
) -> None:
    sizes = len(names), components(grid, names)
    check_variances("error_variance", method.error_variance, sizes, problems)
    if method.prior_error_variance is not None:
        check_variances("prior_error_variance", method.prior_error_variance, sizes, problems)


def _check_pairs(method: Variational, problems: Problems) -> None:
    """Note what does not go together."""
    prior, solver = method.prior, method.solver_name
    kind = type(prior).__name__
    if isinstance(prior, Denoiser) != (solver == "plug_and_play"):
        what = f"solver {solver!r} and the prior {kind} do not go together"
        problems.add(what, "use solver='plug_and_play' with a Denoiser, and with nothing else")
    if method.control == "latent":
        if not isinstance(prior, EOFs | AutoEncoder):
            problems.add(f"{kind} has no code to control", "use control='state'")
        if solver in ("fixed_point", "gradient", "momentum"):
            what = f"solver {solver!r} is one of states, and a code is looked for"
            problems.add(what, "use solver='lbfgs'")


def _check_patch(patch: object, grid: Grid, problems: Problems) -> None:
    if "time" not in grid.roles:
        problems.add(f"patch is {shown(patch)}, the data have no time axis", "leave patch out")
        return
    name, most = grid["time"].name, grid["time"].size
    if not is_count(patch, 1, most):
        problems.add(
            f"patch is {shown(patch)}, the data have {most} steps of {name!r}",
            f"use a whole number from 1 to {most}, or leave it out",
        )


def _check_places(places: Mapping[Role, Sequence[float]], grid: Grid) -> None:
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
