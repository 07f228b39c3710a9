"""How a state is laid out for convolutions: which axes are their grid, which are channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["MAPS", "Layout", "LayoutGrid"]

#: Axes that convolutions run along.
LayoutGrid: TypeAlias = Literal["y-x", "time", "time-x"]


@dataclass(frozen=True)
class Layout:
    """From states (B, V, T, Y, X) to images (B, C, H, W) and back.

    Parameters
    ----------
    grid : {"y-x", "time", "time-x"}
        Maps, whose times are channels; series, whose components are; or a section, a field along
        x that changes in time.
    fold : int
        Times in a row that are channels of one place, where time is an axis of the image: a
        network then sees further at less cost.
    wraps : bool
        Whether the last axis of the image closes on itself.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.networks.layout import Layout
    >>> series = Layout("time", fold=8)
    >>> image = series.flat(torch.ones(2, 1, 200, 1, 3))
    >>> image.shape
    torch.Size([2, 24, 1, 25])
    >>> series.back(image, torch.ones(2, 1, 200, 1, 3)).shape
    torch.Size([2, 1, 200, 1, 3])
    """

    grid: LayoutGrid = "y-x"
    fold: int = 1
    wraps: bool = False

    def channels(self, shape: Sequence[int]) -> int:
        """Number of channels of states of a shape (V, T, Y, X)."""
        variables, times, y, x = shape
        per_place = {"y-x": times, "time": self.fold * y * x, "time-x": self.fold * y}
        return variables * per_place[self.grid]

    def flat(self, x: Tensor) -> Tensor:
        """Lay states (B, V, T, Y, X) out as images; times are padded with zeros at their end."""
        if self.grid == "y-x":
            return x.flatten(1, 2)
        x = functional.pad(x, (0, 0, 0, 0, 0, -x.shape[2] % self.fold))
        x = x.unflatten(2, (-1, self.fold))  # (B, V, H, fold, Y, X)
        series = self.grid == "time"
        image: Tensor = x.movedim(2, -1).flatten(1, 4) if series else x.movedim(2, -2).flatten(1, 3)
        return image[:, :, None] if series else image

    def back(self, image: Tensor, like: Tensor) -> Tensor:
        """Undo `flat`: images to states of the shape of ``like``."""
        if self.grid == "y-x":
            return image.view_as(like)
        _, variables, times, y, x = like.shape
        if self.grid == "time":
            states = image[:, :, 0].unflatten(1, (variables, self.fold, y, x)).movedim(-1, 2)
        else:
            states = image.unflatten(1, (variables, self.fold, y)).movedim(-2, 2)
        whole: Tensor = states.flatten(2, 3)[:, :, :times]
        return whole

    def join(self, *parts: Tensor | None) -> Tensor:
        """Lay out several states and put their channels behind each other."""
        return torch.cat([self.flat(part) for part in parts if part is not None], 1)

    def kernel(self, width: int) -> tuple[int, int]:
        """Size of a kernel that sees ``width`` cells along each axis of the image."""
        return (1 if self.grid == "time" else width, width)


#: Maps: convolutions along y and x, times are channels.
MAPS = Layout()
