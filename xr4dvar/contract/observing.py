"""Patches as an observation operator sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xr4dvar.contract.patches import Patches
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid
from xr4dvar.operators.mask import Mask
from xr4dvar.operators.operator import Operator, check_operator, is_mask
from xr4dvar.types import ROLES, BoolArray, FloatArray

if TYPE_CHECKING:
    from xr4dvar.contract.method import Parameters
    from xr4dvar.operators.binding import Binder

__all__ = [
    "binder_of",
    "check_method_operator",
    "check_reach",
    "observed_patches",
    "operator_of",
    "through",
    "with_operator",
]


def operator_of(method: object) -> Any:
    """The observation operator of a method, `Mask` of one that takes none, or what is none."""
    own = getattr(method, "operator", None)
    return own if isinstance(own, Operator) else Mask()


def binder_of(
    method: object, grid: Grid, domain: Any = None, placed: Operator | None = None
) -> Binder | None:
    """What binds the operator of a method to patches of a grid; None where it is the mask.

    `placed` is the same operator, with the places of the observations.
    """
    operator = operator_of(method)
    if is_mask(operator):
        return None
    from xr4dvar.operators.binding import Binder

    return Binder(placed or operator, grid, None if domain is None else _sea(domain, grid))


def _sea(domain: Any, grid: Grid) -> BoolArray:
    """Cells of the grid that hold a state (T, Y, X), sizes of 1 where they are all alike."""
    if not isinstance(domain, np.ndarray):
        from dask.base import compute

        (domain,) = compute(domain)
    cells = domain.ndim - len(grid.roles)
    first = domain[(0,) * cells]
    if not bool((domain == first).all()):
        what = "mask differs from entry to entry of further dimensions, and the operator needs one"
        raise InputError([(what, "give a mask of time, y and x alone")])
    sizes = dict(zip(grid.roles, first.shape, strict=True))
    sea: BoolArray = first.reshape([sizes.get(role, 1) for role in ROLES])
    return sea[:1] if bool((sea == sea[:1]).all()) else sea


def observed_patches(
    patches: Patches, binder: Binder | None, domain: BoolArray | None = None
) -> Patches:
    """Patches with their operator, without observations that depend on cells outside of them.

    Parameters
    ----------
    patches : Patches
    binder : Binder, optional
        None: observations are the field itself.
    domain : numpy.ndarray of bool, shape (n, T, Y, X), optional
        Cells that hold a state.
    """
    if binder is None:
        return patches
    operator, seen = binder(patches.coordinates, domain)
    y = patches.y if seen is None else np.where(seen, patches.y, np.nan)
    return replace(patches, y=y, operator=operator)


def through(operator: Any, fields: FloatArray) -> FloatArray:
    """What an operator, if there is one, observes of fields (n, V, T, Y, X), in float64."""
    if operator is None:
        return fields
    import torch

    with torch.no_grad():
        found: FloatArray = operator(torch.as_tensor(fields.astype(np.float64))).numpy()
    return found


def check_method_operator(
    method: object, grid: Grid, names: Sequence[str], problems: Problems, *, linear: bool = False
) -> bool:
    """Note an operator that is none or does not fit the grid; that a linear method cannot take."""
    operator = getattr(method, "operator", None)
    if not check_operator(operator, grid, names, problems):
        return False
    before = len(problems.found)
    name, kind = type(method).__name__, type(operator).__name__
    if linear and not operator.linear:  # type: ignore[union-attr]
        what = f"{name} takes linear operators, {kind} is not known to be one"
        problems.add(what, "use Variational, FourDVar or FourDVarNet, or operators.Linear")
    others = tuple(operator.states(names)) != tuple(names)  # type: ignore[union-attr]
    if others and not getattr(method, "takes_other_fields", False):
        what = f"{name} maps the variables that are observed, and {kind} observes others"
        problems.add(what, "use OptimalInterpolation, Variational or FourDVarNet")
    if linear and len(names) > 1 and operator.joins_variables(grid, names):  # type: ignore[union-attr]
        what = f"{name} maps each variable by itself, and {kind} joins them or tells them apart"
        problems.add(what, "use Variational, FourDVar or FourDVarNet, or give one variable")
    background = getattr(method, "background", None)
    own = operator_of(background)
    if others and background is not None and not hasattr(background, "operator"):
        what = f"the background {type(background).__name__} maps what is observed, {kind} others"
        problems.add(what, "use OptimalInterpolation, or background=None")
    if hasattr(background, "operator") and own != operator:
        what = f"the background has the operator {own!r}, {name} has {operator!r}"
        problems.add(what, "give both the same, or only this one")
    return len(problems.found) == before


def check_reach(method: Any, grid: Grid, parameters: Parameters, problems: Problems) -> None:
    """Note windows in which some observations would never be seen with all that they depend on."""
    operator = operator_of(method)
    if is_mask(operator):
        return
    windows = method.windows(grid, parameters)
    for role, cells in operator.reach(grid).items():
        window, axis = windows[role], grid[role]
        if window.patch < axis.size and window.stride > window.patch - 2 * cells:
            problems.add(
                f"what {type(operator).__name__} observes reaches {cells} cells along "
                f"{axis.name!r}, and patches of {window.patch} cells with steps of "
                f"{window.stride} would lose some of it",
                f"give a longer patch, or a larger overlap, along {axis.name!r}",
            )


def with_operator(background: Any, operator: Any) -> Any:
    """A background method that takes operators and has none, with that of the method on top."""
    takes = hasattr(background, "operator") and not isinstance(background, type)
    if not takes or is_mask(operator) or not is_mask(background.operator):
        return background
    return replace(background, operator=operator)
