"""House rules that hold for every source file of the repository, checked by reading the files."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE_FOLDERS = ("overlayd", "controller", "fec", "sim", "engine", "tests", "tools", "containerlab")
PACKAGES = ("overlayd", "controller", "fec", "sim")
GENERATED_FOLDERS = {"target", "build", "built", "node_modules", "__pycache__"}
LONGEST_FILE = 600
UNSAFE_FOLDERS = ("engine/io/", "engine/fec/src/kernel/", "engine/paths/src/kernel/")
# These count what is allocated, for which an allocator is wrapped.
ALLOCATORS = ("engine/node/benches/engine/counting.rs", "engine/adversary/src/heap.rs")

UNFINISHED = re.compile(
    r"\b(?:TODO|FIXME|XXX|HACK)\b|\b(?:todo|unimplemented)!\s*\(|\braise NotImplementedError\b"
)
RUST_COMMENT = re.compile(r"//.*")
RUST_UNSAFE = re.compile(r"\bunsafe\b(?!_)")


def sources(*suffixes: str) -> Iterator[Path]:
    """Every file of ours with one of `suffixes`, what tools generate left out."""
    for folder in CODE_FOLDERS:
        for directory, subdirectories, names in os.walk(ROOT / folder):
            subdirectories[:] = sorted(set(subdirectories) - GENERATED_FOLDERS)
            yield from (Path(directory, name) for name in sorted(names) if name.endswith(suffixes))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_source_file_is_longer_than_600_lines() -> None:
    lengths = {
        relative(path): len(path.read_text("utf-8").splitlines())
        for path in sources(".py", ".pyi", ".rs", ".ts", ".tsx", ".css")
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_work_is_left_unfinished_in_sources() -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in sources(".py", ".pyi", ".rs", ".ts", ".tsx", ".css")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if UNFINISHED.search(line)
    ]
    assert found == []


def test_every_module_says_what_lives_in_it() -> None:
    silent = [
        relative(path)
        for path in sources(".py", ".pyi")
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    silent += [relative(path) for path in sources(".rs") if not path.read_text("utf-8").startswith("//!")]
    assert silent == []


def test_unsafe_rust_stands_only_in_the_io_crate_and_in_simd_kernels() -> None:
    found = [
        f"{relative(path)}:{number}"
        for path in sources(".rs")
        if not relative(path).startswith(UNSAFE_FOLDERS) and relative(path) not in ALLOCATORS
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if RUST_UNSAFE.search(RUST_COMMENT.sub("", line))
    ]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_do_not_import_development_tools(package: str) -> None:
    development_tools = {"scapy", "pytest", "hypothesis", "reedsolo", "mypy", "maturin", "httpx"}
    found = [
        f"{relative(path)}: {name}"
        for path in sources(".py")
        if relative(path).startswith(f"{package}/")
        for name in imported_distributions(path)
        if name in development_tools
    ]
    assert found == []


def imported_distributions(path: Path) -> Iterator[str]:
    """The first part of every name that the module imports, at any depth of it."""
    for statement in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            yield statement.module.partition(".")[0]
