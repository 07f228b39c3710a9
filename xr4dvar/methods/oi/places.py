"""Where the cells of patches lie, and which lie alike."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from xr4dvar.contract.patches import Patches
from xr4dvar.types import ROLES

__all__ = ["Places", "alike", "key_of", "places_of"]

#: Positions of the cells of a patch along time, y and x.
Places: TypeAlias = tuple[Tensor, Tensor, Tensor]

#: Patches whose cells differ by less than this share of a spacing have the same prior.
SAME = 1e-6


def places_of(patches: Patches, n: int, metric: bool) -> Places:
    """Coordinates of one patch along time, y and x; 0 for an axis that is not there.

    They count from the first cell: only on the sphere does the latitude itself matter.
    """
    places = []
    for role, size in zip(ROLES, patches.y.shape[2:], strict=True):
        values = np.zeros(size)
        if role in patches.coordinates:
            values = patches.coordinates[role][n].astype(np.float64)
            values = values if metric and role == "y" else values - values[0]
        places.append(torch.as_tensor(values))
    time, y, x = places
    return time, y, x


def alike(patches: Patches, metric: bool) -> list[tuple[list[int], Places]]:
    """Group patches whose cells lie the same way to each other, and so share a prior."""
    groups: dict[Any, tuple[list[int], Places]] = {}
    for n in range(len(patches.y)):
        places = places_of(patches, n, metric)
        groups.setdefault(key_of(places), ([], places))[0].append(n)
    return list(groups.values())


def key_of(places: Places) -> tuple[object, ...]:
    """The same for positions that differ by rounding only, whatever the unit of the axis is."""
    steps = [float(p.diff().min()) if len(p) > 1 else 1.0 for p in places]
    return tuple(
        (f"{step:.6g}", np.rint(p.numpy() / (SAME * step)).astype(np.int64).tobytes())
        for p, step in zip(places, steps, strict=True)
    )
