"""``overlayctl lab up|impair|check|down|list --runner netns``: arguments in, exit code out.

Called by `overlayd.cli`, which imports it only when a lab is asked for. Exit codes: 0 ok, 1 failed, 2
usage, 4 not found, 7 conflict.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sim.lab import runner, state
from sim.lab.check import Finding, check
from sim.lab.errors import LabError, LabIsDown, LabIsUp
from sim.lab.impair import parse_words

OK, FAILED, USAGE, NOT_FOUND, CONFLICT = 0, 1, 2, 4, 7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs of ``lab``."""
    verbs = parser.add_subparsers(dest="lab_verb", required=True, metavar="VERB")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--runner", choices=["netns"], default="netns", help="what nodes are made of")
    common.add_argument(
        "-o", "--output", choices=["table", "json"], default="table", help="form of the answer"
    )

    up = verbs.add_parser("up", parents=[common], help="build a lab and start its daemons")
    up.add_argument("topology", type=Path, help="topo.clab.yml, or the folder that holds it")
    up.add_argument("--name", help="name of the lab (default: the one in the file)")
    up.add_argument("--prefix", default="", help="put before the names of namespaces")
    up.add_argument("--seed", type=int, default=1, help="of all that links do by chance (default: 1)")

    impair = verbs.add_parser("impair", parents=[common], help="change a link while the lab runs")
    impair.add_argument("lab")
    impair.add_argument("link", metavar="A:B", help="its nodes, or one node and its interface")
    impair.add_argument(
        "words", nargs="+", metavar="KEY=VALUE", help="delay=50ms loss=8%% 'a->b.rate=10mbit' …"
    )

    for verb, text in (("check", "test a lab's expectations"), ("down", "take a lab away")):
        verbs.add_parser(verb, parents=[common], help=text).add_argument("lab")
    verbs.add_parser("list", parents=[common], help="labs that are up")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the verb; answers the exit code."""
    try:
        return _VERBS[arguments.lab_verb](arguments)
    except LabIsDown as error:
        return _complain(error, NOT_FOUND)
    except LabIsUp as error:
        return _complain(error, CONFLICT)
    except ValueError as error:
        return _complain(error, USAGE)
    except LabError as error:
        return _complain(error, FAILED)


def _up(arguments: argparse.Namespace) -> int:
    file: Path = arguments.topology
    if file.is_dir():
        file = file / "topo.clab.yml"
    built = runner.up(file, name=arguments.name, prefix=arguments.prefix, seed=arguments.seed, tell=_tell)
    if arguments.output == "json":
        print(json.dumps({"schema": "overlayd.lab/1", "lab": built.name, "namespaces": built.namespaces}))
    else:
        print(f"lab {built.name} is up")
    return OK


def _impair(arguments: argparse.Namespace) -> int:
    link = runner.impair(arguments.lab, arguments.link, parse_words(arguments.words))
    ways = {link.there: link.impairments.there.as_document(), link.back: link.impairments.back.as_document()}
    if arguments.output == "json":
        print(json.dumps({"schema": "overlayd.lab-link/1", "ways": ways}))
    else:
        for way, settings in ways.items():
            print(way, *(f"{key}={value}" for key, value in settings.items() if value), sep="  ")
    return OK


def _check(arguments: argparse.Namespace) -> int:
    findings = check(arguments.lab, _tell)
    failed = sum(not finding.ok for finding in findings)
    if arguments.output == "json":
        document = {"schema": "overlayd.lab-check/1", "failed": failed, "findings": [*map(asdict, findings)]}
        print(json.dumps(document))
    else:
        Console().print(_table(findings))
        print(f"{len(findings) - failed} of {len(findings)} hold")
    return FAILED if failed else OK


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
    if arguments.output == "json":
        print(json.dumps({"schema": "overlayd.lab/1", "lab": arguments.lab, "was_up": was_up}))
    else:
        print(f"lab {arguments.lab} {'is down' if was_up else 'was not up'}")
    return OK


def _list(arguments: argparse.Namespace) -> int:
    names = state.labs()
    print(
        json.dumps({"schema": "overlayd.labs/1", "labs": names})
        if arguments.output == "json"
        else "\n".join(names)
    )
    return OK


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _complain(error: Exception, code: int) -> int:
    print(f"overlayctl lab: {error}", file=sys.stderr)
    return code


_VERBS = {"up": _up, "impair": _impair, "check": _check, "down": _down, "list": _list}
