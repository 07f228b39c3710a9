"""What a method is: it says what it must see at once, fits, and solves patches of numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
import xarray as xr

from xr4dvar.arguments import shown
from xr4dvar.contract.engine import Engine
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.types import Role

__all__ = [
    "Describes",
    "FitOptions",
    "KnowsStates",
    "Method",
    "Parameters",
    "TakesMoments",
    "Window",
    "check_method",
    "knows_states",
]


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

    def fit(self, data: TrainingData, options: FitOptions, background: Engine | None) -> Parameters:
        """Find the parameters; cheap where nothing is learned."""

    @property
    def engine_type(self) -> type[Engine]:
        """The class whose objects solve with the fitted method."""


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
    >>> from xr4dvar.contract.method import knows_states
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
