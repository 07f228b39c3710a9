"""Learning dynamics: trajectories of the model that are those of the data."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from xr4dvar.contract.training_data import BlockBox, TrainingData
from xr4dvar.dynamics import Flow, QuadraticTendency, Scaled
from xr4dvar.dynamics.identification import Segments, horizon, identify, learned_parameters
from xr4dvar.dynamics.integrators import trajectory
from xr4dvar.dynamics.model import Dynamics, flow_of
from xr4dvar.dynamics.regression import regress
from xr4dvar.errors import InputError

__all__ = [
    "SHORT",
    "component_names",
    "first_flow",
    "flow_from_target",
    "identifiable",
    "match",
    "polynomial_of",
    "training_windows",
]

log = logging.getLogger("xr4dvar")

#: Times that are learned from, at most: what more would say of a few coefficients is little.
MOST_TIMES = 10_000
#: Times of the pieces of trajectories that come first: with a model that is not good yet.
SHORT, SHORTEST = 20, 2
#: Parameters up to which Gauss-Newton, whose matrix they fill, goes on from the regression.
MOST_PARAMETERS = 2000
#: When a stage that is not the last one has come near enough: relative gain of a step.
ROUGHLY = 1e-3
#: Cost of longer pieces over that of shorter ones, of the same data, that another minimum has.
WORSE = 2.0


def component_names(data: TrainingData) -> list[str]:
    """What the numbers of a state are called: by variable, or by cell, or by both."""
    cells = [""]
    for role in ("y", "x"):
        if role in data.grid.roles:
            coordinate = data.grid[role]
            labels = coordinate.labels or [f"{value:g}" for value in coordinate.values]
            cells = [f"{cell} {label}".strip() for cell in cells for label in labels]
    if len(data.names) == 1 and len(cells) > 1:
        return cells
    return [f"{name} {cell}".strip() for name in data.names for cell in cells]


def flow_from_target(dynamics: Dynamics, data: TrainingData, seed: int) -> Flow:
    """The flow whose trajectories are those of the target."""
    y = training_windows(data, seed)
    flow, states = first_flow(dynamics, data, y)
    if _too_many(flow):
        if not identifiable(flow):
            what = f"{type(dynamics).__name__} has more than {MOST_PARAMETERS} parameters to learn"
            raise InputError([(what, "give fewer, or learned=False with what was learned before")])
        log.info("the model has too many coefficients to be refined: they come from a regression")
        return flow
    mean, spread = _moments(y)
    # the noise of a target is not known: it is taken to be more than a thousandth of the spread
    known = mean, 1e-6 * torch.diag(spread**-2)
    weight = torch.isfinite(y) / spread**2
    match(flow, states, y, weight, known, SHORT)
    return flow


def polynomial_of(flow: Flow) -> Scaled | None:
    """The tendency of a model that is all learned."""
    tendency: object = flow.tendency
    if isinstance(tendency, Scaled) and isinstance(tendency.tendency, QuadraticTendency):
        return tendency
    return None


def first_flow(dynamics: Dynamics, data: TrainingData, y: Tensor) -> tuple[Flow, Tensor]:
    """The model before it is refined, and the states (W, T, n) with their gaps filled."""
    if y.shape[1] < 2:
        what = f"there is {y.shape[1]} time to learn from, and a model leads from one to the next"
        raise InputError([(what, "give more times")])
    flow = flow_of(dynamics, data.grid["time"].spacing, y.shape[-1])
    if not isinstance(flow, Flow):
        what = f"{type(dynamics).__name__} has no rates of change that could be learned"
        raise InputError([(what, "give a model such as QuadraticODE or Corrected")])
    states, (mean, spread) = _interpolated(y), _moments(y)
    for part in flow.modules():
        if isinstance(part, Scaled):
            part.scale(mean, spread)
    if (tendency := polynomial_of(flow)) is not None:
        _check_seen(y, data)
        regress(tendency, states, torch.isfinite(y).all(-1), flow.interval)
    return flow, states


def _check_seen(y: Tensor, data: TrainingData) -> None:
    """Refuse components that are never known: anything could be learned of them."""
    seen = torch.isfinite(y).flatten(0, 1).any(0).tolist()
    names = component_names(data)
    if missing := [name for name, known in zip(names, seen, strict=True) if not known]:
        what = f"{', '.join(map(repr, missing))} is never known, and a QuadraticODE is all learned"
        raise InputError([(what, "give target=, or a known model with what is to be learned")])


def identifiable(step: object) -> bool:
    """Whether what a model learns can be found from trajectories: of equations, few enough."""
    return isinstance(step, Flow) and not (_too_many(step) and polynomial_of(step) is None)


def _too_many(flow: Flow) -> bool:
    return sum(p.numel() for p in learned_parameters(flow).values()) > MOST_PARAMETERS


def training_windows(data: TrainingData, seed: int) -> Tensor:
    """What may be learned from, NaN where it is not known: target or observations, (W, T, n).

    Windows are drawn at random where they are more than are needed.
    """
    whole = data.sizes(data.train)
    batch = data.shape[: len(data.shape) - len(whole)]
    entries = list(np.ndindex(*batch))
    if data.train_entries is not None:
        entries = [e for e in entries if data.train_entries[0] <= e[0] < data.train_entries[1]]
    count = max(1, MOST_TIMES // whole["time"])
    chosen = np.random.default_rng(seed).permutation(len(entries))[:count]
    slices = data.train_box(whole).slices
    found = []
    for number in sorted(chosen.tolist()):
        y, target = data.fields(BlockBox(entries[number], slices))
        values = y if target is None else target
        found.append(np.moveaxis(values, 1, 0).reshape(values.shape[1], -1))
    return torch.from_numpy(np.stack(found).astype(np.float64))


def _moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of each component where it is known, 0 and 1 of one that never is."""
    values = y.flatten(0, 1).numpy()
    seen = np.isfinite(values)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, values, 0).sum(0) / count
    spread = np.sqrt((np.where(seen, values - mean, 0) ** 2).sum(0) / count)
    return torch.from_numpy(mean), torch.from_numpy(np.where(spread > 0, spread, 1.0))


