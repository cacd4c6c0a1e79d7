"""The quick start of README.md and the guides as they stand there: which commands on which host. Pure.

A block of commands begins with a comment that names its hosts; `TOKEN` is what `init` printed for the host.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACEHOLDER = "TOKEN"
_BLOCK = re.compile(r"^```sh\n# on ([a-z, ]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTED = re.compile(r"^on (\w+), .*\n  overlayctl join (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """Commands to be given on each of ``hosts``, under a heading."""

    heading: str
    hosts: tuple[str, ...]
    lines: tuple[str, ...]


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page, in order; comments after commands are left out."""
    found: list[Block] = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE):
        for hosts, lines in _BLOCK.findall(part):
            said = (line.partition("  #")[0].rstrip() for line in lines.splitlines())
            names = tuple(host.strip() for host in re.split(r", | and ", hosts))
            found.append(Block(part.partition("\n")[0], names, tuple(line for line in said if line)))
    return found


def commands(text: str) -> dict[str, list[str]]:
    """Return the commands of each host, in order."""
    found: dict[str, list[str]] = {}
    for block in blocks(text):
        for host in block.hosts:
            found.setdefault(host, []).extend(block.lines)
    return found


def of_readme() -> dict[str, list[str]]:
    """Return the commands that README.md tells a new user."""
    return commands((ROOT / "README.md").read_text("utf-8"))


def tokens(printed: str) -> dict[str, str]:
    """Return the join token of each host, of what `init` printed."""
    return dict(_PRINTED.findall(printed))
