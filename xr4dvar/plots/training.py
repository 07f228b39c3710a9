"""The training curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

_LOSSES = {"train_loss": "training", "validation_loss": "validation"}


def plot_training(history: xr.Dataset) -> Figure:
    """Draw training and validation loss, the best validation marked, and the learning rate.

    Parameters
    ----------
    history : Dataset
        As a fitted model has it: ``train_loss`` and, if there are, ``validation_loss`` and
        ``learning_rate`` along one dimension, epoch or step.

    Returns
    -------
    matplotlib.figure.Figure
        With axes of the losses and, below, of the learning rate.

    Raises
    ------
    InputError
        If there is no loss, or it is not along one dimension.

    Examples
    --------
    >>> loss = ("epoch", np.array([1.0, 0.5, 0.3]))
    >>> validation = ("epoch", np.array([1.1, 0.6, 0.7]))
    >>> history = xr.Dataset({"train_loss": loss, "validation_loss": validation})
    >>> plot_training(history).axes[0].get_ylabel()
    'loss'
    """
    style.pyplot()
    given: object = history  # a method that was not trained has none
    if not isinstance(given, xr.Dataset):
        what = f"history is a {type(given).__name__}, not a Dataset"
        raise InputError([(what, "pass the history of a fitted model, model.history")])
    losses = {name: history[name] for name in _LOSSES if name in history}
    if not losses or any(loss.ndim != 1 for loss in losses.values()):
        found = {str(name): list(value.dims) for name, value in history.items()}
        problem = f"history has no losses along one dimension, but {found}"
        raise InputError([(problem, "pass the history of a fitted model")])
    with_rate = "learning_rate" in history
    rows = {"nrows": 2, "height_ratios": [3, 1]} if with_rate else {"nrows": 1}
    figure = style.figure((6.0, 4.6 if with_rate else 3.6), "constrained")
    panels = figure.subplots(**rows, sharex=True, squeeze=False)[:, 0]
    _draw_losses(panels[0], losses)
    if with_rate:
        rate = history["learning_rate"]
        panels[1].plot(_steps(rate), rate.values, color="0.3")
        panels[1].set_ylabel("learning rate")
        panels[1].set_ylim(bottom=0)
    panels[-1].set_xlabel(str(next(iter(losses.values())).dims[0]))
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    figure.align_ylabels()
    return figure


def _draw_losses(panel: Panel, losses: dict[str, xr.DataArray]) -> None:
    # the validation is drawn first and on top: it is the one to look at
    colours: dict[str, Any] = {"train_loss": "0.6", "validation_loss": style.COLORS[1]}
    for name, loss in losses.items():
        seen = np.isfinite(loss.values)
        panel.plot(_steps(loss)[seen], loss.values[seen], color=colours[name], label=_LOSSES[name])
    validation = losses.get("validation_loss")
    if validation is not None and bool(np.isfinite(validation.values).any()):
        best = int(np.nanargmin(validation.values))
        step, value = _steps(validation)[best], float(validation.values[best])
        words = f"best: {value:.3g} at {validation.dims[0]} {step:g}"
        panel.plot(step, value, "o", color=style.COLORS[0], label=words, zorder=3)
    if all((loss.values[np.isfinite(loss.values)] > 0).all() for loss in losses.values()):
        panel.set_yscale("log")
    unit = next(iter(losses.values())).attrs.get("units", "1")
    panel.set_ylabel("loss" if unit == "1" else f"loss ({unit})")
    panel.legend(frameon=False)


def _steps(values: xr.DataArray) -> Any:
    return values[values.dims[0]].values
