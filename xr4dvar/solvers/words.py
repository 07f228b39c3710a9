"""Solvers by word."""

from __future__ import annotations

from typing import Any

from xr4dvar.registry import find_part, words

__all__ = ["find_solver", "is_solver", "solver_words"]


def find_solver(value: Any) -> Any:
    """The solver that a word stands for; a solver stands for itself.

    Examples
    --------
    >>> from xr4dvar.solvers import LBFGS, find_solver
    >>> find_solver("lbfgs") == find_solver(LBFGS()) == LBFGS(history=10)
    True
    """
    return find_part("solver", value)


def solver_words() -> tuple[str, ...]:
    """All words for solvers."""
    return words("solver")


def is_solver(value: object) -> bool:
    """Whether a value is a solver: one of its classes, or a word, is none yet."""
    parts = (getattr(value, name, None) for name in ("init", "step"))
    return not isinstance(value, type) and all(map(callable, parts))
