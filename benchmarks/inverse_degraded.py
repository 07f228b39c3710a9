"""Deconvolution and downscaling of the twin: what is blurred or averaged over blocks."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from inverse_twin import EAST, GIVEN, NORTH, TRAIN, fitted, on_plane, read, scores
from scipy import ndimage

import xr4dvar as xv

BLUR_NOISE = 0.01
BLOCK_NOISE = {"ssh": 0.005, "sst": 0.1}
#: RMSE of the space-time filter: cm, and K of temperature.
ANCHORS = {
    "blur30": 1.045, "blur60": 2.415, "blur30gaps": 1.250, "blur60gaps": 2.570,
    "ssh4": 0.817, "ssh8": 3.064, "sst4": 0.337, "sst8": 0.576,
    "ssh8guide": 3.064,
}  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """Observations and truth, to learn from and to be scored on."""

    name: str
    operator: xv.operators.Operator
    train: tuple[xr.DataArray, xr.DataArray]
    given: tuple[xr.DataArray, xr.DataArray]
    guide: xr.DataArray | None = None

    @property
    def scale(self) -> float:
        """From metres to cm; kelvins stay."""
        return 1.0 if self.name.startswith("sst") else 100.0

    def maps(self, model: xv.Model) -> xr.DataArray:
        """Maps on the grid of the truth."""
        obs, truth = self.given
        grid = truth if self.operator.other_grid else None
        known = self.guide if model.covariates else None
        return obs.fourdvar.reconstruct(model, grid=grid, covariates=known, progress=False)


def rows(name: str, options: argparse.Namespace) -> Iterator[dict]:
    """A row for each method."""
    case = problem(name, options.data)
    truth = case.given[1]
    if not case.operator.other_grid and not name.endswith("gaps"):
        yield row(name, "as given", case.given[0], truth, case.scale, 0.0, 0.0)
    oi = xv.OptimalInterpolation(mean="map", operator=case.operator)
    methods = {"OI": oi}
    if options.steps:
        methods["4DVarNet"] = network(oi, case, options)
    for method, configured in methods.items():
        known = case.guide if method == "4DVarNet" else None
        model, fit_s = fitted(
            f"{method}-{name}", case.train[0], configured, options, target=case.train[1],
            covariates=known,
        )  # fmt: skip
        begin = time.perf_counter()
        maps = case.maps(model)
        yield row(name, method, maps, truth, case.scale, fit_s, time.perf_counter() - begin)


def network(
    oi: xv.OptimalInterpolation, case: Problem, options: argparse.Namespace
) -> xv.FourDVarNet:
    return xv.FourDVarNet(
        background=oi,
        operator=case.operator,
        # of complete fields a network maps directly: there is no gap to fill step by step
        **({} if case.name.endswith("gaps") else {"prior": None, "steps": 1}),
        training=xv.Training(steps=options.steps, patience=1000),
        mirror=case.train[1].name == "ssh",
        coarsen=options.coarsen or "auto",
    )


def row(
    name: str, method: str, maps: xr.DataArray, truth: xr.DataArray, scale: float, *seconds: float
) -> dict:
    found = scores(maps, truth, scale)
    about = {"problem": name, "method": method, "ratio": found["rmse"] / ANCHORS[name]}
    return about | found | dict(zip(("fit_s", "maps_s"), seconds, strict=True))


def problem(name: str, data: str) -> Problem:
    """Degrade the twin as the protocol says."""
    whole = read(data)
    variable = "sst" if name.startswith("sst") else "ssh"
    truth = on_plane(whole[variable])
    parts = [truth.sel(time=period) for period in (TRAIN, GIVEN["B"])]
    guide = None
    if name.startswith("blur"):
        width = float(name[4:6])
        operator = xv.operators.Blur({"y": f"{width} km", "x": f"{width} km"})
        seen = [blurred(part, width, seed) for part, seed in zip(parts, (5, 1), strict=True)]
        if name.endswith("gaps"):
            seen = [
                part.where(~clouds(part.shape, 0.3, seed))
                for part, seed in zip(seen, (6, 2), strict=True)
            ]
    else:
        factor, noise = int(name[3]), BLOCK_NOISE[variable]
        parts = [part.isel(y=slice(2, 98), x=slice(2, 98)) for part in parts]
        operator = xv.operators.BlockMean()
        seen = [blocks(part, factor, noise, s) for part, s in zip(parts, (7, 3), strict=True)]
        if name.endswith("guide"):
            guide = on_plane(whole.sst).isel(y=slice(2, 98), x=slice(2, 98))
    pairs = list(zip(seen, parts, strict=True))
    return Problem(name, operator, pairs[0], pairs[1], guide)


def blurred(truth: xr.DataArray, width: float, seed: int) -> xr.DataArray:
    widths = (0.0, width / NORTH, width / EAST)
    smooth = ndimage.gaussian_filter(truth.values, widths, mode="reflect", truncate=6.0)
    return truth.copy(data=smooth + np.random.default_rng(seed).normal(0, BLUR_NOISE, truth.shape))


def clouds(shape: tuple[int, ...], share: float, seed: int, width: float = 5.0) -> np.ndarray:
    """Gaps that hide a share of each field."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    noise = ndimage.gaussian_filter(noise, (0, width, width), mode="wrap")
    return noise > np.quantile(noise, 1 - share, axis=(1, 2), keepdims=True)


def blocks(truth: xr.DataArray, factor: int, noise: float, seed: int) -> xr.DataArray:
    means = truth.coarsen(y=factor, x=factor).mean(keep_attrs=True)
    return means + np.random.default_rng(seed).normal(0, noise, means.shape)
