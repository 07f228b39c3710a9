"""The file that a training run which was cut off goes on from."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xr4dvar.errors import InputError
from xr4dvar.training.progress import Progress

__all__ = ["Checkpoint"]

log = logging.getLogger("xr4dvar")


class Checkpoint:
    """One file that a run which was cut off goes on from; written whole or not at all.

    A safetensors file: the tensors, and everything else as JSON in its header. Reading one runs
    no code, whoever made it.
    """

    def __init__(self, path: str | None, identity: dict[str, Any]):
        self.path = None if path is None else Path(path)
        text = json.dumps(identity, sort_keys=True, default=str)
        self.identity = _digest(text.encode())

    def load(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        if self.path is None or not self.path.exists():
            return
        try:
            identity, state = _read(self.path)
            if identity == self.identity:
                network.load_state_dict(state["network"])
                optimizer.load_state_dict(state["optimizer"])
                progress.restore(state["progress"])
        except Exception as error:  # whatever a reader may raise of bytes that anybody has made
            what = f"checkpoint {str(self.path)!r} cannot be read ({type(error).__name__})"
            raise InputError([(what, "delete it to start again")]) from error
        if identity != self.identity:
            what = f"checkpoint {str(self.path)!r} is of another fit"
            fix = "repeat the same call, delete the file, or give another path"
            raise InputError([(what, fix)])
        log.info("going on from step %d of %s", progress.step, self.path)

    def save(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        if self.path is None:
            return
        state = {
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "progress": progress.state(),
        }
        partial = self.path.with_name(self.path.name + ".partial")
        try:
            partial.write_bytes(_to_bytes(self.identity, state))
            os.replace(partial, self.path)
        except OSError as error:
            what = f"checkpoint {str(self.path)!r} cannot be written: {error}"
            fix = "check that its folder may be written to and has space left"
            raise InputError([(what, fix)]) from error
        finally:
            partial.unlink(missing_ok=True)


def _to_bytes(identity: str, state: dict[str, Any]) -> bytes:
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    text = json.dumps(_flat(state, tensors))
    # the content knows its digest, so that no bit of it can change unseen
    header = {"identity": identity, "state": text, "digest": _content(text, tensors)}
    return save(tensors, header)


def _read(path: Path) -> tuple[str, Any]:
    """The identity of a checkpoint, and its state on the CPU."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if header["digest"] != _content(header["state"], tensors):
        raise ValueError("the content does not match its digest")
    return header["identity"], _nested(json.loads(header["state"]), tensors)


def _flat(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Plain values for JSON; tensors are put aside, each replaced by its number."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, dict):  # pairs, for JSON has no keys but texts
        return {"pairs": [[key, _flat(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_flat(item, tensors) for item in value]
    return value


def _nested(value: Any, tensors: dict[str, Tensor]) -> Any:
    """What `_flat` was given; tuples are lists now."""
    if isinstance(value, list):
        return [_nested(item, tensors) for item in value]
    if isinstance(value, dict) and "tensor" in value:
        return tensors[value["tensor"]]
    if isinstance(value, dict):
        return {key: _nested(item, tensors) for key, item in value["pairs"]}
    return value


def _content(text: str, tensors: dict[str, Tensor]) -> str:
    parts = [text.encode()]
    for name, tensor in sorted(tensors.items()):
        parts.append(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        parts.append(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return _digest(b"".join(parts))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
