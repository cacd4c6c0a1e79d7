"""Prints the requirements of `pyproject.toml`, extras included, for pip. What only a target of its own needs
(:data:`APART`) is printed with `--all`, for the lock.

Lives apart from the project so that `tools/setup` can install dependencies before the extension is built.
Uses the standard library only: it runs on the system's Python, before there is a `.venv`.
"""

import sys
import tomllib
from pathlib import Path

APART = {"browser"}


def requirements(pyproject: Path, *, apart: bool) -> list[str]:
    """The build's, the project's and the extras' requirement strings, sorted and without duplicates."""
    document = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project = document["project"]
    found = {*document["build-system"]["requires"], *project["dependencies"]}
    for name, extra in project["optional-dependencies"].items():
        if apart or name not in APART:
            found.update(extra)
    return sorted(found)


if __name__ == "__main__":
    pyproject = Path(__file__).parent.parent / "pyproject.toml"
    print("\n".join(requirements(pyproject, apart="--all" in sys.argv[1:])))
