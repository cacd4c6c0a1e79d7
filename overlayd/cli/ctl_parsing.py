"""How verbs of ``overlayctl`` are declared. Pure."""

import argparse
from collections.abc import Sequence
from typing import TypeAlias

from overlayd.cli.ctl_answers import ANSWERS

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # pyright: ignore[reportPrivateUsage]

FORMS = ("table", "json", "jsonl")


def verb(
    verbs: Verbs, name: str, handler: str, text: str, example: str, forms: Sequence[str] = FORMS
) -> argparse.ArgumentParser:
    """Declare a verb. ``handler`` is ``module:function`` of this package, and has to be in
    `overlayd.cli.ctl_answers`.
    """
    answers = ANSWERS[handler]
    made = verbs.add_parser(name, help=text, description=text, epilog=f"example: {example}")
    takes_form(made, forms)
    made.set_defaults(handler=f"overlayd.cli.{handler}", answers=answers)
    return made


def noun(verbs: Verbs, name: str, text: str) -> Verbs:
    """Declare a noun; return where its verbs go."""
    made = verbs.add_parser(name, help=text, description=text)
    return made.add_subparsers(required=True, metavar="VERB", prog=f"overlayctl {name}")


def takes_form(parser: argparse.ArgumentParser, forms: Sequence[str] = FORMS) -> None:
    """Let the form of the answer be chosen."""
    parser.add_argument("-o", "--output", choices=forms, default="table", help="form of the answer")
    parser.add_argument("--json", dest="output", action="store_const", const="json", help="same as -o json")
