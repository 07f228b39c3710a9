"""Models in files: the same after a round trip, whole or not at all, and nothing else is read."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.numpy import load_file, save_file

import xr4dvar as xv
from xr4dvar import persistence

METHODS = ["linear", "oi", "net"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("method", METHODS)
def test_round_trip(
    method: str, models: dict[str, xv.Model], obs: xr.DataArray, path: Path
) -> None:
    model = models[method]
    model.save(str(path))
    back = xv.load(path)
    assert back.digest == model.digest
    assert back.method == model.method
    assert repr(back) == repr(model)
    assert back.arrays.keys() == model.arrays.keys()
    np.testing.assert_array_equal(xv.reconstruct(obs, back), xv.reconstruct(obs, model))


def test_round_trip_of_a_model_with_a_mean_map_and_two_variables(
    obs: xr.DataArray, waves: xr.DataArray, tiny_net: xv.FourDVarNet, path: Path
) -> None:
    both = xr.Dataset({"ssh": obs, "u": 2 * obs})
    oi = replace(tiny_net.background, mean="map")  # type: ignore[type-var]
    model = xv.fit(both, replace(tiny_net, background=oi))
    model.save(path)
    assert any(name.startswith("background/ssh/mean") for name in load_file(path))
    back = xv.load(path)
    assert back.digest == model.digest
    xr.testing.assert_equal(xv.reconstruct(both, back), xv.reconstruct(both, model))


def test_in_a_fresh_process(models: dict[str, xv.Model], obs: xr.DataArray, path: Path) -> None:
    models["net"].save(path)
    obs.to_netcdf(path.with_name("obs.nc"))
    code = (
        "import xarray as xr, xr4dvar as xv; model = xv.load('model.safetensors');"
        "obs = xr.open_dataarray('obs.nc').load();"
        "obs.fourdvar.reconstruct(model).to_netcdf('maps.nc'); print(model.digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=path.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == models["net"].digest
    with xr.open_dataarray(path.with_name("maps.nc")) as maps:
        np.testing.assert_array_equal(maps, xv.reconstruct(obs, models["net"]))


def test_history_is_not_kept(models: dict[str, xv.Model], path: Path) -> None:
    """As `Model.history` says: it tells of the fit, which a loaded model has not seen."""
    assert models["net"].history is not None
    models["net"].save(path)
    assert xv.load(path).history is None


def test_the_file_is_plain_safetensors(models: dict[str, xv.Model], path: Path) -> None:
    """A length, a JSON header, numbers: no code, and other programs can read it."""
    models["net"].save(path)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])["__metadata__"]
    assert header["format"] == "xr4dvar-model"
    assert header["xr4dvar_version"] == xv.__version__
    assert json.loads(header["model"])["method"]["name"] == "FourDVarNet"
    weights = load_file(path)
    assert weights.keys() == models["net"].arrays.keys()


def test_rights_of_the_file_are_the_usual_ones(models: dict[str, xv.Model], path: Path) -> None:
    path.with_name("usual").write_bytes(b"")
    models["oi"].save(path)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(path.with_name("usual").stat().st_mode)


def test_an_existing_file_is_kept(models: dict[str, xv.Model], path: Path) -> None:
    models["oi"].save(path)
    with pytest.raises(xv.InputError, match=r"model\.safetensors' exists; fix: .*overwrite=True"):
        models["net"].save(path)
    assert xv.load(path).digest == models["oi"].digest
    models["net"].save(path, overwrite=True)
    assert xv.load(path).digest == models["net"].digest


class FullDisk(io.FileIO):
    """Takes some bytes, then there is no space left."""

    def write(self, data: Any) -> int:
        super().write(bytes(data)[:100])
        raise OSError(errno.ENOSPC, "No space left on device")


def full_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "open", lambda self, mode: FullDisk(self, mode))


def refuse(error: BaseException) -> Callable[..., None]:
    def raise_it(*args: object) -> None:
        raise error

    return raise_it


def no_rename(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(persistence.os, "replace", refuse(OSError(errno.EACCES, "Permission denied")))


def ctrl_c(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(persistence.os, "fsync", refuse(KeyboardInterrupt()))


@pytest.mark.parametrize(
    ("failure", "error", "words"),
    [
        (full_disk, xv.InputError, "No space left on device; fix: .*space"),
        (no_rename, xv.InputError, "Permission denied; fix: .*written"),
        (ctrl_c, KeyboardInterrupt, "^$"),
    ],
)
@pytest.mark.parametrize("existed", [False, True])
def test_a_failure_leaves_what_was_there(
    failure: Callable[[pytest.MonkeyPatch], None],
    error: type[BaseException],
    words: str,
    existed: bool,
    models: dict[str, xv.Model],
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if existed:
        models["oi"].save(path)
    with monkeypatch.context() as patch:
        failure(patch)
        with pytest.raises(error, match=words):
            models["net"].save(path, overwrite=existed)
    assert [p.name for p in path.parent.iterdir()] == [path.name] * existed
    if existed:
        assert xv.load(path).digest == models["oi"].digest
    models["net"].save(path, overwrite=existed)
    assert xv.load(path).digest == models["net"].digest


def test_where_no_file_can_be(models: dict[str, xv.Model], tmp_path: Path) -> None:
    with pytest.raises(xv.InputError, match=r"no folder '.*absent'; fix: make it"):
        models["oi"].save(tmp_path / "absent" / "m.safetensors")
    with pytest.raises(xv.InputError, match="is no file; fix: give the name of a file"):
        models["oi"].save(tmp_path, overwrite=True)
    assert not list(tmp_path.iterdir())
    if Path(os.devnull).is_char_device():  # replacing it would harm the machine
        with pytest.raises(xv.InputError, match="is no file"):
            models["oi"].save(os.devnull, overwrite=True)


def metadata(path: Path) -> dict[str, str]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found


def rewrite(path: Path, **changes: str | None) -> None:
    """The same weights with another header."""
    header = metadata(path) | changes
    save_file(load_file(path), path, {k: v for k, v in header.items() if v is not None})


def change_model(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    config = json.loads(metadata(path)["model"])
    change(config)
    rewrite(path, model=json.dumps(config))


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def cut_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def flip_a_weight(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)


def as_torch(path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, path)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncate, "is damaged or no safetensors file"),
    "cut in the header": (cut_header, "is damaged or no safetensors file"),
    "empty": (lambda p: p.write_bytes(b""), "is damaged or no safetensors file"),
    "a weight changed": (flip_a_weight, "its weights do not match their digest"),
    "a setting changed": (
        lambda p: change_model(p, lambda c: c.update(seed=9)), "do not match their digest"
    ),
    "a text": (lambda p: p.write_text("weights"), "is damaged or no safetensors file"),
    "a pickle": (
        lambda p: p.write_bytes(pickle.dumps(Malicious())), "pickled files are never read"
    ),
    "a file of torch": (as_torch, "pickled files are never read"),
    "safetensors of another program": (
        lambda p: save_file({"a": np.ones(2)}, p), "is a safetensors file, but no xr4dvar model"
    ),
    "of a newer format": (
        lambda p: rewrite(p, format_version="2", xr4dvar_version="9.1"),
        "was written by xr4dvar 9.1 in format 2, this version reads up to 1; fix: update xr4dvar",
    ),
    "of an odd format": (lambda p: rewrite(p, format_version="two"), "in format two"),
    "without a model": (lambda p: rewrite(p, model=None), "the header of .* is damaged"),
    "with half a model": (lambda p: rewrite(p, model='{"method"'), "the header of .* is damaged"),
    "with a model that lacks its grid": (
        lambda p: change_model(p, lambda c: c.pop("grid")), "the header of .* is damaged"
    ),
    "with an unknown method": (
        lambda p: change_model(p, lambda c: c["method"].update(name="NewVarNet")),
        "'NewVarNet' is unknown to this version",
    ),
    "with an unknown setting": (
        lambda p: change_model(p, lambda c: c["method"].update(colour=3)), "unknown to this version"
    ),
    "with settings for a method": (
        lambda p: change_model(p, lambda c: c.update(method=c["method"]["training"])),
        "method is Training, not a method",
    ),
    "with a text for a method": (
        lambda p: change_model(p, lambda c: c.update(method="net")), "method is 'net'"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_not_read(
    what: str, models: dict[str, xv.Model], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    spoil, words = BROKEN[what]
    models["net"].save(path)
    spoil(path)
    with pytest.raises(xv.ModelFileError, match=words) as caught:
        xv.load(path)
    assert path.name in str(caught.value) or "this version" in words or "method" in words
    assert not Path("pwned").exists()


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(xv.ModelFileError, match=r"absent\.safetensors' does not exist"):
        xv.load(tmp_path / "absent.safetensors")
    with pytest.raises(xv.ModelFileError, match="is no file"):
        xv.load(tmp_path)
