"""Variational reconstruction with any prior of whole windows, known or learned beforehand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

from xr4dvar.arguments import (
    as_tuple,
    check_choice,
    check_count,
    is_count,
    is_word,
)
from xr4dvar.contract.engine import Engine
from xr4dvar.contract.layouts import check_circle, default_patch, layout_grid
from xr4dvar.contract.method import FitOptions, Method, Parameters, Window, check_method
from xr4dvar.contract.observing import check_method_operator, operator_of, with_operator
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.dynamics.model import Dynamics, is_dynamics
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.labels.roles import by_role
from xr4dvar.methods.linear_interpolation import LinearInterpolation
from xr4dvar.methods.variational.checks import (
    check_both_variances,
    check_pairs,
    check_patch,
    check_places,
    check_prior,
    check_solver,
    needs_denoiser,
)
from xr4dvar.operators.mask import Mask
from xr4dvar.operators.operator import Operator, other_fields
from xr4dvar.priors.denoiser import Denoiser
from xr4dvar.priors.eof import EOFs
from xr4dvar.priors.static import ModulePrior, StaticPrior
from xr4dvar.registry import register
from xr4dvar.renaming import renamed, warn_renamed
from xr4dvar.training_options import Training
from xr4dvar.types import Role

if TYPE_CHECKING:
    from xr4dvar.methods.variational.engine import StateEngine

__all__ = ["Variational"]

Control: TypeAlias = Literal["state", "latent"]


@register
@renamed(prior_error_variance="model_error_variance")
@dataclass(frozen=True)
class Variational:
    r"""Minimise a variational cost whose prior is known, or was learned before from a target.

    .. math:: U(x) = \tfrac12\sum_{\text{observed}} \frac{(y - H(x))^2}{R}
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
    prior : EOFs, AutoEncoder, GibbsField, Denoiser, Dynamics or ModulePrior
        Phi. Of a known model such as `Lorenz63`, ``Phi(x)_{t+1} = M(x_t)``. A `Denoiser` gives no
        Phi: it is the prior of the solver ``"plug_and_play"``.
    error_variance : float, sequence of float or mapping of str to float
        R: variance of the observation errors, of all variables or each (of series: of each
        component), in the data's units squared; of the fields of an operator that observes others
        (`operators.Geostrophic`) by their names.
    model_error_variance : float or sequence of float, optional
        Q: variance of ``x - Phi(x)``. Default: that of the target's windows of validation. With
        a model and its Q there is nothing to learn, and `fit` is not needed.
    control : {"state", "latent"}
        What is looked for: the state, or the code of `EOFs` or an `AutoEncoder`.
    solver : str or solver, optional
        A solver, such as ``xr4dvar.solvers.LBFGS(history=20)`` or one of your own, or a word:
        ``"lbfgs"``; ``"gauss_newton"``, without a matrix; ``"gradient"``, of a fixed step,
        ``"momentum"`` and ``"adam"``, which take thousands of steps; ``"fixed_point"`` of
        ``x <- Phi(x)`` with the observations put in, the minimum only for `EOFs`; or
        ``"plug_and_play"``. Default: that for a `Denoiser`, else ``"lbfgs"``.
    steps : int, optional
        Most steps of the solver. Default: 20 of ``"plug_and_play"``, whose noise levels fall from
        the spread of the data to the error of the observations meanwhile, else 200.
    patch : mapping, optional
        Cells of a window along time, ``{"time": 15}``; y and x are whole. Default: 15 times of
        maps, 256 of series, at most all.
    operator : Operator
        H of the observations (`xr4dvar.operators`); with ``control="state"`` alone. Default: the
        field itself.
    background : Method or None
        Gives the first guess that the solver starts from, which decides to which minimum it goes
        where the prior is not linear. None: start from the mean, as is done where the operator
        observes other fields than those of the state.

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

    prior: StaticPrior | Dynamics | ModulePrior
    error_variance: float | Sequence[float] | Mapping[str, float]
    model_error_variance: float | Sequence[float] | None = None
    control: Control = "state"
    solver: Any = None
    steps: int | None = None
    patch: Mapping[str, int] | None = None
    background: Method | None = field(default_factory=LinearInterpolation)
    operator: Operator = field(default_factory=Mask)

    takes_error_variance: ClassVar[bool] = True
    takes_other_fields: ClassVar[bool] = True
    knows_states: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("error_variance", "model_error_variance"):
            object.__setattr__(self, name, as_tuple(getattr(self, name)))
        object.__setattr__(self, "background", with_operator(self.background, self.operator))
        # what is observed is no state, and linear interpolation of it gives no first guess
        others = other_fields(operator_of(self))
        if others and isinstance(self.background, LinearInterpolation):
            object.__setattr__(self, "background", None)
        patch: object = self.patch
        if is_count(patch):
            warn_renamed("Variational", f"patch={patch}", f"patch={{'time': {patch}}}")
            object.__setattr__(self, "patch", {"time": int(patch)})  # type: ignore[call-overload]

    @classmethod
    def __former_values__(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings of files of earlier versions, in which a patch was a number of times."""
        patch = settings.get("patch")
        return settings | {"patch": {"time": patch}} if is_count(patch) else settings

    @property
    def training(self) -> Training | None:
        """How long and how fast the prior learns, if by steps."""
        return getattr(self.prior, "training", None)

    @property
    def solver_or_word(self) -> Any:
        """The solver, or a word for it, with its default."""
        usual = "plug_and_play" if isinstance(self.prior, Denoiser) else "lbfgs"
        return usual if self.solver is None else self.solver

    @property
    def solver_name(self) -> str:
        """What the solver is called."""
        solver = self.solver_or_word
        return solver if isinstance(solver, str) else type(solver).__name__

    @property
    def solver_part(self) -> Any:
        """The solver that a word stands for, or the one that is given."""
        from xr4dvar.solvers import find_solver

        return find_solver(self.solver_or_word)

    @property
    def engine_type(self) -> type[StateEngine]:
        """What solves with the fitted prior.

        A state has no error of its own: the cost alone may leave any. Plug and play has no cost.
        """
        from xr4dvar.methods.variational.engine import CodeEngine, CostEngine, StateEngine

        if isinstance(self.prior, Denoiser):
            return StateEngine
        return CodeEngine if is_word(self.control, "latent") else CostEngine

    @property
    def step_count(self) -> int:
        """Most steps of the solver, with their default."""
        return self.steps or (20 if needs_denoiser(self.solver_part) else 200)

    def check(self, grid: Grid, names: Sequence[str]) -> None:
        """Raise one `InputError` if the configuration cannot be used on the grid."""
        problems = Problems()
        states = operator_of(self).states(names)
        check_prior(self, grid, states, problems)
        check_both_variances(self, grid, names, problems)
        check_choice("control", self.control, get_args(Control), problems)
        if check_solver(self.solver, problems) and is_word(self.control, *get_args(Control)):
            check_pairs(self, problems)
        if self.steps is not None:
            check_count("steps", self.steps, problems)
        check_method_operator(self, grid, names, problems)
        if self.patch is not None:
            check_patch(self.patch, grid, problems)
        if self.background is not None and check_method("background", self.background, problems):
            with problems.collect():
                self.background.check(grid, names)
        problems.raise_if_any()

    def known(self, grid: Grid, names: Sequence[str]) -> Parameters | None:
        """Give the climate of a free run, if the prior is a model and Q is given."""
        if not is_dynamics(self.prior) or self.model_error_variance is None:
            return None
        from xr4dvar.methods.variational.fit import known_model

        return known_model(self, self.prior, grid, self.operator.states(names))

    def patch_sizes(self, grid: Grid) -> dict[Role, int]:
        """Cells of a window along each axis of the grid."""
        sizes: dict[Role, int] = {role: grid[role].size for role in grid.roles}
        if "time" in sizes:
            given = by_role(self.patch or {}, grid.axes, "patch")
            sizes["time"] = given.get("time", default_patch(grid)["time"])
        return sizes

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        """Give windows that overlap by half in time; y and x are one, where they were in `fit`."""
        check_places(parameters.settings.get("places", {}), grid)
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
        self, data: TrainingData, options: FitOptions, background: Engine | None = None
    ) -> Parameters:
        """Learn the prior, and how wrong it is, from the target."""
        from xr4dvar.methods.variational.fit import fit_variational

        if not data.supervised and (known := self.known(data.grid, data.names)) is not None:
            return known
        return fit_variational(self, data, options)
