"""Mean and standard deviation of each variable, taken off on the way in and put back after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xr4dvar.errors import Problems
from xr4dvar.labels.checks import Summary, check_values, summarise
from xr4dvar.labels.stacking import Field
from xr4dvar.types import FloatArray


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each variable, in its own units.

    Parameters
    ----------
    names : tuple of str
        The variables.
    mean, std : tuple of float
        One for each variable.

    Examples
    --------
    >>> from xr4dvar.labels import Normalisation
    >>> scale = Normalisation.estimate([("sst", np.array([10.0, np.nan, 14.0]))])
    >>> scale
    Normalisation(names=('sst',), mean=(12.0,), std=(2.0,))
    >>> scale.apply(np.array([16.0]), "sst")
    array([2.])
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def estimate(cls, fields: Sequence[Field]) -> Normalisation:
        """From the finite values of arrays, in one ``dask.compute``.

        Parameters
        ----------
        fields : sequence of (str, array)
            From `to_fields`.

        Raises
        ------
        InputError
            With every variable that is constant, all missing, or has infinite values.
        """
        summaries = summarise(fields)
        problems = Problems()
        check_values(summaries, problems)
        problems.raise_if_any()
        return cls.from_summaries(summaries)

    @classmethod
    def from_summaries(cls, summaries: Sequence[Summary]) -> Normalisation:
        """From a pass over the values that was made and checked before."""
        return cls(
            tuple(summary.name for summary in summaries),
            tuple(summary.mean for summary in summaries),
            tuple(summary.std for summary in summaries),
        )

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Normalisation:
        """From what `to_dict` gave, also after a way through JSON."""
        return cls(
            tuple(str(name) for name in saved["names"]),
            tuple(float(value) for value in saved["mean"]),
            tuple(float(value) for value in saved["std"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Names and numbers, ready for JSON, which keeps every digit."""
        return {"names": list(self.names), "mean": list(self.mean), "std": list(self.std)}

    def apply(self, values: FloatArray, name: str) -> FloatArray:
        """Values of a variable in standard deviations from its mean, float64.

        A cast before the mean is off would leave float32 digits of the mean, not of the anomaly.
        """
        index = self.names.index(name)
        return (values.astype(np.float64) - self.mean[index]) / self.std[index]

    def undo(self, values: FloatArray, name: str) -> FloatArray:
        """Normalised values of a variable back in its own units, float64."""
        index = self.names.index(name)
        return values.astype(np.float64) * self.std[index] + self.mean[index]
