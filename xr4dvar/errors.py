"""The one error users meet, every problem at once, each with its fix; and warnings."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


class InputError(ValueError):
    """Input that cannot be used, with every problem found and how to mend each.

    Parameters
    ----------
    problems : sequence of (str, str)
        What is wrong, and the fix, one pair a problem.

    Attributes
    ----------
    problems : tuple of (str, str)
        The pairs, in the order in which they were found.

    Examples
    --------
    >>> raise InputError([("lat is not sorted", "use obs.sortby('lat')")])
    Traceback (most recent call last):
        ...
    xr4dvar.errors.InputError: lat is not sorted; fix: use obs.sortby('lat')
    """

    def __init__(self, problems: list[tuple[str, str]]):
        self.problems = tuple(problems)
        lines = [f"{what}; fix: {fix}" for what, fix in problems]
        if len(lines) == 1:
            text = lines[0]
        else:
            text = "\n".join(
                [
                    f"{len(lines)} problems with the input:",
                    *(f"  {n}. {line}" for n, line in enumerate(lines, 1)),
                ]
            )
        super().__init__(text)

    def __reduce__(self) -> tuple[Any, ...]:
        # dask sends errors between processes: rebuild from the problems, not from the text
        return type(self), (list(self.problems),)


class LostPatches(InputError):
    """Patches of a batch for which a solver has found nothing that is finite.

    Parameters
    ----------
    what, fix : str
        What happens to them, and what to do.
    rows : sequence of int
        Which patches of the batch.
    count : int
        How many there are in the batch.

    Examples
    --------
    >>> raise LostPatches("the model blows up", "take a smaller dt", [2], 5)
    Traceback (most recent call last):
        ...
    xr4dvar.errors.LostPatches: the model blows up in 1 of 5 windows; fix: take a smaller dt
    """

    def __init__(self, what: str, fix: str, rows: Sequence[int], count: int):
        self.what, self.fix, self.rows, self.count = what, fix, tuple(rows), count
        super().__init__([(f"{what} in {len(rows)} of {count} windows", fix)])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.fix, self.rows, self.count)


class ModelFileError(InputError):
    """A model file that is damaged, foreign or of a newer version.

    Examples
    --------
    >>> issubclass(xv.ModelFileError, xv.InputError)
    True
    """


@dataclass
class Problems:
    """Collect problems, then raise them together.

    Examples
    --------
    >>> problems = Problems()
    >>> problems.add("time is empty", "select at least one day")
    >>> problems.raise_if_any()
    Traceback (most recent call last):
        ...
    xr4dvar.errors.InputError: time is empty; fix: select at least one day
    """

    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, what: str, fix: str) -> None:
        """Note one problem and its fix."""
        self.found.append((what, fix))

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Note the problems of an `InputError` raised inside, and go on."""
        try:
            yield
        except InputError as error:
            self.found.extend(error.problems)

    def raise_if_any(self) -> None:
        """Raise one `InputError` with all that was found, if anything was."""
        if self.found:
            raise InputError(self.found)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside of this package that led here.

    Examples
    --------
    >>> import warnings
    >>> from xr4dvar.errors import warn
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("take care")
    >>> str(caught[0].message)
    'take care'
    """
    package = os.path.dirname(__file__) + os.sep
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
