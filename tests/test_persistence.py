"""Models in files: the same after a round trip, whole or not at all, and nothing else is read."""

from __future__ import annotations

import errno
import hashlib
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
import safetensors.torch
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


def test_history_is_kept(models: dict[str, xv.Model], path: Path) -> None:
    """Bit by bit, with the types, attributes and coordinates; that of a background too."""
    net = models["net"]
    assert net.history is not None
    strange = xr.Dataset(
        {"loss": ("iteration", [0.1 + 0.2, np.nan, np.inf, 5e-324])},
        {"iteration": [1, 2, 3, 4], "component": ["x", "y"]},
        {"best": np.int64(3)},
    )
    oi = replace(models["oi"], parameters=replace(models["oi"].parameters, history=strange))
    replace(net, background=oi).save(path)
    back = xv.load(path)
    assert back.history is not None
    assert back.history.identical(net.history)
    assert back.history.epoch.dtype == net.history.epoch.dtype
    assert back.background is not None
    assert back.background.history is not None
    assert back.background.history.identical(strange)
    models["linear"].save(path, overwrite=True)
    assert xv.load(path).history is None


@pytest.mark.parametrize("method", METHODS)
def test_the_same_model_gives_the_same_bytes(
    method: str, models: dict[str, xv.Model], path: Path
) -> None:
    """safetensors alone writes its header in an order that changes from save to save."""
    models[method].save(path)
    content = path.read_bytes()
    for _ in range(5):
        models[method].save(path, overwrite=True)
        assert path.read_bytes() == content
    xv.load(path).save(path, overwrite=True)
    assert path.read_bytes() == content


def test_files_of_before_the_history_was_kept(models: dict[str, xv.Model], path: Path) -> None:
    models["net"].save(path)
    rewrite(path, history=None, history_digest=None)
    back = xv.load(path)
    assert back.digest == models["net"].digest
    assert back.history is None


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


