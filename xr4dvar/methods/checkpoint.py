"""The file that a training run which was cut off goes on from."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xr4dvar.errors import InputError
from xr4dvar.methods.training_progress import Progress

__all__ = ["Checkpoint"]

log = logging.getLogger("xr4dvar")


class Checkpoint:
    """One file that a run which was cut off goes on from; written whole or not at all."""

    def __init__(self, path: str | None, identity: dict[str, Any]):
        self.path = None if path is None else Path(path)
        text = json.dumps(identity, sort_keys=True, default=str)
        self.identity = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def load(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        if self.path is None or not self.path.exists():
            return
        try:
            state = torch.load(self.path, weights_only=True)
            identity = state["identity"]
        except Exception as error:
            what = f"checkpoint {str(self.path)!r} cannot be read ({type(error).__name__})"
            raise InputError([(what, "delete it to start again")]) from error
        if identity != self.identity:
            raise InputError(
                [
                    (
                        f"checkpoint {str(self.path)!r} is of another fit",
                        "repeat the same call, delete the file, or give another path",
                    )
                ]
            )
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        progress.restore(state["progress"])
        log.info("going on from step %d of %s", progress.step, self.path)

    def save(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        if self.path is None:
            return
        state = {
            "identity": self.identity,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "progress": progress.state(),
        }
        partial = self.path.with_name(self.path.name + ".partial")
        try:
            torch.save(state, partial)
            os.replace(partial, self.path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            what = f"checkpoint {str(self.path)!r} cannot be written: {error}"
            fix = "check that its folder may be written to and has space left"
            raise InputError([(what, fix)]) from error
        finally:
            partial.unlink(missing_ok=True)
