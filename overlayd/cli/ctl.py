"""``overlayctl``: the arguments, and which module answers them. I/O: stdout, stderr, exit code.

Each verb's module is imported when it is called, so `status` pays for nothing but itself.
"""

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata

from overlayd.cli.ctl_failure import FAILED, OK, Failure
from overlayd.cli.ctl_parsing import Verbs, noun, takes_form, verb

DEFAULT_SOCKET = "/run/overlayd/overlayd.sock"
CONFIGURATION = "/etc/overlayd/overlayd.toml"
_FILE_HELP = f"default {CONFIGURATION}; - reads stdin"
_NOUNS = ("node", "link", "route", "token", "config", "rollout", "lab")
_GLOBAL = {
    "-o": True,
    "--output": True,
    "--json": False,
    "--socket": True,
    "--controller": True,
    "--token-file": True,
}
"""What may stand before the verb, and whether it takes a value."""
APPLICATIONS = ("apply", "get", "describe", "delete", "logs", "rollout")
"""Verbs of what runs on the mesh (`overlayd.cli.ctl_apps_arguments`)."""
EXIT_CODES = """\
exit codes: 0 ok, 1 failed, 2 usage, 3 agent or controller unreachable, 4 not found, 5 denied, 6 degraded,
7 conflict, 124 timeout. The answer goes to stdout, all else to stderr. NO_COLOR is honoured."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = verb_first(sys.argv[1:] if argv is None else argv)
    arguments = parser(words).parse_args(words)
    try:
        module, function = arguments.handler.split(":")
        handler: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), function)
        code = handler(arguments)
        sys.stdout.flush()
        return code
    except Failure as failure:
        print(f"overlayctl: {failure}", file=sys.stderr)
        return failure.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
        return OK


def no_labs(_: argparse.Namespace) -> int:
    """Say what is missing where the labs are not installed."""
    raise Failure(FAILED, "labs need what an edge host does without: install overlayd with its extra `sim`")


def verb_first(words: Sequence[str]) -> list[str]:
    """Return ``-o json node list`` as ``node list -o json``: what is global may stand before the verb.

    Whether the verb takes it is for the verb's own parser to say.
    """
    at = 0
    while at < len(words) and words[at].partition("=")[0] in _GLOBAL:
        takes_next = "=" not in words[at] and _GLOBAL[words[at]]
        at += 2 if takes_next else 1
    ahead, rest = list(words[:at]), list(words[at:])
    depth = 2 if rest and rest[0] in _NOUNS else 1
    return [*rest[:depth], *ahead, *rest[depth:]]


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the whole tree, or the branch that ``words`` begin with: most of a short command's time goes
    here.
    """
    made = argparse.ArgumentParser(
        prog="overlayctl",
        description="Asks and tells this host's overlayd agent, a controller, or a lab. What most verbs\n"
        "take (-o, --json, --socket, --controller, --token-file) may stand before the verb as well.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    takes_form(made)  # for its help alone: `verb_first` has put it after the verb
    branches: dict[str, Callable[[Verbs], None]] = {
        "version": _version,
        "status": _status,
        "join": _join,
        "leave": _leave,
        "netcheck": _netcheck,
        "wait": _wait,
        "ping": _ping,
        "trace": _trace,
        "explain": _explain,
        "events": _events,
        "top": _top,
        "plan": _plan,
        "node": _node,
        "link": _link,
        "route": _route,
        "token": _token,
        "config": _config,
        **{name: _of_applications(name) for name in APPLICATIONS},
        "bugreport": _bugreport,
        "lab": _lab,
    }
    verbs = made.add_subparsers(required=True, metavar="VERB", prog="overlayctl")
    wanted = words[0] if words and words[0] in branches else None
    for name, plant in branches.items():
        if wanted in (None, name):
            plant(verbs)
    return made


def _asks_agent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--socket",
        default=os.environ.get("OVERLAYD_SOCKET", DEFAULT_SOCKET),
        metavar="PATH",
        help=f"the agent's socket (environment OVERLAYD_SOCKET, else {DEFAULT_SOCKET})",
    )


def _asks_controller(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--controller",
        default=os.environ.get("OVERLAYD_CONTROLLER"),
        metavar="URL",
        help="ask a controller's API: http://127.0.0.1:7480 or unix:/path (environment OVERLAYD_CONTROLLER)",
    )
    parser.add_argument(
        "--token-file",
        default=os.environ.get("OVERLAYD_ADMIN_TOKEN_FILE"),
        metavar="FILE",
        help="its admin token (environment OVERLAYD_ADMIN_TOKEN_FILE)",
    )


def _takes_class(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--class", dest="service", metavar="CLASS", help="class of service; default: the first"
    )


