"""Several kinds of observations of one state, each with its own operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xr4dvar.arguments import check_mapping, shown
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.labels.variance_units import same_units
from xr4dvar.operators.cells import Cells
from xr4dvar.operators.operator import Operator, check_operator
from xr4dvar.registry import register
from xr4dvar.types import BoolArray, Role

__all__ = ["Stacked"]


@register
@dataclass(frozen=True)
class Stacked(Operator):
    """Several kinds of observations at once, a term of the cost each.

    Kinds are in the order of their names, however they are given.

    Parameters
    ----------
    parts : mapping of str to Operator
        Operator of each kind, by the name of the variable of the observations; of one that gives
        several, such as `Geostrophic`, by any name.
    of : mapping of str to str
        Variable of the state for the name of a kind, where they differ:
        ``of={"swot": "ssh"}``.

    Examples
    --------
    Heights along tracks and velocities of drifters are both observations of the height:

    >>> both = xv.operators.Stacked(
    ...     {"nadir": xv.operators.Mask(), "drifters": xv.operators.Geostrophic()},
    ...     of={"nadir": "ssh"})
    >>> both.fields([]), both.states([])
    (('u', 'v', 'nadir'), ('ssh',))
    """

    parts: Mapping[str, Operator]
    of: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # equal configurations are one and the same, in whatever order they were written
        for name in ("parts", "of"):
            given: object = getattr(self, name)
            if isinstance(given, Mapping):
                object.__setattr__(
                    self, name, dict(sorted(given.items(), key=lambda pair: str(pair[0])))
                )

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """Whether all are."""
        return all(part.linear for part in self._usable().values())

    @property
    def reads_places(self) -> bool:  # type: ignore[override]
        """Whether all have places of their own."""
        parts = self._usable().values()
        return bool(parts) and all(part.reads_places for part in parts)

    def fields(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of all kinds, one after the other."""
        return tuple(name for kind, part in self._usable().items() for name in part.fields([kind]))

    def states(self, names: Sequence[str]) -> tuple[str, ...]:
        """All variables that one kind or another is of."""
        found = [s for kind in self._usable() for s in self._states(kind)]
        return tuple(dict.fromkeys(found))

    def fields_of(self, state: str, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the kinds that are of the variable."""
        own = (
            self.parts[kind].fields([kind]) for kind in self.parts if state in self._states(kind)
        )
        return tuple(name for one in own for name in one)

    def check(self, grid: Grid, names: Sequence[str], problems: Problems) -> None:
        """Note kinds that are none, that are not there, or that cannot be apart."""
        if not self.check_parts(problems):
            return
        for kind, part in self.parts.items():
            own = part.fields([kind]) if kind in self._usable() else (kind,)
            if not check_operator(part, self._grid(kind, grid), own, problems, f"part {kind!r}"):
                continue
            if (part.other_grid or part.reads_places) and kind not in grid.kinds:
                what = f"part {kind!r}, {type(part).__name__}, is not on the grid of the maps"
                problems.add(what, "give all kinds as xr4dvar.Observations(...)")
            if len(part.states(own)) > 1 or part.joins_variables(grid, own):
                what = f"part {kind!r}, {type(part).__name__}, joins variables of the state"
                problems.add(what, "use it as the operator of all")
        problems.raise_if_any()
        self._check_names(names, problems)

    def check_parts(self, problems: Problems) -> bool:
        """Note parts that are no mapping, or none at all."""
        if not check_mapping("parts", self.parts, "{'ssh': Mask()}", problems):
            return False
        if not self.parts:
            problems.add("parts is empty", "name a kind, {'ssh': Mask()}")
        return bool(self.parts)

    def _check_names(self, names: Sequence[str], problems: Problems) -> None:
        """Note fields that are not there, and names of variables that are none."""
        wanted = self.fields(names)
        if len(set(wanted)) < len(wanted):
            twice = sorted({name for name in wanted if wanted.count(name) > 1})
            problems.add(f"{', '.join(map(repr, twice))}: in two parts", "rename one of them")
        elif sorted(wanted) != sorted(names):
            have, want = (", ".join(map(repr, texts)) for texts in (names, wanted))
            problems.add(f"the operator observes {want}, the data hold {have}", "select these")
        if not check_mapping("of", self.of, "{'swot': 'ssh'}", problems):
            return
        for name, state in self.of.items():
            if name not in self.parts:
                problems.add(f"of names {shown(name)}, which is no part", "correct it")
            text: object = state
            if not isinstance(text, str):
                problems.add(f"of {name!r} is {shown(text)}, no name of a variable", "correct it")

    def check_units(self, units: Mapping[str, str], problems: Problems) -> dict[str, str]:
        """Units of the state; kinds that say different things are noted."""
        found: dict[str, str] = {}
        for kind, part in self.parts.items():
            own = {name: units.get(name, "") for name in part.fields([kind])}
            given = list(part.check_units(own, problems).values())
            for state, unit in zip(self._states(kind), given, strict=True):
                if unit and found.get(state) and not same_units(found[state], unit):
                    what = f"{kind!r} gives {state!r} in {unit!r}, another part in {found[state]!r}"
                    problems.add(what, "convert one of them")
                found[state] = found.get(state) or unit
        return found

    def reach(self, grid: Grid) -> dict[Role, int]:
        """The farthest of any."""
        found: dict[Role, int] = {}
        for kind, part in self.parts.items():
            for role, cells in part.reach(self._grid(kind, grid)).items():
                found[role] = max(cells, found.get(role, 0))
        return found

    def bind(self, cells: Cells) -> Any:
        """Give all fields, each of its variable."""
        from xr4dvar.operators.binding import as_bound
        from xr4dvar.operators.layers import Layered, in_layers

        states, layers = self.states([]), []
        for kind, part in self.parts.items():
            (state,) = self._states(kind)
            own_cells = replace(cells, grid=self._grid(kind, cells.grid))
            bound = in_layers(as_bound(part.bind(own_cells), linear=part.linear))
            own = bound.layers if isinstance(bound, Layered) else [(0, bound)]
            layers += [(states.index(state), operator) for _, operator in own]
        return Layered(layers, len(states))

    def seen(self, cells: Cells) -> BoolArray | None:
        """Cells (K, T, Y, X) of each field whose observations lie in the patch."""
        found: list[BoolArray] = []
        for kind, part in self.parts.items():
            seen = part.seen(replace(cells, grid=self._grid(kind, cells.grid)))
            own = np.ones(cells.shape, dtype=bool) if seen is None else seen
            found.extend(np.broadcast_to(own, (len(part.fields([kind])), *cells.shape)))
        return None if all(one.all() for one in found) else np.stack(found)

    @staticmethod
    def _grid(kind: str, grid: Grid) -> Grid:
        """The grid of the state, with that of the observations of a kind."""
        return replace(grid, observed=grid.kinds.get(kind))

    def _usable(self) -> dict[str, Operator]:
        """Parts that are operators; `check` tells the others."""
        parts: object = self.parts
        given = parts.items() if isinstance(parts, Mapping) else ()
        return {str(kind): part for kind, part in given if isinstance(part, Operator)}

    def _states(self, kind: str) -> tuple[str, ...]:
        """Variables that a kind is of."""
        part = self.parts[kind]
        fields = part.fields([kind])
        of: object = self.of
        names = of if isinstance(of, Mapping) else {}
        state = names.get(kind, kind)
        known = [state if isinstance(state, str) else kind]
        return part.states(known if fields == (kind,) else fields)
