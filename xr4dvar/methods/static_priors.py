"""Priors that are learned from complete windows, as configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from xr4dvar.arguments import as_tuple, check_count, is_count, shown
from xr4dvar.errors import Problems
from xr4dvar.methods.training_options import Training

__all__ = ["AutoEncoder", "Denoiser", "EOFs", "StaticPrior", "TwoScale"]


def _training() -> Training:
    return Training(batch_size=32, learning_rate=3e-3)


@dataclass(frozen=True)
class EOFs:
    """Empirical orthogonal functions of whole windows: a likely state is made of a few of them.

    Patterns in space and time, all variables and places of some times in a row, by a singular
    value decomposition of the target's windows about their mean.

    Parameters
    ----------
    modes : int
        How many.

    References
    ----------
    Weare and Nasstrom 1982, https://doi.org/10.1175/1520-0493(1982)110%3C0481:EOEEOF%3E2.0.CO;2

    Examples
    --------
    >>> xv.EOFs(modes=5)
    EOFs(modes=5)
    """

    modes: int = 10

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_count("modes", self.modes, problems)


@dataclass(frozen=True)
class AutoEncoder:
    """A convolutional auto-encoder of whole windows: a likely state has a short code.

    Parameters
    ----------
    code : int
        Numbers that a window is encoded by.
    hidden : int
        Channels inside.
    training : Training
        How long and how fast to learn.

    References
    ----------
    Hinton and Salakhutdinov 2006, https://doi.org/10.1126/science.1127647

    Examples
    --------
    >>> xv.AutoEncoder(code=5).training.batch_size
    32
    """

    code: int = 5
    hidden: int = 32
    training: Training = field(default_factory=_training)

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_count("code", self.code, problems)
        check_count("hidden", self.hidden, problems)
        _check_training(self.training, problems)


@dataclass(frozen=True)
class Denoiser:
    """A network that takes noise off whole windows: what it leaves alone is a likely state.

    A residual U-Net that is told the noise level, for the solver ``"plug_and_play"``.

    Parameters
    ----------
    widths : sequence of int
        Channels of the U-Net's levels.
    depth : int
        Residual blocks of each level.
    training : Training
        How long and how fast to learn.

    References
    ----------
    Zhang et al. 2022, https://doi.org/10.1109/TPAMI.2021.3088914

    Examples
    --------
    >>> xv.Denoiser(widths=(16, 32)).depth
    1
    """

    widths: Sequence[int] = (32, 64)
    depth: int = 1
    training: Training = field(default_factory=_training)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", as_tuple(self.widths))

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        widths: object = self.widths
        if not isinstance(widths, tuple) or not widths or not all(map(is_count, widths)):
            fix = "use whole numbers, at least 1, such as (32, 64)"
            problems.add(f"widths is {shown(widths)}", fix)
        check_count("depth", self.depth, problems)
        _check_training(self.training, problems)


@dataclass(frozen=True)
class TwoScale:
    """A Gibbs field: a likely state has values that those around them tell, on two scales.

    A network predicts each place from its neighbours, near and far, and never sees the place
    itself; Q is the variance of what it gets wrong. It is the network of
    ``FourDVarNet(prior="two_scale")``, learned by itself from complete windows.

    Parameters
    ----------
    width : int
        Channels inside.
    training : Training
        How long and how fast to learn.

    References
    ----------
    Fablet et al. 2021, https://doi.org/10.1029/2021MS002572

    Examples
    --------
    >>> xv.TwoScale(width=16).width
    16
    """

    width: int = 32
    training: Training = field(default_factory=_training)

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_count("width", self.width, problems)
        _check_training(self.training, problems)


#: Priors that are learned from complete windows, whatever observes them.
StaticPrior: TypeAlias = EOFs | AutoEncoder | Denoiser | TwoScale


def _check_training(training: object, problems: Problems) -> None:
    if isinstance(training, Training):
        training.check(problems)
    else:
        problems.add(f"training is {shown(training)}", "give xr4dvar.Training(...)")
