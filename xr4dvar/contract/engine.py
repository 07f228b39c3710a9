"""The engine of a fitted method: it solves, and what it can do are its methods."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

from xr4dvar.contract.patches import Patches
from xr4dvar.types import FloatArray

__all__ = ["Can", "Engine", "can", "engine_for"]

#: What an engine may have beside `Engine.maps`.
Can: TypeAlias = Literal["errors", "members", "curves", "points"]


class Engine(Protocol):
    """A fitted method on a device, made from the method, its parameters and the device's name.

    Beside `maps` an engine has the methods of what it can do, and lacks the others:

    - ``errors(patches)``: maps and the standard deviations of their errors, both (n, V, T, Y, X);
    - ``members(patches, count, seed)``: draws from what the truth may be, (count, n, V, T, Y, X);
    - ``curves(patches)``: `Curves`, the costs of the patches as they are minimised;
    - ``points(points, coordinates, error)``: maps (V, T, Y, X) of `Points` of each variable on a
      grid of these coordinates, and the standard deviations of their errors, or None.
    """

    def __init__(self, method: Any, parameters: Any, device: str) -> None:
        """Get ready to solve."""

    def maps(self, patches: Patches) -> FloatArray:
        """Complete patches, shape (n, V, T, Y, X)."""


def can(method: Any, what: Can) -> bool:
    """Whether a method, as it is configured, has engines that can do more than maps.

    Examples
    --------
    >>> from xr4dvar.contract.engine import can
    >>> by_state = xv.Variational(xv.EOFs(), error_variance=1.0)
    >>> can(xv.OptimalInterpolation(), "errors"), can(by_state, "errors")
    (True, False)
    """
    return hasattr(getattr(method, "engine_type", None), what)


def engine_for(method: Any, parameters: Any, device: str = "cpu") -> Any:
    """Make the engine of a fitted method.

    Examples
    --------
    >>> from xr4dvar.contract.engine import engine_for
    >>> from xr4dvar.methods import Parameters
    >>> type(engine_for(xv.LinearInterpolation(), Parameters())).__name__
    'LinearEngine'
    """
    return method.engine_type(method, parameters, device)
