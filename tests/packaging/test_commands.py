"""Every command of every program, as its parser has it: an example that parses, and a published schema."""

import argparse
import json
import re
import shlex

import pytest

from controller.cli import parser as controller_parser
from overlayd.cli import ctl
from overlayd.cli.ctl_parsing import verb
from overlayd.cli.daemon import parser as daemon_parser
from tools import schemas
from tools.commands import Command, read

PARSERS = {
    "overlayctl": ctl.parser,
    "overlayd": daemon_parser,
    "overlayd-controller": controller_parser,
}
SILENT = {
    "overlayd engine",
    "overlayd agent",
    "overlayd workload",
    "overlayd run",
    "overlayd-controller serve",
    "overlayd-controller kubeconfig",
    "overlayctl lab exec",
}
"""They run until they are ended, or say what another program says or reads."""


def leaves() -> list[Command]:
    return [leaf for parser in PARSERS.values() for leaf in read(parser(), left_out=()).leaves()]


def said(command: Command) -> str:
    return " ".join(command.path)


@pytest.mark.parametrize("command", leaves(), ids=said)
def test_the_help_of_every_command_has_an_example_that_is_one(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    head, _, examples = command.epilog.partition("example: ")
    assert examples and not head.strip(), "its epilog is `example: …`"
    parser = PARSERS[command.path[0]]()
    for example in examples.replace("TOKEN", "ovl1_x").split("; "):
        words = shlex.split(re.split(" [<>] ", example)[0])
        assert tuple(words[: len(command.path)]) == command.path, example
        arguments = parser.parse_args(words[1:])
        assert arguments.answers == command.answers, "it calls another command"
    with pytest.raises(SystemExit):
        parser.parse_args([*command.path[1:], "--help"])
    assert "example: " in capsys.readouterr().out


@pytest.mark.parametrize("command", leaves(), ids=said)
def test_every_command_answers_as_json_by_a_published_schema(command: Command) -> None:
    assert command.answers is not None, "say which schema, or that there is none: ()"
    flags = {flag for option in command.options for flag in option.flags}
    speaks = said(command) not in SILENT
    assert bool(command.answers) == speaks
    assert not speaks or {"-o", "--json"} <= flags
    for name in command.answers:
        published = json.loads((schemas.FOLDER / schemas.file_of(name)).read_text("utf-8"))
        assert published["properties"]["schema"]["const"] == name


def test_a_command_without_a_schema_cannot_be_declared() -> None:
    verbs = argparse.ArgumentParser().add_subparsers()
    with pytest.raises(KeyError):
        verb(verbs, "guess", "ctl_guess:guess", "guesses", "overlayctl guess")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("-o json status", "status -o json"),
        ("--json status --check", "status --json --check"),
        ("--output=jsonl node list", "node list --output=jsonl"),
        ("--socket /run/s -o json config diff f", "config diff --socket /run/s -o json f"),
        (
            "--controller unix:/x --token-file t explain a b",
            "explain --controller unix:/x --token-file t a b",
        ),
        ("-o json lab up f", "lab up -o json f"),
        ("status -o json", "status -o json"),
        ("-o json", "-o json"),
        ("--help", "--help"),
        ("", ""),
    ],
)
def test_global_flags_may_stand_before_the_verb(words: str, meant: str) -> None:
    assert ctl.verb_first(words.split()) == meant.split()


def test_what_stands_after_the_verb_goes_before_what_stands_ahead_of_it() -> None:
    words = ctl.verb_first("-o json status -o table".split())
    assert ctl.parser(words).parse_args(words).output == "table"


def test_a_global_flag_that_a_verb_does_not_take_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ctl.main("--controller http://127.0.0.1:1 ping berlin".split())
    assert ended.value.code == 2
    assert "--controller" in capsys.readouterr().err
