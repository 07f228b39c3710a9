"""Plans, arrays and chunks of any kind, and a solver whose result depends on all it is given."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from xr4dvar.tiling import Plan, Windows


@st.composite
def plans(draw: st.DrawFn, max_ndim: int = 4) -> Plan:
    ndim = draw(st.integers(1, max_ndim))
    windows = []
    for _ in range(ndim):
        size = draw(st.integers(1, {1: 40, 2: 16, 3: 9, 4: 6}[ndim]))
        if draw(st.integers(0, 3)) == 0:  # a batch axis
            windows.append(Windows(size, 1, 1))
            continue
        patch = draw(st.integers(1, size))
        stride = draw(st.integers(max(1, patch // 3), patch))
        windows.append(Windows(size, patch, stride, draw(st.booleans())))
    return Plan(tuple(windows))


@st.composite
def chunks_of(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    borders = draw(st.sets(st.integers(1, size), max_size=min(size, 6)))
    return tuple(int(n) for n in np.diff(sorted({0, size, *borders})))


@st.composite
def plans_and_chunks(draw: st.DrawFn) -> tuple[Plan, tuple[tuple[int, ...], ...]]:
    plan = draw(plans())
    return plan, tuple(draw(chunks_of(size)) for size in plan.shape)


def random_array(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def identity(patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
    return patches[0][:, np.newaxis]


class PlaceAndContent:
    """Two outputs that depend on where a patch lies and on all of its values; counts origins."""

    def __init__(self) -> None:
        self.origins: list[tuple[int, ...]] = []

    def __call__(self, patches: list[np.ndarray], origins: np.ndarray) -> np.ndarray:
        self.origins += [tuple(origin) for origin in origins.tolist()]
        axes = tuple(range(1, patches[0].ndim))
        mean = patches[0].mean(axis=axes, keepdims=True)
        place = (origins @ np.arange(1, origins.shape[1] + 1)).reshape(mean.shape)
        position = np.cumsum(np.ones(patches[0].shape[1:]).ravel()).reshape(patches[0].shape[1:])
        return np.stack([patches[0] * position + mean, patches[-1] + np.sin(place)], axis=1)


def brute_force(fields: list[np.ndarray], plan: Plan, n_out: int) -> np.ndarray:
    """The definition: weighted means over all patches, cell by cell."""
    total, weights = np.zeros((n_out, *plan.shape)), np.zeros(plan.shape)
    solve = PlaceAndContent()
    for origin in plan.origins():
        cells = np.ix_(
            *((o + np.arange(w.patch)) % w.size for o, w in zip(origin, plan.windows, strict=True))
        )
        solved = solve([field[cells][np.newaxis] for field in fields], origin[np.newaxis])[0]
        for offset in np.ndindex(*plan.patch_shape):
            cell = tuple((origin + offset) % plan.shape)
            weight = np.prod([w.weight[k] for w, k in zip(plan.windows, offset, strict=True)])
            total[(slice(None), *cell)] += weight * solved[(slice(None), *offset)]
            weights[cell] += weight
    return total / weights
