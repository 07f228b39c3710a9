"""What a method is: it says what it must see at once, fits, and solves patches of numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
import xarray as xr

from xr4dvar.arguments import shown
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.methods.training_data import TrainingData
from xr4dvar.types import FloatArray, IntArray, Role

__all__ = [
    "CurveSolver",
    "Curves",
    "Describes",
    "EnsembleSolver",
    "ErrorSolver",
    "FitOptions",
    "GivesEnsembles",
    "KnowsError",
    "KnowsStates",
    "MapsPoints",
    "Method",
    "Parameters",
    "Patches",
    "Points",
    "PointsSolver",
    "RecordsCost",
    "Solver",
    "TakesMoments",
    "Window",
    "check_method",
    "knows_error",
    "knows_states",
]


@dataclass(frozen=True)
class Patches:
    """Numbers of n patches, in the data's own units, with every axis ascending.

    Parameters
    ----------
    y : numpy.ndarray, shape (n, V, T, Y, X)
        Observations of V variables, NaN where there is none.
    coordinates : mapping of role to numpy.ndarray, shape (n, size)
        Positions along each axis that is there, in the grid's units.
    background : numpy.ndarray, shape (n, V, T, Y, X), optional
        The map of the method's background method.
    error_variance : numpy.ndarray, shape (n, V, T, Y, X), optional
        Variance of the observation error, in the data's units squared.
    origins : numpy.ndarray of int, shape (n, dims), optional
        The first cell of each patch in the whole array: what is drawn for it follows from that.
    closed : mapping of role to int
        Cells of the axes that close on themselves, after which the first one comes again.
    """

    y: FloatArray
    coordinates: Mapping[Role, FloatArray]
    background: FloatArray | None = None
    error_variance: FloatArray | None = None
    origins: IntArray | None = None
    closed: Mapping[Role, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Points:
    """Scattered observations of one variable, in the data's own units.

    Parameters
    ----------
    positions : numpy.ndarray, shape (n, 3)
        Time, y and x of each, in the grid's units; 0 along an axis that the grid lacks.
    values : numpy.ndarray, shape (n,)
        All finite.
    error_variance : numpy.ndarray, shape (n,), optional
        Variance of the observation error, in the data's units squared.
    """

    positions: FloatArray
    values: FloatArray
    error_variance: FloatArray | None = None


@dataclass(frozen=True)
class Parameters:
    """What a fit has found: plain settings and arrays, ready for a file.

    Parameters
    ----------
    settings : mapping
        Numbers and texts, ready for JSON.
    arrays : mapping of str to numpy.ndarray
        Weights.
    history : xarray.Dataset, optional
        How training went, along ``epoch``.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    history: xr.Dataset | None = None


@dataclass(frozen=True)
class Window:
    """Cells of one axis that a method sees at once, and the step from window to window.

    The maps of the cells of the margin, at both ends, are used only at the edges of the data.
    """

    patch: int
    stride: int
    margin: int = 0


@dataclass(frozen=True)
class FitOptions:
    """How to fit, not what: none of these is part of the fitted model but the seed."""

    seed: int = 0
    device: str = "auto"
    precision: str = "32-true"
    devices: int = 1
    checkpoint: str | None = None
    progress: bool = False


#: Numbers of patches in, complete fields (n, V, T, Y, X) out.
Solver: TypeAlias = Callable[[Patches], FloatArray]

#: Points of each of V variables, the coordinates of a grid, and whether errors are wanted in; maps
#: and the standard deviations of their errors, or None, (V, T, Y, X) out.
PointsSolver: TypeAlias = Callable[
    [Sequence[Points], Mapping[Role, FloatArray], bool], tuple[FloatArray, FloatArray | None]
]


@runtime_checkable
class Method(Protocol):
    """A way to complete fields: configuration only, a frozen dataclass.

    Examples
    --------
    >>> from xr4dvar.methods import Method
    >>> isinstance(xv.LinearInterpolation(), Method)
    True
    """

    @property
    def background(self) -> Method | None:
        """The method whose map this one starts from."""

    def check(self, grid: Grid, names: Sequence[str]) -> None:
        """Raise one `InputError` if this method cannot work on such data."""

    def known(self, grid: Grid, names: Sequence[str]) -> Parameters | None:
        """Give the parameters if the configuration says all, so that nothing need be fitted."""

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        """Say what must be seen at once along each axis that is there."""

    def fit(self, data: TrainingData, options: FitOptions, background: Solver | None) -> Parameters:
        """Find the parameters; cheap where nothing is learned."""

    def solver_for(self, parameters: Parameters, device: str) -> Solver:
        """Give the function that completes patches."""


