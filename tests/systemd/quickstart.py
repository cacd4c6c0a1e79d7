"""The quick start of README.md as it stands there: which commands on which host. Pure.

A block of commands begins with a comment that names its hosts; `TOKEN` is what `init` printed for the host.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACEHOLDER = "TOKEN"
_BLOCK = re.compile(r"^```sh\n# on ([a-z, ]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTED = re.compile(r"^on (\w+), .*\n  overlayctl join (\S+)$", re.MULTILINE)


def commands(text: str) -> dict[str, list[str]]:
    """Return the commands of each host, in order; comments after them are left out."""
    found: dict[str, list[str]] = {}
    for hosts, lines in _BLOCK.findall(text):
        said = [line.partition("  #")[0].rstrip() for line in lines.splitlines()]
        for host in re.split(r", | and ", hosts):
            found.setdefault(host.strip(), []).extend(line for line in said if line)
    return found


def of_readme() -> dict[str, list[str]]:
    """Return the commands that README.md tells a new user."""
    return commands((ROOT / "README.md").read_text("utf-8"))


def tokens(printed: str) -> dict[str, str]:
    """Return the join token of each host, of what `init` printed."""
    return dict(_PRINTED.findall(printed))
