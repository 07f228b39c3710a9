"""A data assimilation network: a filter or smoother that is learned, with its error's density."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, get_args

from xr4dvar.arguments import check_choice, check_count, shown
from xr4dvar.contract.engine import Engine
from xr4dvar.contract.method import FitOptions, Parameters, Window
from xr4dvar.contract.states import check_even, components
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.registry import register
from xr4dvar.training_options import Training
from xr4dvar.types import Estimate, Role

if TYPE_CHECKING:
    from xr4dvar.methods.dan.fit import FilterEngine

__all__ = ["DataAssimilationNetwork"]

#: Most numbers of a state: a Gaussian has half their square.
MOST_COMPONENTS = 200
#: Times that are learned from at once, where the user does not say otherwise.
TIMES = 256


@register
@dataclass(frozen=True)
class DataAssimilationNetwork:
    r"""A recurrent network that goes through time as a Kalman smoother does, learned from states.

    A memory is moved on from time to time, and takes in what is observed there; a Gaussian of the
    state is read from it before and after. A second memory comes back from the end, and from both
    a Gaussian that knows all observations is read. The network is trained to make the true states
    likely,

    .. math:: -\sum_t \log q^b_t(x_t) + \log q^a_t(x_t) + \log q^s_t(x_t),

    so that it learns moments, not only means, and none can score better than the Kalman filter
    and smoother where these are optimal. ``error=True`` gives the standard deviation of the map.

    A state is all that the data hold at one time. It is for small ones, and needs a target.

    Parameters
    ----------
    estimate : {"smoothed", "filtered"}
        What to give: the mean that knows all observations, or the one after those of each time,
        to which later ones do not count (the last term is left out, and the second memory).
    width : int
        Numbers of the memory.
    depth : int
        Hidden layers of each of the two networks that change it.
    times : int, optional
        Times that are learned from at once, at most those of the data. Default: 256.
    training : Training
        How long and how fast to learn.

    References
    ----------
    Boudier et al. 2020, https://arxiv.org/abs/2010.09694 (the filter);
    Fraser and Potter 1969, https://doi.org/10.1109/TAC.1969.1099196 (a smoother of two filters)

    Examples
    --------
    >>> ds = xv.datasets.lorenz63(windows=20, steps=20, first=0, last=19, every=2)
    >>> short = xv.Training(steps=5, steps_per_epoch=5)
    >>> method = xv.DataAssimilationNetwork(width=8, training=short)
    >>> model = ds.obs.fourdvar.fit(method, ds.truth)
    >>> sorted(ds.obs.fourdvar.reconstruct(model, error=True))
    ['obs', 'obs_error']
    """

    estimate: Estimate = "smoothed"
    width: int = 64
    depth: int = 1
    times: int | None = None
    training: Training = field(default_factory=Training)

    background: ClassVar[None] = None
    knows_states: ClassVar[bool] = True

    def check(self, grid: Grid, names: Sequence[str]) -> None:
        """Raise one `InputError` if a setting or the data cannot be used."""
        problems = Problems()
        check_choice("estimate", self.estimate, get_args(Estimate), problems)
        check_count("width", self.width, problems)
        check_count("depth", self.depth, problems)
        if self.times is not None:
            check_count("times", self.times, problems, least=2)
        training: object = self.training
        if isinstance(training, Training):
            training.check(problems)
        else:
            problems.add(f"training is {shown(training)}", "give xr4dvar.Training(...)")
        check_even(grid, "a filter", problems)
        if (size := components(grid, names)) > MOST_COMPONENTS:
            what = f"a state has {size} numbers, and its Gaussian {size * (size + 3) // 2}"
            problems.add(what, f"use FourDVarNet, or states of at most {MOST_COMPONENTS} numbers")
        problems.raise_if_any()

    def known(self, grid: Grid, names: Sequence[str]) -> None:
        """Nothing is known before training."""

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        """Give the whole of time and of the state; for training, the times learned from."""
        sizes = {role: grid[role].size for role in grid.roles}
        if not parameters.settings:
            sizes["time"] = min(self.times or TIMES, sizes["time"])
        return {role: Window(size, size) for role, size in sizes.items()}

    def fit(
        self, data: TrainingData, options: FitOptions, background: Engine | None = None
    ) -> Parameters:
        """Train the network."""
        from xr4dvar.methods.dan.fit import fit_dan

        return fit_dan(self, data, options)

    @property
    def engine_type(self) -> type[FilterEngine]:
        """What solves with the fitted method."""
        from xr4dvar.methods.dan.fit import FilterEngine

        return FilterEngine
