"""Walks of two components, and what is known of their windows."""

from __future__ import annotations

import numpy as np
import xarray as xr

import xr4dvar as xv

R = 0.3
SHORT = xv.Training(steps=150, batch_size=16, steps_per_epoch=50, learning_rate=1e-2, averaging=0.9)
LATENT = xv.Variational(xv.EOFs(6), R, model_error_variance=0.05, control="latent")


def walks(windows: int = 80, times: int = 12, seed: int = 0) -> xr.Dataset:
    """Two components that drift, observed at a third of the times."""
    generator = np.random.default_rng(seed)
    mix = np.array([[1.0, 0.6], [0.0, 0.8]])
    truth = np.cumsum(0.5 * generator.normal(size=(windows, times, 2)), 1) @ mix + [3.0, -2.0]
    seen = generator.random(truth.shape) < 0.4
    obs = truth + R**0.5 * generator.normal(size=truth.shape)
    coords = {"time": np.arange(times) * 1.0, "component": ("component", ["u", "v"], {"axis": "X"})}
    dims = ("window", "time", "component")
    truth = xr.DataArray(truth, dims=dims, coords=coords)
    return xr.Dataset({"truth": truth, "obs": truth.copy(data=np.where(seen, obs, np.nan))})


def flat(array: xr.DataArray) -> np.ndarray:
    return array.transpose("window", "time", "component").values.reshape(array.sizes["window"], -1)


def eofs_of(truth: xr.DataArray, modes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, modes as columns and their variances, of the windows that were trained on."""
    windows = flat(truth)[: -round(0.15 * truth.sizes["window"])]
    mean = windows.mean(0)
    covariance = np.cov(windows.T, bias=True)
    variances, vectors = np.linalg.eigh(covariance)
    return mean, vectors[:, ::-1][:, :modes], variances[::-1][:modes]
