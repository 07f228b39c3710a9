"""Session-wide taste (progress bars, default device); nothing here changes a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from xr4dvar.arguments import is_word, shown
from xr4dvar.errors import Problems

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, TypeAlias, Unpack

__all__ = ["OPTIONS", "Options", "set_options"]

Progress: TypeAlias = bool | Literal["auto"]


class Options(TypedDict, total=False):
    """The options and their types."""

    progress: Progress
    device: str


#: The options in force. Read them here; change them with :class:`set_options`.
OPTIONS: Options = {"progress": "auto", "device": "auto"}

_WORDS = {
    "progress": "True, False or 'auto'",
    "device": "'auto', 'cpu', 'cuda', 'cuda:1', ...",
}


class set_options:
    """Set options for the session, or for a ``with`` block.

    Parameters
    ----------
    progress : bool or "auto", optional
        Whether long work shows a progress bar. "auto", the default, shows it in a terminal and in
        a notebook.
    device : str, optional
        Where torch computes unless a call says ``device=``: "auto" (cuda where there is one, else
        the CPU, the default) or a name that torch knows, as "cpu", "cuda" or "cuda:1".

    Raises
    ------
    InputError
        If an option is unknown or its value is of the wrong kind. Nothing is changed then.

    Examples
    --------
    >>> with xv.set_options(progress=False):
    ...     pass  # fit and reconstruct are silent here

    >>> xv.set_options(colour="blue")
    Traceback (most recent call last):
        ...
    xr4dvar.errors.InputError: no option 'colour'; fix: use one of: progress, device
    """

    def __init__(self, **options: Unpack[Options]):
        problems = Problems()
        for name, value in options.items():
            _check(problems, name, value)
        problems.raise_if_any()
        self._before = OPTIONS.copy()
        OPTIONS.update(options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        OPTIONS.update(self._before)


def _check(problems: Problems, name: str, value: object) -> None:
    if name not in _WORDS:
        problems.add(f"no option {name!r}", f"use one of: {', '.join(_WORDS)}")
    elif (name == "progress" and not _is_progress(value)) or (
        name == "device" and not (isinstance(value, str) and value)
    ):
        problems.add(f"option {name} is {shown(value)}", f"use {_WORDS[name]}")


def _is_progress(value: object) -> bool:
    return isinstance(value, bool) or is_word(value, "auto")