def _interpolated(y: Tensor) -> Tensor:
    """Gaps along time filled in a straight line; components that are never known, with 0."""
    filled = y.clone().numpy()
    for window in filled:
        for column in window.T:
            seen = np.flatnonzero(np.isfinite(column))
            times = np.arange(len(column))
            column[:] = np.interp(times, seen, column[seen]) if len(seen) else 0.0
    return torch.from_numpy(filled)


def match(
    flow: Flow, states: Tensor, y: Tensor, weight: Tensor, known: tuple[Tensor, Tensor], length: int
) -> Tensor:
    """Fit trajectories of about that length, then longer and longer ones; give their states.

    Each stage starts from the states of the one before, so that it is near its minimum. A model
    that is too bad at first to go that far begins with shorter ones. Where a longer stage comes
    to another minimum, which costs far more, the one before is kept.
    """
    windows, times, n = y.shape
    values, least = torch.where(torch.isfinite(y), y, 0.0), math.inf
    while True:
        length = min(length, times)
        size = times // -(-times // length)  # pieces that are all alike

        def cut(array: Tensor, size: int = size) -> Tensor:
            return array.unfold(1, size, size).movedim(-1, 2).flatten(0, 1)

        before = {name: value.clone() for name, value in flow.state_dict().items()}
        pieces = Segments(cut(values), cut(weight), cut(states)[:, 0], *known)
        first, cost = identify(flow, pieces, tolerance=ROUGHLY)
        if math.isinf(least) and not math.isfinite(cost) and length > SHORTEST:
            length //= 2
            continue
        if not cost <= WORSE * least:  # which what is not a number is not, either
            flow.load_state_dict(before)
            return states
        least = cost
        with torch.no_grad():
            found = trajectory(flow, first, size).view(windows, -1, n)
        states = torch.cat([found, states[:, found.shape[1] :]], 1)
        reach = horizon(flow, states)
        if length >= reach:
            identify(flow, replace(pieces, first=first))
            return states
        length = min(2 * length, reach)
