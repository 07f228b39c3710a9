"""4DVarNet as a method: a variational cost whose prior and solver are learned together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from xr4dvar.arguments import as_tuple
from xr4dvar.contract.engine import Engine
from xr4dvar.contract.layouts import check_circle, default_patch, layout_grid
from xr4dvar.contract.method import FitOptions, Method, Parameters, Window
from xr4dvar.contract.observing import with_operator
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.dynamics.model import Dynamics
from xr4dvar.labels import Grid, by_role
from xr4dvar.methods.fourdvarnet.checks import LOSSES, PriorName, SolverName, check_fourdvarnet
from xr4dvar.methods.oi.config import OptimalInterpolation
from xr4dvar.operators.mask import Mask
from xr4dvar.operators.operator import Operator
from xr4dvar.priors.static import ModulePrior
from xr4dvar.registry import find_part, register
from xr4dvar.renaming import renamed
from xr4dvar.training.losses import Loss, loss_name
from xr4dvar.training_options import Training
from xr4dvar.types import Role

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvarnet.fit import NetworkEngine

__all__ = ["FourDVarNet"]


@register
@renamed(iterations="steps")
@dataclass(frozen=True)
class FourDVarNet:
    r"""4DVarNet: minimise a variational cost with a learned prior by a learned solver.

    .. math:: U(x) = \tfrac12\sum_{\text{observed}} \frac{(y - H(x))^2}{R}
                   + \tfrac12\sum_{\text{cells}} \frac{(x - \Phi(x))^2}{Q}, \quad
              x \leftarrow x - \text{solver}(\nabla U, x)

    The state x is the increment to the map of `background`, the network learns what that method
    cannot: flow-dependent covariances, fronts, motion. All times of a patch are solved together.

    Of maps, convolutions run along y and x and times are their channels. Data without a y axis
    are series: where x is given by names, convolutions run along time and the components are
    channels; where x has numbers, they run along time and x. Along x the convolutions wrap where
    it closes on itself (``periodic=``) and a patch holds all of it; else patches go round.

    Parameters
    ----------
    background : method or None
        Gives the first guess, which the prior and the solver also look at; fitted by the same
        `fit` where it has something to learn. None: start from the mean.
    patch : mapping of str to int, optional
        Cells seen at once, at most the domain; default: ``{"time": 15, "lat": 128, "lon": 128}``
        of maps, 256 times of series.
    overlap : mapping of str to int, optional
        Cells by which neighbouring patches overlap in `reconstruct`. Default: two thirds of the
        patch in time, a quarter in y and x.
    prior : {"bilinear", "two_scale", "unet"}, Dynamics or None
        Phi: bilinear auto-encoder, two-scale prior blind to the central point, U-Net, or a
        model, then ``Phi(x)_{t+1} = M(x_t)``: a known one such as `Lorenz63`, or one that is
        trained with the network, such as `QuadraticODE` (it starts from what the target says, if
        there is one). None: the cost is that of the observations alone; with one iteration, a
        network that maps them directly.
    solver : {"unet", "lstm", "lstm_gradient", "recurrent", "gradient", "fixed_point"}
        U-Net steps; convolutional LSTM steps, or the same with steps down the gradient itself,
        which count more and more; of series, an LSTM along time, both ways; gradient descent with
        a learned step size; or the prior in turn with the observations,
        ``x <- M y + (1 - M) Phi(x)``, weighted by R and Q.
    steps : int
        Steps of the solver.
    shared : bool
        All steps have the same weights. False: each has its own, to be learned.
    backpropagation : {"full", "checkpointed"} or int
        Through all steps of the solver; the same with less memory and a third more time; or
        through the last so many steps.
    widths : sequence of int, optional
        Channels of the U-Net's levels; the first is that of the LSTM's memory. Default:
        ``(64, 96, 128)`` for maps, ``(192,)`` for series.
    depth : int, optional
        Residual blocks of each level of the U-Net, layers of the LSTM along time. Default: 1 for
        maps, 4 for series.
    prior_width : int
        Channels inside the prior.
    coarsen : "auto" or int
        Cells along y and x to one cell of the increment's grid, as in incremental 4DVar. "auto":
        the largest of 4, 2 and 1 that can hold 98 % of the variance of the background's error.
        Of series: times in a row that are the channels of one place, with nothing lost; "auto"
        is 8.
    loss : mapping of str to float, or sequence of Loss, optional
        The training losses (`xr4dvar.losses`, or your own), or weights of these, per cell and in
        units of the background's error variance:

        - ``supervised`` (default 1): square error against the target, or against
          observations that were hidden;
        - ``gradient`` (0): square error of the differences of neighbours;
        - ``regularisation`` (0.1): ``|x - Phi(x)|^2`` of the map, and of the target
          where it has no gap;
        - ``variational`` (0): the cost U itself, which needs no target. Where it is all there is
          to learn from (``supervised`` is 0 and there is no target), no observation is hidden.
    error_variance : float or sequence of float, optional
        R: variance of the observation errors, in the data's units squared, for all or for each
        variable (of series: component). Not given: learned.
    model_error_variance : float or sequence of float, optional
        Q: the same of what the prior gets wrong. Not given: learned.
    redraw : bool
        With a target: observe the truth anew in training, with errors of the real observations.
    mirror : bool
        Also learn from fields mirrored north to south with their sign changed, and east to west
        with time reversed. Both are symmetries of inviscid quasi-geostrophic flow, on the beta
        plane too; covariates change their sign with the field. For sea surface height, not for
        tracers.
    operator : Operator
        H of the observations (`xr4dvar.operators`), also of the background where that takes one.
        Default: the field itself.
    training : Training
        How long and how fast to learn.

    References
    ----------
    Fablet et al. 2021, https://doi.org/10.1029/2021MS002572

    Examples
    --------
    >>> method = xv.FourDVarNet(steps=2, training=xv.Training(steps=500))
    >>> method.training.steps
    500
    """

    background: Method | None = field(default_factory=OptimalInterpolation)
    patch: Mapping[str, int] | None = None
    overlap: Mapping[str, int] | None = None
    prior: PriorName | Dynamics | ModulePrior | None = "bilinear"
    solver: SolverName | Any = "unet"
    steps: int = 2
    shared: bool = True
    backpropagation: Literal["full", "checkpointed"] | int = "full"
    widths: Sequence[int] | None = None
    depth: int | None = None
    prior_width: int = 16
    coarsen: Literal["auto"] | int = "auto"
    loss: Mapping[str, float] | Sequence[Loss] | None = None
    error_variance: float | Sequence[float] | None = None
    model_error_variance: float | Sequence[float] | None = None
    redraw: bool = True
    mirror: bool = False
    training: Training = field(default_factory=Training)
    operator: Operator = field(default_factory=Mask)

    takes_covariates: ClassVar[bool] = True
    takes_leads: ClassVar[bool] = True
    takes_other_fields: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "background", with_operator(self.background, self.operator))
        object.__setattr__(self, "widths", as_tuple(self.widths))
        object.__setattr__(self, "loss", as_tuple(self.loss))

    @property
    def solver_part(self) -> Any | None:
        """The solver, where it is one and no word."""
        return None if isinstance(self.solver, str) else self.solver

    @property
    def losses(self) -> tuple[Loss, ...]:
        """The losses, those that words stand for with their weights."""
        if isinstance(self.loss, tuple):
            return self.loss
        return tuple(
            replace(find_part("loss", word), weight=weight)
            for word, weight in self.loss_weights.items()
            if weight or word == "supervised"
        )

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the losses by their names, with the defaults of words."""
        if isinstance(self.loss, tuple):
            return {loss_name(loss): loss.weight for loss in self.loss}
        none = {"regularisation": 0.0} if self.prior is None else {}
        given: Any = self.loss or {}
        return {**LOSSES, **none, **given}

    def check(self, grid: Grid, names: Sequence[str]) -> None:
        """Raise one `InputError` if the configuration cannot be used on the grid."""
        check_fourdvarnet(self, grid, names)

    def known(self, grid: Grid, names: Sequence[str]) -> None:
        """Nothing is known before training."""

    def patch_sizes(self, grid: Grid) -> dict[Role, int]:
        """Cells of a patch along each axis of the grid."""
        given = by_role(self.patch or {}, grid.axes, "patch")
        usual = default_patch(grid)
        return {role: given.get(role, usual[role]) for role in grid.roles}

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        """Give the patch and its stride along each axis."""
        if parameters.settings.get("architecture", {}).get("wraps"):
            check_circle(grid, parameters.settings["patch"]["x"])
        given = by_role(self.overlap or {}, grid.axes, "overlap")
        windows = {}
        for role, size in (parameters.settings.get("patch") or self.patch_sizes(grid)).items():
            overlap = given.get(role, 2 * size // 3 if role == "time" else size // 4)
            windows[role] = Window(size, max(1, size - overlap))
        return windows

    def closed_axes(self, grid: Grid, parameters: Parameters | None) -> Collection[Role]:
        """Those that patches go round, and x where one patch does: convolutions wrap there."""
        windows = self.windows(grid, parameters or Parameters())
        closed = {role for role, window in windows.items() if window.patch < grid[role].size}
        wraps = layout_grid(grid) != "time"
        if parameters is not None:
            wraps = parameters.settings["architecture"]["wraps"]
        return closed | {"x"} if wraps else closed

    def fit(
        self, data: TrainingData, options: FitOptions, background: Engine | None = None
    ) -> Parameters:
        """Train the prior and the solver together."""
        from xr4dvar.methods.fourdvarnet.fit import fit_fourdvarnet

        return fit_fourdvarnet(self, data, options, background)

    @property
    def engine_type(self) -> type[NetworkEngine]:
        """What solves with the fitted method."""
        from xr4dvar.methods.fourdvarnet.fit import NetworkEngine

        return NetworkEngine
