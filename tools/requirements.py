"""Prints every requirement of `pyproject.toml`, all extras included, for pip.

Lives apart from the project so that `tools/setup` can install dependencies before the extension is built.
Uses the standard library only: it runs on the system's Python, before there is a `.venv`.
"""

import tomllib
from pathlib import Path


def requirements(pyproject: Path) -> list[str]:
    """The build's, the project's and all extras' requirement strings, sorted and without duplicates."""
    document = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project = document["project"]
    found = {*document["build-system"]["requires"], *project["dependencies"]}
    for extra in project["optional-dependencies"].values():
        found.update(extra)
    return sorted(found)


if __name__ == "__main__":
    print("\n".join(requirements(Path(__file__).parent.parent / "pyproject.toml")))
