"""What is imported is declared: nothing comes along only because another package needs it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def imported() -> set[str]:
    """Top-level modules of other packages that any file of ours imports, at any time."""
    found = set()
    for path in (REPOSITORY / "xr4dvar").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"xr4dvar"}


def names(requirements: list[str]) -> set[str]:
    found = {re.split(r"[<>=!~\[; ]", one)[0].lower().replace("_", "-") for one in requirements}
    return found - {"xr4dvar"}


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = names(project["dependencies"]) | names(extras["plot"]) | names(extras["io"])
    known = packages_distributions()
    for module in imported():
        packages = {name.lower().replace("_", "-") for name in known.get(module, [module])}
        assert packages & declared, module


def test_every_dependency_has_its_lower_bound_among_the_constraints() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lines = (REPOSITORY / "constraints-minimum.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    for one in project["dependencies"]:
        name, bound = re.sub(r"\[.*\]", "", one).split(">=")
        wanted = pinned[name.lower()]
        assert f"{wanted}.".startswith(f"{bound}."), one
