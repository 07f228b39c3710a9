"""Cycled 4DVar: a long series in short windows, each of which knows what the ones before found."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, get_args

from xr4dvar.arguments import check_choice, check_count, check_number, shown
from xr4dvar.contract.engine import Engine
from xr4dvar.contract.method import FitOptions, Parameters, Window
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.methods.fourdvar.config import FourDVar
from xr4dvar.registry import register
from xr4dvar.types import Estimate, Role, Variances

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvar.cycled_engine import CycledEngine

__all__ = ["CycledFourDVar"]


@register
@dataclass(frozen=True)
class CycledFourDVar:
    """4DVar over a long series, in overlapping windows that follow each other.

    The background of a window, and its covariance, are what the model and the observations before
    its begin say of its first state: the quadratic cost of the window before, about its analysis,
    without what the window sees itself. Of a linear model each window then knows as much as if
    all times up to its end were assimilated at once.

    Parameters
    ----------
    method : FourDVar
        Model, variances and, for the first window, the climate.
    window : int
        Times of a window: an observation changes the states of so many times before, at most.
    shift : int
        Times from one window to the next, such as those between observations.
    estimate : {"smoothed", "filtered"}
        What to give: the states as the last window that holds them has them, or as the first
        one has, which knows hardly anything later.
    inflation : float
        Factor of the background's covariance, against what is lost by taking errors for Gaussian.

    Notes
    -----
    Members of an ensemble are analyses of the observations with noise of variance R added: they
    say what that noise does. What is left open is said by ``error=True``.

    References
    ----------
    Bocquet and Sakov 2014, https://doi.org/10.1002/qj.2236 (where an ensemble carries the
    covariance)

    Examples
    --------
    >>> ds = xv.datasets.lorenz63(windows=1, steps=400, last=400, observed=("x", "y", "z"))
    >>> method = xv.FourDVar(xv.Lorenz63(dt=0.01), error_variance=2.0, climate=500)
    >>> maps = ds.obs.fourdvar.reconstruct(xv.CycledFourDVar(method, window=48, shift=16))
    >>> bool(((maps - ds.truth) ** 2).mean() < 1)
    True
    """

    method: FourDVar
    window: int
    shift: int
    estimate: Estimate = "smoothed"
    inflation: float = 1.0

    background: ClassVar[None] = None
    knows_states: ClassVar[bool] = True

    @property
    def takes_error_variance(self) -> bool:
        """Whether observations may have variances of their own."""
        return self.method.takes_error_variance

    @property
    def error_variance(self) -> Variances:
        """R of the method of the windows."""
        return self.method.error_variance

    def check(self, grid: Grid, names: Sequence[str]) -> None:
        """Raise one `InputError` if the method or the windows cannot be used."""
        problems = Problems()
        check_choice("estimate", self.estimate, get_args(Estimate), problems)
        check_number("inflation", self.inflation, problems)
        before = len(problems.found)
        for name in ("window", "shift"):
            check_count(name, getattr(self, name), problems)
        if len(problems.found) == before:
            if self.shift >= self.window:
                what = f"shift is {self.shift}, the window {self.window}"
                problems.add(what, "let windows overlap: use a smaller shift")
            if "time" in grid.roles and self.window > grid["time"].size:
                what = f"window is {self.window}, the data have {grid['time'].size} times"
                problems.add(what, "use a shorter window, or the method itself")
        method: object = self.method
        if not isinstance(method, FourDVar):
            problems.add(f"method is {shown(method)}", "give a FourDVar(...)")
            problems.raise_if_any()
        with problems.collect():
            self.method.check(grid, names)
        problems.raise_if_any()

    def known(self, grid: Grid, names: Sequence[str]) -> Parameters | None:
        """Give the climate of a free run."""
        return self.method.known(grid, names)

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        """Give the whole of time and of the state."""
        return self.method.windows(grid, parameters)

    def closed_axes(self, grid: Grid, parameters: Parameters | None) -> Collection[Role]:
        """Those of the state, whose neighbours are the model's to tell; a window has two ends."""
        return ("y", "x")

    def fit(
        self, data: TrainingData, options: FitOptions, background: Engine | None = None
    ) -> Parameters:
        """Fit the method of the windows."""
        return self.method.fit(data, options, background)

    @property
    def engine_type(self) -> type[CycledEngine]:
        """What solves with the fitted method."""
        from xr4dvar.methods.fourdvar.cycled_engine import CycledEngine

        return CycledEngine
