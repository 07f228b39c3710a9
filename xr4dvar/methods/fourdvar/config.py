"""4DVar with dynamics, as a method: weak or strong constraint, over whole windows of time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xr4dvar.arguments import as_numbers, check_count, check_flag, shown
from xr4dvar.contract.engine import Engine
from xr4dvar.contract.method import FitOptions, Parameters, Window
from xr4dvar.contract.observing import check_method_operator
from xr4dvar.contract.states import check_chain, components, spacing_of
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.dynamics.learned import learns
from xr4dvar.dynamics.model import Dynamics, is_dynamics
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.operators.mask import Mask
from xr4dvar.operators.operator import Operator, is_mask
from xr4dvar.registry import register
from xr4dvar.renaming import renamed
from xr4dvar.types import Role, Variances

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvar.engine import FourDVarEngine

__all__ = ["FourDVar"]

#: Numbers of a state whose covariances at all times of a window are some gigabytes.
MOST_COMPONENTS = 1000


@register
@renamed(estimate="estimate_variances")
@dataclass(frozen=True)
class FourDVar:
    r"""4DVar: the states that are closest to observations, model and climate at once.

    .. math:: U(x) = \tfrac12\sum_{t\,\text{observed}} |y_t - x_t|^2_R
              + \tfrac12\sum_t |x_{t+1} - M(x_t)|^2_Q + \tfrac12 |x_0 - b|^2_B

    With a variance Q of the model's error all states of a window are looked for (weak
    constraint); without, the model is exact and its first state is all there is to find (strong
    constraint). Both by Gauss-Newton with the damping of Levenberg and Marquardt and exact
    linear algebra along time, from several first guesses, which lead past most local minima: from
    one the model is taken to be loose first, then less and less so, down to Q; from the others
    the window is short first and then longer and longer. They are trajectories of the model's
    climate that fit the observations best. Of the minima that are found, the one with most
    probability about it is kept: least ``U`` plus half the log determinant of its curvature.

    A state is all that the data hold at one time: variables, y and x, a thousand numbers at most.
    Time is one window; further dimensions, such as ``window``, are windows each by itself. For
    larger states, and to choose the solver, see `Variational`.

    Parameters
    ----------
    dynamics : Dynamics
        The model M, such as `Lorenz63`, `ODE` or `DiscreteModel`. What it has to learn
        (`QuadraticODE`, `Corrected`, ``Lorenz63(learned=True)``) `fit` finds: with a target, so
        that the model's trajectories are those of the target; without, by assimilation and
        identification in turn.
    error_variance : float, sequence of float or matrix
        R: variance of the observation errors, for all components or each, in the data's units
        squared; a matrix where they are correlated.
    model_error_variance : float, sequence of float or matrix, optional
        Q: variance of what the model gets wrong from one time of the data to the next. Not given:
        the model is exact.
    starts : int
        First guesses for each window.
    steps : int
        Most steps of each descent.
    spin_up : int, optional
        Times by which the model runs before each window: b and B are what is known then, so that
        the window itself begins with a state that the model leads to (on its attractor). Default:
        0 where b is given, which holds at the first time of a window then, else 20.
    climate : int
        States of the free run that the climate is taken from; with `fit` and a target they are
        those of the target, and where b and B are given, and no target, they are drawn from these.
    estimate_variances : bool
        Whether `fit` finds the factors of R and, where it is given, of Q that make the
        observations likeliest, with expectation and maximisation in turn; the given ones are the
        first guesses. ``model.history`` has them by iteration.
    background_state : sequence of float, optional
        b: what is known of a state before any observation, a number for each component. Default:
        the mean of the climate.
    background_error_variance : float, sequence of float or matrix, optional
        B: variance of the errors of b, given with it. Default: the covariance of the climate.
    operator : Operator
        H of the observations (`xr4dvar.operators`), of the state of each time by itself; it need
        not be linear. Default: the state itself.

    Notes
    -----
    All is float64, in the data's own units, which are the model's. A cost of states that are k
    times as large as their anomalies is known to about 1e-15 k of itself, and its minimum to the
    root of that, in units of the anomalies: 3e-5 for k of a million.

    References
    ----------
    Le Dimet and Talagrand 1986, https://doi.org/10.3402/tellusa.v38i2.11706;
    Tremolet 2006, https://doi.org/10.1256/qj.05.224;
    Ye et al. 2015, https://doi.org/10.5194/npg-22-205-2015;
    Tandeo et al. 2020, https://doi.org/10.1175/MWR-D-19-0240.1 (estimation of R and Q)

    Examples
    --------
    >>> ds = xv.datasets.lorenz63(windows=2, observed=("x", "y", "z"))
    >>> method = xv.FourDVar(xv.Lorenz63(dt=0.01), error_variance=2.0, climate=500)
    >>> maps = ds.obs.fourdvar.reconstruct(method)
    >>> bool(((maps - ds.truth) ** 2).mean() < 1)
    True
    """

    dynamics: Dynamics
    error_variance: Variances
    model_error_variance: Variances | None = None
    starts: int = 5
    steps: int = 100
    spin_up: int | None = None
    climate: int = 2000
    estimate_variances: bool = False
    background_state: Sequence[float] | None = None
    background_error_variance: Variances | None = None
    operator: Operator = field(default_factory=Mask)

    background: ClassVar[None] = None
    knows_states: ClassVar[bool] = True

    @property
    def takes_error_variance(self) -> bool:
        """Whether observations may have variances of their own: not where R is a matrix."""
        return np.ndim(self.error_variance) < 2

    @property
    def spin_up_times(self) -> int:
        """Times before a window, with their default."""
        usual = 20 if self.background_state is None else 0
        return usual if self.spin_up is None else self.spin_up

    def check(self, grid: Grid, names: Sequence[str]) -> None:
        """Raise one `InputError` if model, variances or time axis cannot be used."""
        from xr4dvar.covariance.matrix import CovarianceMatrix

        problems = Problems()
        for name in ("starts", "steps", "climate"):
            check_count(name, getattr(self, name), problems)
        if self.spin_up is not None:
            check_count("spin_up", self.spin_up, problems, least=0)
        check_flag("estimate_variances", self.estimate_variances, problems)
        if not is_dynamics(self.dynamics):
            fix = "give a model, such as xr4dvar.Lorenz63() or xr4dvar.ODE(f, dt)"
            problems.add(f"dynamics is {shown(self.dynamics)}", fix)
            problems.raise_if_any()
        if check_chain(self.dynamics, grid, names, problems):
            size = components(grid, names)
            if size > MOST_COMPONENTS:
                what = f"a state has {size:,} numbers, and FourDVar solves with its full matrices"
                fix = f"use at most {MOST_COMPONENTS:,}, or xr4dvar.Variational(model, R, Q)"
                problems.add(what, fix)
                problems.raise_if_any()
            for name in ("error_variance", "model_error_variance", "background_error_variance"):
                value = getattr(self, name)
                if value is not None or name == "error_variance":
                    with problems.collect():
                        CovarianceMatrix(value, size, name)
            self._check_background(size, problems)
            self._check_operator(grid, names, problems)
        problems.raise_if_any()

    def _check_operator(self, grid: Grid, names: Sequence[str], problems: Problems) -> None:
        usable = check_method_operator(self, grid, names, problems)
        if not usable or is_mask(self.operator):
            return
        kind = type(self.operator).__name__
        if "time" in self.operator.roles(grid):
            what = f"{kind} joins times, and FourDVar observes the state of each time by itself"
            problems.add(what, "leave time out of it, or use Variational(model, R, Q)")
        for found, name in (
            (learns(self.dynamics), "dynamics that are learned"),
            (self.estimate_variances, "estimate_variances"),
        ):
            if found:
                what = f"FourDVar does not take {name} together with an operator ({kind})"
                problems.add(what, "leave one of the two out")

    def _check_background(self, size: int, problems: Problems) -> None:
        state, variance = self.background_state, self.background_error_variance
        if (state is None) != (variance is None):
            given, missing = "background_state", "background_error_variance"
            if state is None:
                given, missing = missing, given
            problems.add(f"{given} is given without {missing}", "give both, or neither")
        if state is None:
            return
        numbers = as_numbers(state)
        if numbers is None or numbers.shape != (size,) or not np.isfinite(numbers).all():
            what = f"background_state is {shown(state)}"
            problems.add(what, f"give a finite number for each of the {size} components")

    def known(self, grid: Grid, names: Sequence[str]) -> Parameters | None:
        """Give the climate of a free run, unless the model, R or Q are to be found."""
        if learns(self.dynamics) or self.estimate_variances:
            return None
        from xr4dvar.methods.fourdvar.engine import states_beforehand

        spacing = spacing_of(grid, self.dynamics)
        return states_beforehand(self, spacing, components(grid, names), seed=0)

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        """Give the whole of time and of the state."""
        return {role: Window(grid[role].size, grid[role].size) for role in grid.roles}

    def closed_axes(self, grid: Grid, parameters: Parameters | None) -> Collection[Role]:
        """Those of the state, whose neighbours are the model's to tell; a window has two ends."""
        return ("y", "x")

    def fit(
        self, data: TrainingData, options: FitOptions, background: Engine | None = None
    ) -> Parameters:
        """Find what the dynamics learn, their climate and, if asked to, R and Q.

        The climate is that of the target, or of a free run where there is none.
        """
        parameters = self._fit_model(data, options)
        if not self.estimate_variances:
            return parameters
        from xr4dvar.methods.fourdvar.variances import estimate_variances

        return estimate_variances(self, parameters, data, options)

    def _fit_model(self, data: TrainingData, options: FitOptions) -> Parameters:
        """Find what the dynamics learn, and their climate."""
        from xr4dvar.methods.fourdvar.engine import states_beforehand, states_of

        if learns(self.dynamics):
            from xr4dvar.methods.fourdvar.identify import identify_dynamics

            return identify_dynamics(self, data, options)
        if data.supervised:
            return states_of(self, data, options.seed)
        spacing, size = spacing_of(data.grid, self.dynamics), components(data.grid, data.names)
        return states_beforehand(self, spacing, size, options.seed)

    @property
    def engine_type(self) -> type[FourDVarEngine]:
        """What solves with the fitted method."""
        from xr4dvar.methods.fourdvar.engine import FourDVarEngine

        return FourDVarEngine
