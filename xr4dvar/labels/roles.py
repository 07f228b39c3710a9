"""The three axes: their dimensions in one array, and the names users give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

from xr4dvar.errors import Problems
from xr4dvar.types import ROLES, Role

How: TypeAlias = Literal["given", "cf", "guess"]
Value = TypeVar("Value")

#: Names under which a user may speak of an axis.
ALIASES: dict[Role, tuple[str, ...]] = {
    "time": ("time", "t", "T", "day"),
    "y": ("lat", "latitude", "y", "Y", "j", "northing"),
    "x": ("lon", "longitude", "x", "X", "i", "easting"),
}
ROLE_OF_ALIAS: dict[str, Role] = {
    alias: role for role, aliases in ALIASES.items() for alias in aliases
}


@dataclass(frozen=True)
class Axes:
    """Names of the dimensions that are cut into patches, and of those that are independent.

    Parameters
    ----------
    time, y, x : str or None
        The dimension of each axis, None where there is none.
    batch : tuple of str
        All other dimensions: members, windows, depths. Each of their entries is treated alone.
    how : mapping of role to {"given", "cf", "guess"}
        Where each answer comes from.
    coordinates : mapping of role to str
        The coordinate that holds each axis' values: 1-D, or 2-D for y and x of a curvilinear
        grid. A role is absent where its dimension has no coordinate.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes
    >>> obs = xr.DataArray(np.zeros((2, 3, 4, 5)), dims=("member", "lon", "time", "lat"))
    >>> axes = find_axes(obs)
    >>> axes.dims, axes.roles
    (('member', 'time', 'lat', 'lon'), ('time', 'y', 'x'))
    """

    time: str | None = None
    y: str | None = None
    x: str | None = None
    batch: tuple[str, ...] = ()
    how: Mapping[Role, How] = field(default_factory=dict, compare=False)
    coordinates: Mapping[Role, str] = field(default_factory=dict, compare=False)

    @property
    def roles(self) -> tuple[Role, ...]:
        """The axes that are there, in canonical order."""
        return tuple(role for role in ROLES if getattr(self, role) is not None)

    @property
    def dims(self) -> tuple[str, ...]:
        """All dimensions in canonical order: batch ones, then time, y, x."""
        return (*self.batch, *(self.dim(role) for role in self.roles))

    def dim(self, role: Role) -> str:
        """Name of the dimension of an axis that is there."""
        name = getattr(self, role)
        if name is None:
            raise KeyError(role)
        return str(name)

    def items(self) -> Iterator[tuple[Role, str]]:
        """Pairs of axis and dimension, in canonical order."""
        return ((role, self.dim(role)) for role in self.roles)


def by_role(mapping: Mapping[str, Value], axes: Axes, what: str) -> dict[Role, Value]:
    """Turn a mapping by dimension name or alias into one by axis.

    Parameters
    ----------
    mapping : mapping of str to anything
        Keys are dimension names of the array, names of the coordinates of its axes, or aliases
        such as ``"lat"``; a dimension name goes first, an alias last.
    axes : Axes
        The axes of the array.
    what : str
        What the mapping is, for the message of an error.

    Returns
    -------
    dict of role to value
        In canonical order.

    Raises
    ------
    InputError
        A key is no axis of the array, or two keys are the same axis.

    Examples
    --------
    >>> from xr4dvar.labels import Axes, by_role
    >>> by_role({"lon": 1.0, "t": 3}, Axes(time="t", y="nav_lat", x="nav_lon"), "patch")
    {'time': 3, 'x': 1.0}
    """
    problems = Problems()
    dim_roles = {dim: role for role, dim in axes.items()}
    own_roles = {name: role for role, name in axes.coordinates.items()}
    choice = ", ".join(repr(dim) for dim in dim_roles)
    roles: dict[Role, Value] = {}
    for key, value in mapping.items():
        role = dim_roles.get(key) or own_roles.get(key) or ROLE_OF_ALIAS.get(key)
        if key in axes.batch:
            problems.add(
                f"{what}: {key!r} is not cut into patches, its entries are independent",
                f"leave it out, the axes are {choice}",
            )
        elif role not in axes.roles:
            problems.add(f"{what}: {key!r} is not an axis of the data", f"use {choice}")
        elif role in roles:
            problems.add(
                f"{what}: {key!r} and another key are both the {role} axis", "keep one of the two"
            )
        else:
            roles[role] = value
    problems.raise_if_any()
    return {role: roles[role] for role in ROLES if role in roles}
