"""Covariance root for time x sphere, exact on a grid of latitudes and uniform longitudes.

The covariance depends on longitude by the difference only. A Fourier transform along the circle of
longitudes therefore splits it into one small symmetric matrix of latitudes per zonal wavenumber.
A regional grid is embedded in a longer circle of longitudes (circulant embedding: Dietrich and
Newsam 1997, doi:10.1137/S1064827592240555), which leaves every covariance on the grid as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from xr4dvar.covariance.families import Family, distance
from xr4dvar.covariance.roots import kept_eigenvalues, truncated_eigen
from xr4dvar.errors import InputError

#: Radius of the Earth in km.
EARTH_RADIUS = 6371.0


@dataclass(frozen=True)
class SphericalRoot:
    """Root of a covariance in time times a covariance on the sphere.

    Parameters
    ----------
    time : Tensor (n_time, modes)
        Eigenvectors times the square roots of the eigenvalues.
    latitude : Tensor (wavenumbers, n_latitude, modes)
        The same per zonal wavenumber, padded with zeros to the same number of modes.
    multiplicity : Tensor (wavenumbers,)
        2 where a wavenumber has a sine and a cosine, else 1.
    spectrum : Tensor (size,)
        Control in the order (time mode, cosine or sine, wavenumber, latitude mode), flattened.
    circle : int
        Number of longitudes on the embedding circle.
    n_longitude : int
        Number of longitudes of the grid, the first of the circle.
    """

    time: Tensor
    latitude: Tensor
    multiplicity: Tensor
    spectrum: Tensor
    circle: int
    n_longitude: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.time.shape[0], self.latitude.shape[1], self.n_longitude

    def apply(self, control: Tensor) -> Tensor:
        modes = (self.time.shape[1], 2, self.latitude.shape[0], self.latitude.shape[2])
        field = self.time @ control.reshape(*control.shape[:-1], modes[0], -1)
        field = field.reshape(*field.shape[:-1], *modes[1:])
        field = torch.einsum("...iwk,wyk->...yiw", field, self.latitude)
        field = field / self.multiplicity.sqrt()
        waves = torch.complex(field[..., 0, :], field[..., 1, :])
        whole: Tensor = torch.fft.irfft(waves, n=self.circle, norm="ortho")
        return whole[..., : self.n_longitude]

    def adjoint(self, field: Tensor) -> Tensor:
        waves = torch.fft.rfft(field, n=self.circle, norm="ortho")[..., : len(self.multiplicity)]
        waves = torch.stack((waves.real, waves.imag), -2) * self.multiplicity.sqrt()
        control = torch.einsum("...yiw,wyk->...iwk", waves, self.latitude)
        return (self.time.T @ control.flatten(-3)).flatten(-2)


def spherical_root(
    time: Tensor,
    latitude: Tensor,
    longitude: Tensor,
    *,
    lengths: tuple[float, float],
    correlation: Family,
    variance: float = 1.0,
    period: float | None = None,
    tolerance: float = 1e-6,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> SphericalRoot:
    """Root of ``variance * f(|dt| / lt) * f(chord / l)`` on a latitude-longitude grid.

    Parameters
    ----------
    time : Tensor (n_time,)
        Any spacing.
    latitude : Tensor (n_latitude,)
        Degrees, any spacing.
    longitude : Tensor (n_longitude,)
        Degrees, evenly spaced; a grid that goes round the Earth is periodic, seam included.
    lengths : tuple of float
        Correlation lengths in time (units of time) and on the sphere (km).
    correlation : callable
        One of `FAMILIES`.
    variance : float
        Prior variance.
    period : float, optional
        Period of time; its distances are then chords.
    tolerance : float
        No correlation changes by more than about this by what is truncated or clipped.
    dtype, device
        Of the root; eigenvectors are always computed in float64.

    Returns
    -------
    SphericalRoot

    Raises
    ------
    InputError
        If the longitudes are not evenly spaced or more than once round the Earth, or if no
        embedding keeps the covariance positive.
    """
    time, latitude, longitude = (
        torch.as_tensor(a, dtype=torch.float64) for a in (time, latitude, longitude)
    )
    lags = distance(time[:, None] - time[None, :], period) / lengths[0]
    time_values, time_vectors = truncated_eigen(correlation(lags), tolerance)
    spacing = _even_spacing(longitude)
    for circle in _circles(len(longitude), spacing):
        blocks = _wavenumber_blocks(latitude, spacing, circle, lengths[1], correlation)
        values, vectors = torch.linalg.eigh(blocks)
        multiplicity = _multiplicity(circle)
        clipped = -(multiplicity @ values.clamp(max=0.0).sum(-1)) / circle
        if clipped <= tolerance:
            break
    else:
        raise InputError([_no_embedding(spacing, float(clipped))])
    keep = kept_eigenvalues(values, tolerance)
    wavenumbers = int(keep.any(-1).nonzero().max()) + 1
    modes = int(keep.sum(-1).max())
    values = (values * keep)[:wavenumbers, -modes:]
    factors = vectors[:wavenumbers, :, -modes:] * values.sqrt()[:, None, :]
    controls = values.expand(2, -1, -1).clone()
    controls[1, multiplicity[:wavenumbers] == 1] = 0.0  # no sine there
    seen = variance * len(longitude) / circle  # the share of each wave that lies on the grid
    spectrum = seen * torch.einsum("a,iwk->aiwk", time_values, controls).flatten()
    root_time = time_vectors * (variance * time_values).sqrt()
    parts = (root_time, factors, multiplicity[:wavenumbers], spectrum)
    root_time, factors, multiplicity, spectrum = (
        part.to(device=device, dtype=dtype).contiguous() for part in parts
    )
    return SphericalRoot(root_time, factors, multiplicity, spectrum, circle, len(longitude))


def _wavenumber_blocks(
    latitude: Tensor, spacing: float, circle: int, length: float, correlation: Family
) -> Tensor:
    """Covariance between latitudes per zonal wavenumber: (wavenumbers, y, y), float64."""
    lag = torch.deg2rad(spacing * torch.arange(circle // 2 + 1, dtype=torch.float64))
    latitude = torch.deg2rad(latitude)
    across = torch.sin(lag / 2) ** 2
    blocks = latitude.new_empty(len(lag), len(latitude), len(latitude))
    for row, value in enumerate(latitude):  # by row: the lags of one row at a time fit anywhere
        along = torch.sin((latitude - value) / 2) ** 2
        cosines = torch.cos(latitude) * torch.cos(value)
        chord = 2 * EARTH_RADIUS * (along[:, None] + cosines[:, None] * across).sqrt()
        # the lags of one half of the circle are those of the other: a real, even sequence
        spectrum = torch.fft.hfft(correlation(chord / length), n=circle)[:, : len(lag)]
        blocks[:, row] = spectrum.T
    return blocks


def _multiplicity(circle: int) -> Tensor:
    wavenumber = torch.arange(circle // 2 + 1)
    single = (wavenumber == 0) | (2 * wavenumber == circle)
    return torch.where(single, 1.0, 2.0).to(torch.float64)


def _circles(n_longitude: int, spacing: float) -> list[int]:
    """Numbers of longitudes on the embedding circle that are worth a try, shortest first."""
    if n_longitude == 1:
        return [1]
    whole = round(360.0 / spacing)
    closed = abs(whole * spacing - 360.0) < 1e-6 * spacing * whole
    shortest = max(2 * (n_longitude - 1), 2)
    tried = [int(next_fast_len(factor * shortest, real=True)) for factor in (1, 2, 4, 8)]
    if not closed:
        return tried
    # the whole circle is exact for every family, since chords are distances in space
    return [circle for circle in tried if circle < whole] + [whole]


def _even_spacing(longitude: Tensor) -> float:
    if len(longitude) == 1:
        return 360.0
    steps = longitude.diff()
    spacing = float((longitude[-1] - longitude[0]) / (len(longitude) - 1))
    uneven = float((steps - spacing).abs().max()) > 1e-3 * abs(spacing)
    if uneven or spacing <= 0 or spacing * len(longitude) > 360.0 + 1e-3 * spacing:
        what = "distances on the sphere need evenly spaced, rising longitudes, once round at most"
        fix = "interpolate to even longitudes, or give the lengths in degrees"
        raise InputError([(what, fix)])
    return spacing


def _no_embedding(spacing: float, clipped: float) -> tuple[str, str]:
    return (
        f"the covariance on the sphere is not positive on this grid (by {clipped:.1e}): "
        f"the spacing of {spacing:g} degrees does not divide 360",
        "use a spacing that divides 360, shorter lengths, or lengths in degrees",
    )
