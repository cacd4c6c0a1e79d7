"""Every command of the quick start and the guides is one that the programs take."""

import re
import shlex
from pathlib import Path

import pytest

from controller.cli import parser as controller_parser
from overlayd.cli import ctl
from overlayd.cli.daemon import parser as daemon_parser

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/guides").glob("*.md")),
]
PARSERS = {
    "overlayctl": ctl.parser,
    "overlayd": daemon_parser,
    "overlayd-controller": controller_parser,
}
_BLOCK = re.compile(r"^```(?:sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PIPES = re.compile(r"\s(?:\||&|;|>|<|&&)(?:\s|$)")


def commands(text: str) -> list[str]:
    """The lines of its blocks that begin with a program of ours, up to a comment or the shell's next word."""
    found: list[str] = []
    for block in _BLOCK.findall(text):
        for line in block.splitlines():
            said = _PIPES.split(line.partition("  #")[0].split(" # ")[0])[0].strip()
            if said.partition(" ")[0] in PARSERS:
                found.append(said)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_are_commands(page: Path) -> None:
    for line in commands(page.read_text("utf-8")):
        program, *words = shlex.split(line)
        words = ctl.verb_first(words) if program == "overlayctl" else words
        try:
            PARSERS[program]().parse_args(words)
        except SystemExit as ended:
            assert ended.code == 0, f"{page.name}: {line}"


def test_a_page_with_a_command_that_is_none_is_found() -> None:
    (line,) = commands("```sh\noverlayctl chekc --fast   # soon\n```\n")
    with pytest.raises(SystemExit):
        ctl.parser().parse_args(shlex.split(line)[1:])


def test_pages_have_commands_at_all() -> None:
    assert sum(len(commands(page.read_text("utf-8"))) for page in PAGES) > 60
