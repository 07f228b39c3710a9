"""The training loop: steps, validation, checkpoints; the same for every learned method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from xr4dvar.contract.method import FitOptions
from xr4dvar.errors import InputError
from xr4dvar.progress import progress_bar
from xr4dvar.training.checkpoint import Checkpoint
from xr4dvar.training.device import make_fabric
from xr4dvar.training.progress import Progress
from xr4dvar.training.sampler import Sample
from xr4dvar.training_options import Training

__all__ = ["train"]

#: Loss of each sample (B,) and the parts it is made of, from a network and a sample.
Loss = Callable[[nn.Module, Sample], tuple[Tensor, dict[str, Tensor]]]


def train(
    network: nn.Module,
    loss: Loss,
    sample: Callable[[int, int], Sample],
    validate: Callable[[nn.Module], float],
    training: Training,
    options: FitOptions,
    identity: dict[str, Any],
) -> tuple[dict[str, np.ndarray], xr.Dataset]:
    """Train a network.

    Parameters
    ----------
    network : Module
    loss : callable
        ``(network, sample) -> (loss of each patch, its parts)``.
    sample : callable
        ``(step, rank) -> Sample``.
    validate : callable
        ``network -> score``, smaller is better.
    training : Training
    options : FitOptions
    identity : dict
        What a checkpoint must have been written for to be gone on with.

    Returns
    -------
    weights : dict of numpy.ndarray
        The best validated ones.
    history : xarray.Dataset
        Along ``epoch``: losses, validation, learning rate, seconds.

    Raises
    ------
    InputError
        The checkpoint is of another fit, or the loss or its gradient is not finite.
    """
    fabric = make_fabric(options)
    fabric.launch()
    optimizer = torch.optim.AdamW(_groups(network), lr=training.learning_rate)
    model, optimizer = fabric.setup(network, optimizer)
    progress = Progress(training, dict(network.state_dict()))
    checkpoint = Checkpoint(options.checkpoint, identity)
    checkpoint.load(network, optimizer, progress)
    # half precision overflows at times: its gradient scaler leaves such a step out
    overflows = options.precision == "16-mixed"
    with progress_bar(training.steps, "training", options.progress, progress.step) as bar:
        while not progress.finished:
            step = progress.step
            values = _step(fabric, model, optimizer, loss, sample, training, step, overflows)
            progress.after_step(network, values)
            bar.update(1)
            if progress.epoch_ends:
                progress.after_epoch(network, validate)
                bar.set_postfix_str(progress.summary)
                if fabric.global_rank == 0:
                    checkpoint.save(network, optimizer, progress)
    return {name: value.cpu().numpy() for name, value in progress.best.items()}, progress.history()


def _groups(network: nn.Module) -> list[dict[str, Any]]:
    """Weights decay; numbers that mean something, such as those of a model, do not."""
    weights = [parameter for parameter in network.parameters() if parameter.ndim]
    numbers = [parameter for parameter in network.parameters() if not parameter.ndim]
    return [{"params": weights}, {"params": numbers, "weight_decay": 0.0}]


def _step(
    fabric: Any,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    sample: Callable[[int, int], Sample],
    training: Training,
    step: int,
    overflows: bool,
) -> dict[str, float]:
    """One gradient step; gives the mean loss and its parts."""
    for group in optimizer.param_groups:
        group["lr"] = training.rate(step)
    model.train()
    per_patch, parts = loss(model, sample(step, fabric.global_rank))
    total = per_patch.mean()
    if not bool(torch.isfinite(total)):
        what = f"the training loss is {total.item()} at step {step}"
        raise InputError([(what, "lower learning_rate")])
    optimizer.zero_grad()
    fabric.backward(total)
    norm = fabric.clip_gradients(
        model, optimizer, max_norm=training.gradient_clip, error_if_nonfinite=False
    )
    if not overflows and not bool(torch.isfinite(norm)):
        raise InputError([(f"the gradient is not finite at step {step}", "lower learning_rate")])
    optimizer.step()
    return {"loss": total.item(), **{name: part.mean().item() for name, part in parts.items()}}