def _takes_moment(parser: argparse.ArgumentParser, option: str) -> None:
    text = "2026-05-04T12:00:00Z, or how long ago: 90s, 15m, 2h, 1d; default: now"
    parser.add_argument(option, metavar="TIME", help=text)


def _version(verbs: Verbs) -> None:
    verb(verbs, "version", "ctl_node:version", "show the version", "overlayctl version -o json")


def _status(verbs: Verbs) -> None:
    made = verb(verbs, "status", "ctl_node:status", "how this node stands", "overlayctl status --check")
    _asks_agent(made)
    made.add_argument("--check", action="store_true", help="exit code 6 if anything is degraded")


def _join(verbs: Verbs) -> None:
    made = verb(verbs, "join", "ctl_node:join", "join a network", "overlayctl join - < token.txt")
    _asks_agent(made)
    made.add_argument("token", metavar="TOKEN", help="made by `token create`; - reads it from stdin")


def _leave(verbs: Verbs) -> None:
    made = verb(verbs, "leave", "ctl_node:leave", "leave the network for good", "overlayctl leave")
    _asks_agent(made)
    made.add_argument("--force", action="store_true", help="even if the controller cannot be told")


def _netcheck(verbs: Verbs) -> None:
    text = "what blocks a join or a direct path: controller, clock, TUN, ports, UDP, NAT, path MTU"
    made = verb(verbs, "netcheck", "ctl_netcheck:netcheck", text, "overlayctl netcheck - < token.txt")
    _asks_agent(made)
    where = "join token, or wss://HOST:PORT of the controller; - reads it; default: this member's controller"
    made.add_argument("where", nargs="?", metavar="WHERE", help=where)
    made.add_argument("--config", default=CONFIGURATION, metavar="FILE", help=f"default {CONFIGURATION}")
    made.add_argument(
        "--reflector", metavar="HOST:PORT", help="ask this one over UDP; default: the controller's own"
    )
    from overlayd.model.duration import seconds_of

    text = "for the controller's answer to TCP, TLS and HTTP each; default 5s"
    made.add_argument("--timeout", type=seconds_of, default="5s", metavar="TIME", help=text)


def _wait(verbs: Verbs) -> None:
    text = "return when this node is online, or when its mesh is whole"
    made = verb(verbs, "wait", "ctl_wait:wait", text, "overlayctl wait --for online --timeout 60s")
    _asks_agent(made)
    from overlayd.model.duration import seconds_of

    made.add_argument(
        "--for",
        dest="goal",
        choices=("online", "whole"),
        default="online",
        help="online (default): member, with the mesh at hand and the engine forwarding; "
        "whole: nothing is degraded",
    )
    made.add_argument(
        "--timeout",
        type=seconds_of,
        default="60s",
        metavar="TIME",
        help="90s, 15m; default 60s; then exit code 124",
    )


def _ping(verbs: Verbs) -> None:
    made = verb(verbs, "ping", "ctl_ping:ping", "echo over the overlay", "overlayctl ping berlin -c 3")
    _asks_agent(made)
    made.add_argument("node", metavar="NODE", help="name of a node, or any overlay address")
    made.add_argument("-c", "--count", type=int, default=4, help="echoes to send; default 4")
    made.add_argument(
        "-i", "--interval", type=float, default=1.0, metavar="S", help="between echoes; default 1 s"
    )
    made.add_argument(
        "-W", "--timeout", type=float, default=2.0, metavar="S", help="for an answer; default 2 s"
    )
    made.add_argument("--dscp", type=int, default=0, help="code point, which selects the class of service")


def _trace(verbs: Verbs) -> None:
    text = "each hop of the path in use: RTT, loss, what repair brings back and costs"
    made = verb(verbs, "trace", "ctl_path:trace", text, "overlayctl trace berlin --class realtime")
    _asks_agent(made)
    _takes_class(made)
    made.add_argument("destination", metavar="DST")
    made.add_argument(
        "-W", "--timeout", type=float, default=3.0, metavar="S", help="for all hops; default 3 s"
    )


def _explain(verbs: Verbs) -> None:
    text = "chosen and rejected paths, with figures and reasons"
    example = "overlayctl explain berlin; overlayctl explain paris berlin --controller URL"
    made = verb(verbs, "explain", "ctl_path:explain", text, example)
    _asks_agent(made)
    _asks_controller(made)
    _takes_class(made)
    _takes_moment(made, "--at")
    made.add_argument(
        "places", nargs="+", metavar="[SRC] DST", help="source (default: this node) and destination"
    )