def check_method(name: str, value: object, problems: Problems) -> TypeGuard[Method]:
    """Note an argument that is no method: a class, a text, a fitted model."""
    if isinstance(value, type):
        problems.add(
            f"{name} is the class {value.__name__}, not a method",
            f"make one with its settings, {value.__name__}(...)",
        )
        return False
    if not isinstance(value, Method):
        what = shown(value) if value is None or isinstance(value, str) else type(value).__name__
        fix = "give a method, such as xr4dvar.FourDVarNet() or xr4dvar.OptimalInterpolation()"
        if isinstance(getattr(value, "method", None), Method):
            fix = "it is fitted already: reconstruct(model), or fit its method again, model.method"
        problems.add(f"{name} is {what}, not a method", fix)
        return False
    return True


@runtime_checkable
class KnowsStates(Protocol):
    """A method that knows enough beforehand to give a window in which nothing was observed."""

    @property
    def knows_states(self) -> bool:
        """Whether it does."""


def knows_states(method: object) -> bool:
    """Whether a method can do without any observation: it has the property, and it is true.

    Examples
    --------
    >>> from xr4dvar.methods.base import knows_states
    >>> knows_states(xv.LinearInterpolation()), knows_states(xv.DataAssimilationNetwork())
    (False, True)
    """
    return isinstance(method, KnowsStates) and bool(method.knows_states)


@runtime_checkable
class Describes(Protocol):
    """A method whose parameters are few and mean something to a reader."""

    def described(self, parameters: Parameters, roles: Collection[Role]) -> dict[str, str]:
        """Give what was found, in words and in the units of the axes that are there."""


@runtime_checkable
class TakesMoments(Protocol):
    """A method that need not be fitted, but may want the mean and the spread of all data."""

    def is_open(self, parameters: Parameters) -> bool:
        """Whether parameters lack something that follows from these."""

    def completed(
        self, parameters: Parameters, moments: Sequence[tuple[float, float]]
    ) -> Parameters:
        """Set it, from the mean and the standard deviation of each variable."""


#: Patches in; maps and the standard deviations of their errors (n, V, T, Y, X) out.
ErrorSolver: TypeAlias = Callable[[Patches], tuple[FloatArray, FloatArray]]


@runtime_checkable
class KnowsError(Protocol):
    """A method that can also say how wrong its maps are."""

    def error_solver_for(self, parameters: Parameters, device: str) -> ErrorSolver:
        """Give the function from patches to maps and the standard deviations of their errors."""


def knows_error(method: object) -> bool:
    """Whether a method gives the errors of its maps: where only some settings do, it says so.

    Examples
    --------
    >>> from xr4dvar.methods.base import knows_error
    >>> by_state = xv.Variational(xv.EOFs(), error_variance=1.0)
    >>> knows_error(xv.OptimalInterpolation()), knows_error(by_state)
    (True, False)
    """
    return isinstance(method, KnowsError) and bool(getattr(method, "knows_error", True))


#: Patches, a number of members and a seed in; members (M, n, V, T, Y, X) out.
EnsembleSolver: TypeAlias = Callable[[Patches, int, int], FloatArray]


@runtime_checkable
class GivesEnsembles(Protocol):
    """A method that can also draw from what the truth may be."""

    def ensemble_solver_for(self, parameters: Parameters, device: str) -> EnsembleSolver:
        """Give the function from patches to members of an ensemble of maps."""


@dataclass(frozen=True)
class Curves:
    """How the costs of n patches go down.

    Parameters
    ----------
    terms : mapping of str to numpy.ndarray, shape (n, steps + 1)
        What each term of the cost is before and after each step, by its name.
    gradient_norms : numpy.ndarray, shape (n, steps + 1)
        Of the cost, which is their sum.
    """

    terms: Mapping[str, FloatArray]
    gradient_norms: FloatArray


#: Patches in, the curves of their costs out.
CurveSolver: TypeAlias = Callable[[Patches], Curves]


@runtime_checkable
class RecordsCost(Protocol):
    """A method that minimises a cost, and can also say how it goes down."""

    def curve_solver_for(self, parameters: Parameters, device: str) -> CurveSolver:
        """Give the function from patches to the curves of their costs."""


@runtime_checkable
class MapsPoints(Protocol):
    """A method that can also map observations that are on no grid."""

    def points_solver_for(self, parameters: Parameters) -> PointsSolver:
        """Give the function from points to maps and their errors."""
