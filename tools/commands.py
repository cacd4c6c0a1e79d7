"""The commands as data, read from the programs' own parsers: what man pages and completions are made of.

Called by `tools.manuals` and `tools.completions`. Reads lists of argparse that have no public name. Pure.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

# pyright: reportPrivateUsage=false


@dataclass(frozen=True, slots=True)
class Option:
    """``flags`` is empty for a positional argument. ``value``: what it takes ("" for a switch)."""

    flags: tuple[str, ...]
    value: str
    choices: tuple[str, ...]
    text: str

    @property
    def is_file(self) -> bool:
        return self.value in ("FILE", "PATH", "DIR")


@dataclass(frozen=True, slots=True)
class Command:
    """``path``: the words that call it, the program's name first. ``usage``: without the word "usage".
    ``answers``: the schemas of what it prints as JSON; none: it never does; None: nobody has said.
    """

    path: tuple[str, ...]
    text: str
    usage: str
    epilog: str
    answers: tuple[str, ...] | None
    options: tuple[Option, ...]
    parts: tuple["Command", ...]

    def leaves(self) -> Iterator["Command"]:
        """All commands below that do something."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()

    def nodes(self) -> Iterator["Command"]:
        """This command and all below."""
        yield self
        for part in self.parts:
            yield from part.nodes()


UNPACKAGED = ("lab",)
"""Verbs that need what the Debian packages leave out."""


def read(
    parser: argparse.ArgumentParser,
    path: tuple[str, ...] = (),
    text: str = "",
    *,
    left_out: tuple[str, ...] = UNPACKAGED,
) -> Command:
    """Return the tree of ``parser``."""
    path = path or (parser.prog,)
    parts: list[Command] = []
    options: list[Option] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            parts = [
                read(made, (*path, name), texts[name], left_out=left_out)
                for name, made in action.choices.items()
                if name not in left_out
            ]
        elif action.help != argparse.SUPPRESS:
            options.append(_option(parser, action))
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    said = text or parser.description or ""
    answers: tuple[str, ...] | None = parser.get_default("answers")
    return Command(path, said, usage, parser.epilog or "", answers, tuple(options), tuple(parts))


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> Option:
    choices = tuple(str(choice) for choice in action.choices or ())
    value = ""
    if action.nargs != 0:
        named = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        value = "|".join(choices) if choices else named
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return Option(tuple(action.option_strings), value, choices, text)