def digest_of(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """The digest that belongs to a header, as whoever means harm would write it."""
    total = hashlib.blake2b(digest_size=16)
    total.update(json.dumps(config, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        total.update(f"{name}{array.dtype}{array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def forge(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the header's model, with the digest that belongs to it."""
    config = json.loads(metadata(path)["model"])
    change(config)
    rewrite(path, model=json.dumps(config), digest=digest_of(config, load_file(path)))


def nested(depth: int) -> Callable[[Path], None]:
    """Backgrounds of backgrounds."""

    def spoil(path: Path) -> None:
        one = json.loads(metadata(path)["model"])["background"]
        text = json.dumps(one)
        for _ in range(depth):
            text = json.dumps(one).replace('"background": null}', '"background": ' + text + "}")
        assert text.count('"seed"') == depth + 1
        rewrite(path, model=text)

    return spoil


def of_dtype(dtype: torch.dtype) -> Callable[[Path], None]:
    """One weight in a type that numpy has not."""

    def spoil(path: Path) -> None:
        header = metadata(path)
        weights = safetensors.torch.load_file(path)
        name = next(iter(weights))
        weights[name] = weights[name].to(dtype)
        safetensors.torch.save_file(weights, path, header)

    return spoil


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
    "of format 2 in Arabic": (lambda p: rewrite(p, format_version="\u0662"), "in format \u0662"),
    "of format 1 in Arabic": (lambda p: rewrite(p, format_version="\u0661"), "in format \u0661"),
    "of format squared": (lambda p: rewrite(p, format_version="\u00b2"), "in format \u00b2"),
    "of format zero": (lambda p: rewrite(p, format_version="0"), "in format 0"),
    "without a format": (lambda p: rewrite(p, format_version=None), "update xr4dvar"),
    "bf16": (of_dtype(torch.bfloat16), "is damaged or no safetensors file"),
    "f8": (of_dtype(torch.float8_e4m3fn), "is damaged or no safetensors file"),
    "deep JSON": (lambda p: rewrite(p, model="[" * 9000 + "]" * 9000), "header of .* is damaged"),
    "deep history": (lambda p: rewrite(p, history="[" * 9000 + "]" * 9000), "is damaged"),
    "many backgrounds": (nested(900), "the header of .* is damaged"),
    "more backgrounds than a model has": (nested(25), "more than 20 backgrounds"),
    "seed without end": (lambda p: forge(p, lambda c: c.update(seed=np.inf)), "seed is inf"),
    "seed of half": (lambda p: forge(p, lambda c: c.update(seed=0.5)), "seed is 0.5, not a whole"),
    "settings that are a list": (
        lambda p: forge(p, lambda c: c.update(settings=[])), r"settings is \[\], not a mapping"
    ),
    "variables that are a text": (
        lambda p: forge(p, lambda c: c.update(variables="ssh")), "variables is 'ssh', not a mapping"
    ),
    "units that are a number": (
        lambda p: forge(p, lambda c: c["variables"].update(ssh=3)), "units of 'ssh' are 3, not a"
    ),
    "no axes": (lambda p: forge(p, lambda c: c["grid"].update(axes=None)), "header .* is damaged"),
    "an axis of nothing": (
        lambda p: forge(p, lambda c: c["grid"]["axes"].update(y={})), "header of .* is damaged"
    ),
    "a spacing that is a text": (
        lambda p: forge(p, lambda c: c["grid"]["axes"]["y"].update(spacing="1")),
        "spacing of 'y' is '1', not a number",
    ),
    "another history": (
        lambda p: rewrite(p, history=metadata(p)["history"].replace("1", "2")), "is damaged"
    ),
    "a history that is none": (lambda p: rewrite(p, history="[3]"), "header of .* is damaged"),
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


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    """A file with some bits, bytes or a piece of it changed, mostly in its header."""
    size = int.from_bytes(content[:8], "little")
    end = 8 + size if generator.random() < 0.8 else len(content)
    changed = bytearray(content)
    for _ in range(int(generator.integers(1, 4))):
        if len(changed) < 2:
            break
        place, other = generator.integers(min(end, len(changed)), size=2).tolist()
        length = int(generator.integers(1, 30))
        match generator.integers(7):
            case 0:
                changed[place] ^= 1 << int(generator.integers(8))
            case 1:
                changed[place] = int(generator.integers(256))
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place:place] = changed[other : other + length]
            case 4:
                changed[place : place + length] = changed[other : other + length]
            case 5:
                changed[place:place] = generator.choice(TOKENS).encode()
            case 6:
                del changed[max(1, place) :]
    if generator.random() < 0.5:  # so that what was changed is not only the length of the header
        changed[:8] = (max(0, size + len(changed) - len(content))).to_bytes(8, "little")
    return bytes(changed)


TOKENS = [
    "null",
    "-1",
    "1e999",
    "Infinity",
    "[",
    "]",
    "{",
    "}",
    '"',
    "\\",
    "9" * 5000,
    "\u0662",
    ",",
]


def tampered(config: Any, generator: np.random.Generator) -> Any:
    """The JSON of a model with one value of it, at any depth, exchanged for another kind."""
    junk = [None, -1, np.inf, 1e308, 10**30, "x", "", [], {}, [[]], True, {"name": "Training"}]
    config = json.loads(json.dumps(config))
    place = config
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return config
        key = keys[int(generator.integers(len(keys)))]
        if isinstance(place[key], dict | list) and generator.random() < 0.8:
            place = place[key]
            continue
        if generator.random() < 0.2:
            del place[key]
        else:
            place[key] = junk[int(generator.integers(len(junk)))]
        return config


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("bytes", 500),
        ("values", 200),
        pytest.param("bytes", 20_000, marks=pytest.mark.slow),
        pytest.param("values", 5_000, marks=pytest.mark.slow),
    ],
)
def test_nothing_but_one_error_comes_of_a_damaged_file(
    kind: str, count: int, models: dict[str, xv.Model], path: Path
) -> None:
    """It is refused as a model file, or it is the model: no change goes unnoticed."""
    generator = np.random.default_rng(count)
    net = models["net"]
    net.save(path)
    content, config, arrays = path.read_bytes(), net.config, load_file(path)
    refused = 0
    for _ in range(count):
        if kind == "bytes":
            path.write_bytes(mutated(content, generator))
        else:  # with the digest that belongs to them: whoever means harm writes it
            changed = tampered(config, generator)
            path.write_bytes(content)
            rewrite(path, model=json.dumps(changed), digest=digest_of(changed, arrays))
        try:
            back = xv.load(path)
        except xv.ModelFileError:
            refused += 1
            continue
        assert repr(back)
        if kind == "bytes":
            assert back.digest == net.digest
            assert back.history is not None
            assert back.history.identical(net.history)
    assert refused > 0.5 * count