def _events(verbs: Verbs) -> None:
    text = "what happened on this host since its agent started, or in the mesh as its controller knows"
    made = verb(verbs, "events", "ctl_events:events", text, "overlayctl events --since 15m --watch")
    _asks_agent(made)
    _asks_controller(made)
    made.add_argument("--since", metavar="TIME", help="90s, 15m, 2h, 1d ago, or 2026-05-04T12:00:00Z")
    made.add_argument("--limit", type=int, default=200, metavar="N", help="newest events; default 200")
    made.add_argument("--watch", action="store_true", help="go on, a line of JSON for each event")


def _top(verbs: Verbs) -> None:
    text = "links, paths and flows as they are now: rates, RTT, loss, residual loss, redundancy, queue"
    made = verb(verbs, "top", "ctl_top:top", text, "overlayctl top --once")
    _asks_agent(made)
    made.add_argument("--once", action="store_true", help="one table; default where stdout is no terminal")
    made.add_argument("--watch", action="store_true", help="go on, a line of JSON for each look")
    made.add_argument("--all", action="store_true", help="idle links as well")
    made.add_argument(
        "-i", "--interval", type=float, default=2.0, metavar="S", help="between looks; default 2 s"
    )


def _plan(verbs: Verbs) -> None:
    text = "what would happen without a node or link, or if one became worse; changes nothing"
    made = verb(verbs, "plan", "ctl_plan:plan", text, "overlayctl plan --without-node oslo --controller URL")
    _asks_controller(made)
    made.add_argument("--without-node", action="append", default=[], metavar="NODE", help="is gone")
    made.add_argument("--without-link", action="append", default=[], metavar="A:B", help="is down, both ways")
    text = "has at least this much loss or RTT, both ways: a:b=loss:5%%, a:b=rtt:80ms"
    made.add_argument("--degrade", action="append", default=[], metavar="A:B=WHAT", help=text)


def _node(verbs: Verbs) -> None:
    made = verb(
        noun(verbs, "node", "members of the network"),
        "list",
        "ctl_lists:nodes",
        "members, as this node or a controller knows them",
        "overlayctl node list -o json",
    )
    _asks_agent(made)
    _asks_controller(made)


def _link(verbs: Verbs) -> None:
    link = noun(verbs, "link", "links of the underlay")
    text = "links, as this node or a controller knows them"
    made = verb(link, "list", "ctl_lists:links", text, "overlayctl link list")
    _asks_agent(made)
    _asks_controller(made)
    text = "one figure of all links, from row to column, now or in the past (controller only)"
    example = "overlayctl link matrix --metric loss --at 2h"
    made = verb(link, "matrix", "ctl_past:matrix", text, example)
    _asks_controller(made)
    _takes_moment(made, "--at")
    made.add_argument(
        "--metric", choices=("rtt", "loss", "residual"), default="rtt", help="residual: loss after repair"
    )


def _route(verbs: Verbs) -> None:
    route = noun(verbs, "route", "paths in use and back-ups")
    text = "routes of this node, or of any with a controller"
    example = "overlayctl route list --controller http://127.0.0.1:7480 --source paris"
    made = verb(route, "list", "ctl_lists:routes", text, example)
    _asks_agent(made)
    _asks_controller(made)
    made.add_argument("--source", metavar="NODE", help="whose routes (controller only)")
    text = "changes of the path from SRC to DST, who made them and why (controller only)"
    made = verb(route, "history", "ctl_past:history", text, "overlayctl route history paris berlin")
    _asks_controller(made)
    made.add_argument("--class", dest="service", metavar="CLASS", help="class of service; default: all")
    _takes_moment(made, "--until")
    made.add_argument("--limit", type=int, default=100, metavar="N", help="newest changes; default 100")
    made.add_argument("source", metavar="SRC")
    made.add_argument("destination", metavar="DST")

    _pin(route)


def _pin(route: Verbs) -> None:
    text = "have a path in force as long as it carries anything (controller only)"
    made = verb(route, "pin", "ctl_pins:pin", text, "overlayctl route pin paris berlin --via oslo,rome")
    _asks_controller(made)
    made.add_argument("source", metavar="SRC")
    made.add_argument("destination", metavar="DST")
    path = made.add_mutually_exclusive_group(required=True)
    path.add_argument("--via", metavar="A,B", help="over these relays, in order; two at most")
    path.add_argument("--direct", action="store_true", help="over the direct link")
    each = "class of service; default: all"
    made.add_argument("--class", dest="service", metavar="CLASS", help=each)
    text = "let the controller choose again"
    made = verb(route, "unpin", "ctl_pins:unpin", text, "overlayctl route unpin paris berlin")
    _asks_controller(made)
    made.add_argument("source", metavar="SRC")
    made.add_argument("destination", metavar="DST")
    made.add_argument("--class", dest="service", metavar="CLASS", help=each)
    made = verb(route, "pins", "ctl_pins:pins", "paths pinned by hand", "overlayctl route pins -o json")
    _asks_controller(made)


