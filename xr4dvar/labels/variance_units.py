"""Whether a variance is in the units of the data squared, however these are spelled."""

from __future__ import annotations

import re
from collections import Counter

from xr4dvar.errors import Problems
from xr4dvar.labels.signature import variables_signature
from xr4dvar.types import Labelled

__all__ = ["check_variance_units", "same_units"]

_SAME = {
    "metre": "m", "meter": "m", "metres": "m", "meters": "m",
    "kelvin": "K", "degC": "K", "deg_C": "K", "celsius": "K", "Celsius": "K", "°C": "K",
    "degree_Celsius": "K", "degrees_Celsius": "K", "degree_celsius": "K", "degrees_celsius": "K",
    "degreeC": "K", "degreesC": "K", "degree_C": "K", "degrees_C": "K",
    "second": "s", "seconds": "s", "sec": "s", "°": "degree", "degrees": "degree", "deg": "degree",
}  # fmt: skip
_FACTOR = re.compile(r"(?P<name>[^\W\d]+|[°%])(?:(?:\^|\*\*)?\(?(?P<power>[-+]?\d+)\)?)?")


def check_variance_units(obs: Labelled, variance: Labelled, problems: Problems) -> None:
    """Note every variance whose units are known and not those of its variable squared.

    The units of the data themselves pass too: arithmetic of xarray keeps them, as in
    ``obs_error**2``.

    Parameters
    ----------
    obs : xarray.DataArray or xarray.Dataset
        The observations.
    variance : xarray.DataArray or xarray.Dataset
        Variances of their errors.
    problems : Problems
        Gets one problem for each variable.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels import check_variance_units
    >>> obs = xr.DataArray([0.1], dims="x", name="ssh", attrs={"units": "m"})
    >>> problems = Problems()
    >>> check_variance_units(obs, obs.assign_attrs(units="m^2"), problems)
    >>> check_variance_units(obs, obs.assign_attrs(units="cm2"), problems)
    >>> [what for what, fix in problems.found]
    ["error_variance: that of 'ssh' is in 'cm2', 'ssh' is in 'm'"]
    """
    given, known = variables_signature(variance), variables_signature(obs)
    if len(known) == 1:  # whatever the other one is called
        given = dict(zip(known, given.values(), strict=False))
    for name, units in known.items():
        own = given.get(name, "")
        if own and units and not is_squared(own, units):
            square = units if units == "1" else f"({units})^2" if " " in units else f"{units}^2"
            problems.add(
                f"error_variance: that of {name!r} is in {own!r}, {name!r} is in {units!r}",
                f"convert it to {square!r}; if only the spelling differs, set its "
                f"attrs['units'] = {square!r}",
            )


def same_units(first: str, second: str) -> bool:
    """Whether two texts are the same product of units.

    Examples
    --------
    >>> from xr4dvar.labels.variance_units import same_units
    >>> same_units("m/s", "metre second-1"), same_units("cm/s", "m/s")
    (True, False)
    """
    known = _powers(first)
    return first == second or (known is not None and known == _powers(second))


def is_squared(square: str, units: str) -> bool:
    """Whether a text of units is another one squared, or is just that one.

    Examples
    --------
    >>> from xr4dvar.labels.variance_units import is_squared
    >>> is_squared("m2 s-2", "m/s"), is_squared("K**2", "degC"), is_squared("m", "cm")
    (True, True, False)
    """
    plain, root = (re.sub(r"\s+", " ", text.strip()) for text in (square, units))
    whole = re.fullmatch(r"\((.*)\) ?(?:(?:\^|\*\*)? ?2|²)", plain)
    if plain == root or (whole and whole[1] == root):
        return True
    known = _powers(root)
    if known is None:  # no product of units: a logarithm, a number
        return plain in {f"{root}{power}" for power in ("^2", "**2", "²")}
    if whole:
        return _powers(whole[1]) == known
    return _powers(plain) in (known, {name: 2 * power for name, power in known.items()})


def _powers(units: str) -> dict[str, int] | None:
    """Exponent of each unit of a product, ``m s-1``, ``m/s``, ``m*s^-1``; None for other texts."""
    text = units.replace("²", "2").replace("³", "3").replace("⁻", "-").replace("¹", "1")
    total: Counter[str] = Counter()
    for n, part in enumerate(text.split("/")):
        sign = 1 if n == 0 else -1
        for word in re.split(r"[\s.·]+|(?<!\*)\*(?!\*)", part.strip()):
            match = _FACTOR.fullmatch(word)
            if match is None and word not in ("1", ""):
                return None
            if match:
                name = _SAME.get(match["name"], match["name"])
                total[name] += sign * int(match["power"] or 1)
    return {name: power for name, power in total.items() if power}
