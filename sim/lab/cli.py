"""``overlayctl lab up|impair|check|exec|down|list --runner netns|clab``: arguments in, exit code out.

Called by `overlayd.cli`, which imports it only when a lab is asked for. Exit codes: 0 ok, 1 failed, 2
usage, 4 not found, 7 conflict; of `exec` the command's own.
"""

import argparse
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from msgspec import Struct, to_builtins
from rich.console import Console
from rich.table import Table

from overlayd.cli.ctl_output import emit, emit_lines
from sim.lab import daemons, runner, state
from sim.lab.answers import Lab, LabCheck, LabDown, LabLink, Labs
from sim.lab.check import Finding, check
from sim.lab.errors import LabError, LabIsDown, LabIsUp
from sim.lab.impair import parse_words
from sim.lab.nodes import Runner
from sim.lab.runners import nodes_of

OK, FAILED, USAGE, NOT_FOUND, CONFLICT = 0, 1, 2, 4, 7
_ANSWERS = {
    "up": ("overlayd.lab/1",),
    "impair": ("overlayd.lab-link/1",),
    "check": ("overlayd.lab-check/1",),
    "exec": (),
    "down": ("overlayd.lab-down/1",),
    "list": ("overlayd.labs/1",),
}
"""The schema of each verb's answer; a command's own words have none."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs of ``lab``."""
    verbs = parser.add_subparsers(dest="lab_verb", required=True, metavar="VERB")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--runner",
        choices=get_args(Runner),
        help="what nodes are made of: network namespaces (default of `up`), or containers of containerlab's",
    )
    common.add_argument(
        "-o", "--output", choices=["table", "json", "jsonl"], default="table", help="form of the answer"
    )
    common.add_argument("--json", dest="output", action="store_const", const="json", help="same as -o json")

    def verb(name: str, text: str, example: str) -> argparse.ArgumentParser:
        epilog = f"example: overlayctl lab {name} {example}".rstrip()
        made = verbs.add_parser(name, parents=[common], help=text, description=text, epilog=epilog)
        made.set_defaults(answers=_ANSWERS[name])
        return made

    up = verb("up", "build a lab and start its daemons", "containerlab/labs/two-nodes")
    up.add_argument("topology", type=Path, help="topo.clab.yml, or the folder that holds it")
    up.add_argument("--name", help="name of the lab (default: the one in the file)")
    up.add_argument("--prefix", default="", help="put before the names of namespaces")
    up.add_argument("--seed", type=int, default=1, help="of all that links do by chance (default: 1)")

    impair = verb("impair", "change a link while the lab runs", "two-nodes a:b delay=50ms loss=8%")
    impair.add_argument("lab")
    impair.add_argument("link", metavar="A:B", help="its nodes, or one node and its interface")
    impair.add_argument(
        "words", nargs="+", metavar="KEY=VALUE", help="delay=50ms loss=8%% 'a->b.rate=10mbit' …"
    )

    verb("check", "test a lab's expectations", "two-nodes -o json").add_argument("lab")
    on = verb("exec", "run a command on a node", "two-nodes a overlayctl status")
    on.add_argument("lab")
    on.add_argument("node")
    on.add_argument("command", nargs=argparse.REMAINDER, help="and its arguments")
    verb("down", "take a lab away", "two-nodes").add_argument("lab")
    verb("list", "labs that are up", "-o json")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the verb; answers the exit code."""
    try:
        if arguments.lab_verb in ("impair", "check", "exec", "down"):
            _same_runner(arguments)
        return _VERBS[arguments.lab_verb](arguments)
    except LabIsDown as error:
        return _complain(error, NOT_FOUND)
    except LabIsUp as error:
        return _complain(error, CONFLICT)
    except ValueError as error:
        return _complain(error, USAGE)
    except LabError as error:
        return _complain(error, FAILED)


def _same_runner(arguments: argparse.Namespace) -> None:
    """A lab knows its runner; another one named is a mistake. Raises ValueError."""
    with suppress(LabIsDown):
        built = state.folder(arguments.lab).read().runner
        if arguments.runner not in (None, built):
            raise ValueError(f"lab {arguments.lab} was brought up by the runner {built}")


def _up(arguments: argparse.Namespace) -> int:
    file: Path = arguments.topology
    if file.is_dir():
        file = file / "topo.clab.yml"
    built = runner.up(
        file,
        name=arguments.name,
        prefix=arguments.prefix,
        seed=arguments.seed,
        runner=arguments.runner or "netns",
        tell=_tell,
    )
    document = Lab(built.name, built.runner, built.namespaces)
    return _answer(arguments, document, f"lab {built.name} is up")


def _impair(arguments: argparse.Namespace) -> int:
    link = runner.impair(arguments.lab, arguments.link, parse_words(arguments.words))
    ways = {link.there: link.impairments.there.as_document(), link.back: link.impairments.back.as_document()}
    lines = (
        "  ".join([way, *(f"{key}={value}" for key, value in settings.items() if value)])
        for way, settings in ways.items()
    )
    return _answer(arguments, LabLink(ways), "\n".join(lines))


def _check(arguments: argparse.Namespace) -> int:
    findings = check(arguments.lab, _tell)
    failed = sum(not finding.ok for finding in findings)
    document = LabCheck(failed, tuple(findings))
    if arguments.output == "jsonl":
        emit_lines(map(asdict, findings), document.schema)
    elif arguments.output == "json":
        emit(to_builtins(document))
    else:
        Console().print(_table(findings))
        print(f"{len(findings) - failed} of {len(findings)} hold")
    return FAILED if failed else OK


def _exec(arguments: argparse.Namespace) -> int:
    """Run a command that has our streams; ``overlayctl`` finds the node's agent."""
    place = state.folder(arguments.lab)
    built = place.read()
    if arguments.node not in built.namespaces:
        raise ValueError(f"there is no node {arguments.node!r}; nodes: {', '.join(built.namespaces)}")
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise ValueError("exec: which command?")
    socket = {"OVERLAYD_SOCKET": str(daemons.agent_socket(place, arguments.node))}
    tied = sys.stdin.isatty() and sys.stdout.isatty()
    prefix = nodes_of(built.runner).prefix(built, arguments.node, socket, terminal=tied)
    return subprocess.run([*prefix, *command], check=False).returncode


def _table(findings: list[Finding]) -> Table:
    table = Table("assertion", "figure", "wanted", "measured", "")
    for finding in findings:
        verdict = "ok" if finding.ok else "FAILED"
        style = None if finding.ok else "red"
        table.add_row(
            finding.assertion, finding.figure, finding.wanted, finding.measured, verdict, style=style
        )
    return table


def _down(arguments: argparse.Namespace) -> int:
    was_up = runner.down(arguments.lab)
    return _answer(
        arguments,
        LabDown(arguments.lab, was_up),
        f"lab {arguments.lab} {'is down' if was_up else 'was not up'}",
    )


def _list(arguments: argparse.Namespace) -> int:
    names = state.labs()
    document = Labs(tuple(names))
    if arguments.output == "jsonl":
        emit_lines(({"lab": name} for name in names), document.schema)
        return OK
    return _answer(arguments, document, "\n".join(names))


def _answer(arguments: argparse.Namespace, document: Struct, text: str) -> int:
    if arguments.output == "table":
        print(text)
    else:
        emit(to_builtins(document))
    return OK


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _complain(error: Exception, code: int) -> int:
    print(f"overlayctl lab: {error}", file=sys.stderr)
    return code


_VERBS = {"up": _up, "impair": _impair, "check": _check, "exec": _exec, "down": _down, "list": _list}