def _token(verbs: Verbs) -> None:
    from overlayd.model.duration import seconds_of

    token = noun(verbs, "token", "one-time join tokens (controller only)")
    example = "overlayctl token list --controller unix:/run/overlayd-controller/api.sock"
    made = verb(token, "list", "ctl_controller:tokens", "tokens, never their secrets", example)
    _asks_controller(made)
    example = "overlayctl token create --name paris --relay --controller http://127.0.0.1:7480"
    made = verb(token, "create", "ctl_controller:create_token", "make a token; it is shown once", example)
    _asks_controller(made)
    made.add_argument("--name", required=True, help="what the node will be called")
    made.add_argument("--relay", action="store_true", help="others' traffic may pass through the node")
    made.add_argument(
        "--prefix", action="append", default=[], metavar="CIDR", help="it may announce (repeatable)"
    )
    made.add_argument(
        "--ttl", type=seconds_of, default="15m", metavar="TIME", help="90s, 15m, 2h, 7d; default 15m"
    )


def _config(verbs: Verbs) -> None:
    from overlayd.model.duration import seconds_of

    config = noun(verbs, "config", "configuration of this host")
    text = "whether a file is a configuration; it needs no agent"
    made = verb(config, "check", "ctl_config:check", text, "overlayctl config check new.toml")
    made.add_argument("file", nargs="?", default=CONFIGURATION, metavar="FILE", help=_FILE_HELP)
    made.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="goes before the file"
    )
    text = "what a file would change of what is in force, and what of it needs a restart"
    made = verb(config, "diff", "ctl_config:diff", text, "overlayctl config diff new.toml")
    _asks_agent(made)
    made.add_argument("file", nargs="?", default=CONFIGURATION, metavar="FILE", help=_FILE_HELP)
    text = "put a file in force, for good or until it is not confirmed in time"
    example = "overlayctl config apply new.toml --confirm-within 60s"
    made = verb(config, "apply", "ctl_config:apply", text, example)
    _asks_agent(made)
    _writes(made)
    made.add_argument("file", metavar="FILE", help="the wanted configuration; - reads it from stdin")
    made.add_argument(
        "--confirm-within",
        type=seconds_of,
        metavar="TIME",
        help="90s, 15m: without `config confirm` by then the last good configuration is in force again",
    )
    made.add_argument(
        "--restart", action="store_true", help="the engine may be started anew: a second without traffic"
    )
    text = "keep the configuration that is on trial"
    made = verb(config, "confirm", "ctl_config:confirm", text, "overlayctl config confirm")
    _asks_agent(made)
    _writes(made)
    text = "end a trial now: the last good configuration is in force again"
    _asks_agent(verb(config, "rollback", "ctl_config:rollback", text, "overlayctl config rollback"))


def _bugreport(verbs: Verbs) -> None:
    text = "an archive of what helps to understand this host, without keys, tokens and passwords"
    example = "overlayctl bugreport --hide-addresses"
    made = verb(verbs, "bugreport", "ctl_bugreport:bugreport", text, example)
    _asks_agent(made)
    made.add_argument("file", nargs="?", metavar="FILE", help="default: overlayd-bugreport-TIME.tar.gz")
    made.add_argument("--config", default=CONFIGURATION, metavar="FILE", help=f"default {CONFIGURATION}")
    made.add_argument("--log", action="append", default=[], metavar="FILE", help="goes in too (repeatable)")
    made.add_argument("--hide-addresses", action="store_true", help="names stand for addresses")


def _writes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", default=CONFIGURATION, metavar="FILE", help=f"written when it is kept: {CONFIGURATION}"
    )


def _of_applications(name: str) -> Callable[[Verbs], None]:
    def plant(verbs: Verbs) -> None:
        from overlayd.cli import ctl_apps_arguments

        ctl_apps_arguments.plant(verbs, name)

    return plant


def _lab(verbs: Verbs) -> None:
    text = "networks of namespaces on this host"
    made = verbs.add_parser("lab", help=text, description=text)
    # The command line stands below the labs and does not know them: they plug themselves in.
    for entry in metadata.entry_points(group="overlayctl.verbs", name="lab"):
        with contextlib.suppress(ImportError):
            importlib.import_module(entry.value).add_arguments(made)
            made.set_defaults(handler=f"{entry.value}:run")
            return
    made.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    made.set_defaults(handler="overlayd.cli.ctl:no_labs")


if __name__ == "__main__":
    sys.exit(main())
