"""Optimal interpolation as a method: configuration, windows, fit and solve."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from xr4dvar.arguments import check_count, check_flag, check_names, is_number, is_word, shown
from xr4dvar.contract.engine import Engine
from xr4dvar.contract.method import FitOptions, Parameters, Window
from xr4dvar.contract.observing import check_method_operator
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid, parse_length
from xr4dvar.labels.units import UserLength
from xr4dvar.operators.mask import Mask
from xr4dvar.operators.operator import Operator, is_mask
from xr4dvar.registry import register
from xr4dvar.types import ROLES, Role

if TYPE_CHECKING:
    from xr4dvar.methods.oi.engine import InterpolationEngine
    from xr4dvar.methods.oi.joint import JointEngine

__all__ = ["OptimalInterpolation"]

Length = Mapping[str, UserLength] | str


@register
@dataclass(frozen=True)
class OptimalInterpolation:
    r"""Optimal interpolation: the best linear map for a given covariance.

    .. math:: x_a = m + B H^T (H B H^T + R)^{-1} (y - H m)

    solved for all observations of a window at once. The map of a window is within 1 % of the
    standard deviation of its error from the exact one at every cell, with up to 400 observations
    exact; the log warns, with the size, of windows in which that is not reached. Standard
    deviations of the error are within 2 % of that of the prior. Windows are 12 correlation
    lengths long in time, in latitude and longitude at least as long or the whole domain, and
    overlap by 5: the map differs from that of the whole domain at once by 0.3 % (tuned lengths)
    to 3 % (precise data, short lengths) of its error.

    Parameters
    ----------
    length : mapping, str or sequence of those, optional
        Correlation lengths, ``{"time": "7D", "lat": 1.0, "lon": 1.0}`` in degrees or
        ``{"time": "7D", "lat": "100 km"}`` on the sphere; several for a sum of covariances.
        Not given: `fit` finds `scales` of them, and the variances.
    variance : float or sequence of float, optional
        Prior variance for each of `length`, in the data's units squared. Not given: the
        variance of all observations about the mean, less `error_variance`.
    error_variance : float or mapping of str to float, optional
        Variance of the observation error, in the data's units squared, at least 1e-10 of the
        prior variance: of all, or of each variable or observed field by its name. Not given with
        `length`: 5 % of the prior variance.
    family : {"gaussian", "matern12", "matern32", "matern52"}
        Shape of the covariance. The Gaussian is ``exp(-(d / length)^2)``, as in the SSH
        mapping challenge, without a factor 1/2.
    mean : "map", "constant" or float
        What the map falls back to far from observations: a map of the time mean, smoothed where
        there are few data; the mean of all observations; or the given number.
    scales : int
        Number of covariances that `fit` looks for where `length` is not given.
    operator : Operator
        H of the observations (`xr4dvar.operators`), a linear one. Default: the field itself.
    multivariate : bool
        Map several variables of a Dataset together, so that one helps the other (co-kriging): `fit`
        finds how much of a variable each scale of those after it tells, which have as many scales
        as their empirical covariance asks for; `scales` are those of the first alone.

    References
    ----------
    Bretherton et al. 1976, https://doi.org/10.1016/0011-7471(76)90001-2

    Examples
    --------
    >>> oi = xv.OptimalInterpolation(length={"time": "7D", "lat": 1.0, "lon": 1.0})
    >>> ds = xv.datasets.gulfstream_twin()
    >>> maps = xv.reconstruct(ds.ssh_nadir4.isel(time=slice(0, 15)), oi)
    >>> int(maps.isnull().sum())
    0
    """

    length: Length | Sequence[Length] | None = None
    variance: float | Sequence[float] | None = None
    error_variance: float | Mapping[str, float] | None = None
    family: str = "gaussian"
    mean: Literal["map", "constant"] | float = "constant"
    scales: int = 2
    operator: Operator = field(default_factory=Mask)
    multivariate: bool = False

    background: ClassVar[None] = None
    takes_error_variance: ClassVar[bool] = True
    takes_other_fields: ClassVar[bool] = True

    @property
    def lengths(self) -> list[Length]:
        """The lengths as a list; empty where `fit` is to find them."""
        if self.length is None:
            return []
        if isinstance(self.length, Sequence) and not isinstance(self.length, str):
            return list(self.length)
        return [self.length]

    @property
    def variances(self) -> list[float]:
        """The prior variances as a list; empty where they are to be estimated."""
        if self.variance is None:
            return []
        return list(self.variance) if isinstance(self.variance, Sequence) else [self.variance]

    def check(self, grid: Grid, names: Sequence[str]) -> None:
        """Raise one `InputError` if lengths, variances or the family cannot be used."""
        from xr4dvar.covariance.families import FAMILIES

        problems = Problems()
        if not is_word(self.family, *FAMILIES):
            what = f"family {shown(self.family)} is unknown"
            problems.add(what, f"use one of {', '.join(FAMILIES)}")
        check_count("scales", self.scales, problems)
        if self.length is not None and not self.lengths:
            fix = "give a length, or leave it out: fit finds it"
            problems.add(f"length is {self.length!r}", fix)
        variance: object = self.variance
        each = [variance] if isinstance(variance, str | bytes) else self.variances
        if variance is not None and len(each) != len(self.lengths):
            what = f"{len(each)} variances for {len(self.lengths)} lengths"
            problems.add(what, "give one variance for each length")
        errors: list[Any] = [] if self.error_variance is None else [self.error_variance]
        if isinstance(self.error_variance, Mapping):
            errors = list(self.error_variance.values())
            check_names("error_variance", self.error_variance, names, problems)
        for name, values in (("variance", each), ("error_variance", errors)):
            for value in values:
                if not (is_number(value) and value > 0):  # type: ignore[operator]
                    fix = f"give a positive {name}, in the data's units squared"
                    problems.add(f"{name} is {shown(value)}", fix)
        if not is_word(self.mean, "map", "constant") and not is_number(self.mean):
            problems.add(f"mean is {shown(self.mean)}", "use 'map', 'constant' or a number")
        for length in self.lengths:
            with problems.collect():
                parse_length(length, grid)
        check_method_operator(self, grid, names, problems, linear=True)
        check_flag("multivariate", self.multivariate, problems)
        if self.multivariate is True:
            self._check_multivariate(names, problems)
        problems.raise_if_any()

    def _check_multivariate(self, names: Sequence[str], problems: Problems) -> None:
        if len(names) < 2:
            what = f"multivariate=True, and {names[0]!r} is the only variable"
            problems.add(what, "give a Dataset with others, or leave it out")
        if not is_mask(self.operator):
            what = f"multivariate=True takes no operator ({type(self.operator).__name__})"
            problems.add(what, "leave one of the two out")

    def known(self, grid: Grid, names: Sequence[str]) -> Parameters | None:
        """Give the parameters if lengths are given.

        A mean and variances that are not given are left open, None: `completed` sets them.
        """
        from xr4dvar.methods.oi.fit import error_of, open_covariance

        states = self.operator.states(names)
        if not self.lengths or self.mean == "map" or self.multivariate is True:
            return None
        mean = None if isinstance(self.mean, str) else float(self.mean)
        if tuple(states) != tuple(names):  # fields of other units say nothing of the state's
            errors = [error_of(self, name) for name in names]
            if None in (mean, *errors) or not self.variances:
                return None
        periods = {r: grid[r].period for r in grid.roles if grid[r].period is not None}
        common = {"family": self.family, "mean": mean, "periods": periods}
        variables = []
        for state in states:
            own = {"name": state} | common | open_covariance(self, grid, error_of(self, state))
            if tuple(states) != tuple(names):
                fields = self.operator.fields_of(state, names)
                own["error_variance"] = {name: error_of(self, name) for name in fields}
            variables.append(own)
        return Parameters({"variables": variables})

    def closed_axes(self, grid: Grid, parameters: Parameters | None) -> Collection[Role]:
        """All; if fitted, those that closed then."""
        from xr4dvar.methods.oi.engine import periods_of

        if parameters is None:
            return grid.roles
        return periods_of(parameters.settings["variables"][0])

    def is_open(self, parameters: Parameters) -> bool:
        """Whether the mean or a variance is to be taken from the data."""
        return any(
            variable["mean"] is None or variable["error_variance"] is None
            or any(term["variance"] is None for term in variable["terms"])
            for variable in parameters.settings["variables"]
        )  # fmt: skip

    def completed(
        self, parameters: Parameters, moments: Sequence[tuple[float, float]]
    ) -> Parameters:
        """Set what is open from the mean and the standard deviation of each variable's data."""
        from xr4dvar.methods.oi.fit import completed_covariance, error_of

        variables = []
        pairs = zip(parameters.settings["variables"], moments, strict=True)
        for variable, (own_mean, deviation) in pairs:
            mean = own_mean if variable["mean"] is None else variable["mean"]
            spread = deviation**2 + (own_mean - mean) ** 2
            error = error_of(self, variable["name"])
            covariance = completed_covariance(variable["terms"], error, spread)
            variables.append({**variable, "mean": mean, **covariance})
        return Parameters({**parameters.settings, "variables": variables}, parameters.arrays)

    def described(self, parameters: Parameters, roles: Collection[Role]) -> dict[str, str]:
        """Give the mean, lengths and variances of each variable, where they are known."""
        if self.is_open(parameters):
            return {}
        found = {}
        for variable in parameters.settings["variables"]:
            mean = "a map" if self.mean == "map" else f"{variable['mean']:.6g}"
            scales = [_scale(term, roles) for term in variable["terms"]]
            errors = variable["error_variance"]
            if isinstance(errors, Mapping):
                told = ", ".join(f"{value:.3g} of {name!r}" for name, value in errors.items())
            else:
                told = f"{errors:.3g}"
            found[variable["name"]] = f"mean {mean}; {'; '.join(scales)}; error variance {told}"
        return found

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        """Give windows of many correlation lengths, as large in y and x as memory allows.

        They are counted where the cells of an axis are closest: elsewhere they are longer.
        """
        from xr4dvar.methods.oi.windows import windows_of

        return windows_of(grid, parameters, self.operator.reach(grid))

    def fit(
        self, data: TrainingData, options: FitOptions, background: Engine | None = None
    ) -> Parameters:
        """Estimate the mean, and the lengths and variances that are not given."""
        from xr4dvar.methods.oi.fit import fit_optimal_interpolation

        if self.multivariate is True:
            from xr4dvar.methods.oi.joint_fit import fit_joint

            return fit_joint(self, data, options)
        return fit_optimal_interpolation(self, data, options)

    @property
    def engine_type(self) -> type[InterpolationEngine | JointEngine]:
        """What solves with the fitted method."""
        if self.multivariate is True:
            from xr4dvar.methods.oi.joint import JointEngine

            return JointEngine
        from xr4dvar.methods.oi.engine import InterpolationEngine

        return InterpolationEngine


def _scale(term: Mapping[str, Any], roles: Collection[Role]) -> str:
    """A covariance in words: its lengths, in km if it is one on the sphere, and its variance."""
    lengths = {role: term[role] for role in ROLES if role in roles}
    texts = [f"{role} {length:.3g}" for role, length in lengths.items()]
    if term["metric"]:
        texts = [*texts[: "time" in lengths], f"{term['y']:.4g} km"]
    shared = [f"{count:.3g} of it in {name!r}" for name, count in term.get("loadings", {}).items()]
    return ", ".join([f"lengths {', '.join(texts)}", f"variance {term['variance']:.3g}", *shared])
