"""Several kinds of observations, each on its own grid and with its own operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from xr4dvar.arguments import shown
from xr4dvar.errors import InputError, Problems
from xr4dvar.operators.mask import Mask
from xr4dvar.operators.operator import Operator
from xr4dvar.operators.stacked import Stacked
from xr4dvar.types import Labelled

__all__ = ["Kind", "Observations"]


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of observations.

    Parameters
    ----------
    data : DataArray or Dataset
        Values; a Dataset where the operator gives several fields.
    operator : Operator
    error_variance : float, DataArray or Dataset, optional
        Variance of each observation's error, in its units squared.
    """

    data: Labelled
    operator: Operator
    error_variance: Any = None


class Observations:
    """Observations of several kinds for `xr4dvar.fit` and `xr4dvar.reconstruct`.

    Each kind has a name, which is that of the variable of the state unless `of` says otherwise, and
    is an array, ``(array, operator)`` or ``(array, operator, error_variance)``. Kinds need not
    share grids: those of `operators.Points` are anywhere, those of `operators.BlockMean` on coarser
    grids, all others at cells of the grid of the maps, of which they may have some.

    Parameters
    ----------
    of : mapping of str to str
        Variable of the state, by the name of a kind.
    **kinds
        Arrays, or tuples of an array, its operator and the variance of its errors.

    Raises
    ------
    InputError
        With every kind that is none.

    Examples
    --------
    >>> time = np.datetime64("2020-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D")
    >>> track = xr.DataArray([0.3, 0.1], dims="obs", coords={
    ...     "time": ("obs", time[[0, 2]]),
    ...     "lat": ("obs", [30.2, 31.7]), "lon": ("obs", [1.1, 1.4])})
    >>> grid = xr.Dataset(coords={"time": time, "lat": 30 + np.arange(4.0), "lon": np.arange(4.0)})
    >>> obs = xv.Observations(ssh=(track, xv.operators.Points(), 0.01))
    >>> oi = xv.OptimalInterpolation(
    ...     length={"time": "5D", "lat": 2.0, "lon": 2.0}, variance=0.1, error_variance=0.01,
    ...     mean=0.0)
    >>> xv.reconstruct(obs, oi, grid=grid).ssh.shape
    (3, 4, 4)
    """

    def __init__(self, *, of: Mapping[str, str] | None = None, **kinds: Any):
        problems = Problems()
        if not kinds:
            problems.add("there is no observation", "name a kind, Observations(ssh=tracks)")
        named: Any = {} if of is None else of
        texts = named.values() if isinstance(named, Mapping) else [None]
        if not all(isinstance(state, str) for state in texts):
            problems.add(f"of is {shown(of)}", "give names of variables, of={'swot': 'ssh'}")
        self.kinds = {name: _kind(name, value, problems) for name, value in kinds.items()}
        problems.raise_if_any()
        parts = {name: kind.operator for name, kind in self.kinds.items()}
        self.operator = Stacked(parts, named)

    @classmethod
    def from_tree(cls, tree: xr.DataTree, operator: object) -> Observations:
        """Take the nodes of a tree as kinds, observed as the parts of a `operators.Stacked` say.

        Raises
        ------
        InputError
            A node is missing, or has several variables where one is observed.
        """
        if not isinstance(operator, Stacked):
            fix = "give the method operator=xr4dvar.operators.Stacked({node: operator, ...})"
            raise InputError([("the method does not say how each node is observed", fix)])
        problems, kinds = Problems(), {}
        operator.check_parts(problems)
        problems.raise_if_any()
        for name in (name for name in tree.children if name not in operator.parts):
            what = f"the node {name!r} is not observed by the operator"
            problems.add(
                what, f"name it in operators.Stacked, or leave it out, tree.drop_nodes({name!r})"
            )
        for name, part in operator.parts.items():
            if name not in tree.children:
                have = ", ".join(map(repr, tree.children)) or "none"
                problems.add(f"the tree has no node {name!r}, it has {have}", "rename a node")
                continue
            kinds[name] = tree.children[name].to_dataset(), part
        problems.raise_if_any()
        return cls(of=operator.of, **kinds)

    def __repr__(self) -> str:
        lines = [
            f"  {name}: {type(kind.operator).__name__}, {dict(kind.data.sizes)}"
            for name, kind in self.kinds.items()
        ]
        return "\n".join(["<xr4dvar.Observations>", *lines])


def _kind(name: str, value: Any, problems: Problems) -> Kind:
    """What is given for a kind, with the defaults."""
    given = value if isinstance(value, tuple) else (value,)
    if not 1 <= len(given) <= 3:
        problems.add(f"{name!r} has {len(given)} parts", "give (array, operator, error_variance)")
        return Kind(xr.Dataset(), Mask())
    data, operator, variance = [*given, None, None][:3]
    operator = Mask() if operator is None else operator
    if not isinstance(data, xr.DataArray | xr.Dataset):
        what = f"{name!r} is {shown(data)}, no DataArray or Dataset"
        problems.add(what, "give (array, operator)")
    if isinstance(operator, type) or not isinstance(operator, Operator):
        what = f"the operator of {name!r} is {shown(operator)}, no observation operator"
        problems.add(what, "give one of xr4dvar.operators, such as Points()")
        operator = Mask()
    if isinstance(operator, Stacked):
        problems.add(f"the operator of {name!r} is a Stacked", "give each of its parts as a kind")
    return Kind(data, operator, variance)
