"""``overlayd-controller``: init, serve, tokens, nodes. Everything heavy is imported by the command that
needs it.

stdout is the answer, all else stderr. Exit codes: 0 ok, 1 failed, 2 usage or configuration, 4 not found,
5 denied, 7 conflict. Token and node commands work on the store, whether or not ``serve`` is running.
Root works on the state of another user as that user, so that the service can read what was written.
I/O.
"""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec.structs import replace

from controller.documents import (
    Document,
    Made,
    NetworkRow,
    NewToken,
    NewTokenRow,
    NodeRow,
    Nodes,
    Removed,
    RemovedRow,
    TokenRow,
    Tokens,
)
from overlayd.model.duration import seconds_of

if TYPE_CHECKING:
    from controller.state import State

DEFAULT_STATE = "/var/lib/overlayd-controller"
UNIT = Path("/lib/systemd/system/overlayd-controller.service")
SYSTEMD_RUNS = Path("/run/systemd/system")
"""Is there while systemd is this host's init: sd_booted(3)."""

OK, FAILED, USAGE, NOT_FOUND, DENIED, CONFLICT = 0, 1, 2, 4, 5, 7


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = parser().parse_args(argv)
    try:
        command: Callable[[argparse.Namespace], int] = arguments.run
        with _owner_of(arguments.state):
            code = command(arguments)
        if command is _init and not arguments.no_start:
            return _start_service(arguments.state)
        return code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        print(f"overlayd-controller: {error}", file=sys.stderr)
        return code


def parser() -> argparse.ArgumentParser:
    """Return the arguments that this program takes."""
    made = argparse.ArgumentParser(
        prog="overlayd-controller",
        description="The controller of an overlayd network.",
        epilog="exit codes: 0 ok, 1 failed, 2 usage or configuration, 4 not found, 5 denied, 7 conflict",
    )
    made.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    _add_init(commands)
    example = f"example: overlayd-controller serve --state {DEFAULT_STATE}"
    serve = commands.add_parser("serve", parents=[_STATE], help="run the controller", epilog=example)
    serve.set_defaults(run=_serve, answers=())
    kubeconfig = commands.add_parser(
        "kubeconfig",
        parents=[_STATE],
        help="what kubectl needs to reach this controller's applications; it contains the admin token",
        epilog="example: overlayd-controller kubeconfig > overlayd.kubeconfig",
    )
    kubeconfig.add_argument(
        "--server",
        default=None,
        metavar="HOST:PORT",
        help="how kubectl reaches it; default: where it listens",
    )
    kubeconfig.set_defaults(run=_kubeconfig, answers=())
    _add_token(commands)
    _add_node(commands)
    return made


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # pyright: ignore[reportPrivateUsage]

_STATE = argparse.ArgumentParser(add_help=False)
_STATE.add_argument(
    "--state", type=Path, default=Path(DEFAULT_STATE), metavar="DIR", help=f"default {DEFAULT_STATE}"
)
_SHOWN = argparse.ArgumentParser(add_help=False)
_SHOWN.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default table")
_SHOWN.add_argument("--json", dest="output", action="store_const", const="json", help="same as -o json")


def _add_init(commands: _Commands) -> None:
    init = commands.add_parser(
        "init",
        parents=[_STATE, _SHOWN],
        help="make a new network's controller",
        epilog="example: overlayd-controller init --network demo --listen 192.0.2.1:7443",
    )
    init.add_argument("--network", required=True, metavar="NAME")
    init.add_argument(
        "--listen", default=None, metavar="HOST:PORT", help="where agents connect; default [::]:7443"
    )
    init.add_argument(
        "--node", action="append", default=[], metavar="NAME", help="print a join token for it (repeatable)"
    )
    init.add_argument(
        "--relay",
        action="append",
        default=[],
        metavar="NAME",
        help="as --node; others' traffic may pass through it (repeatable)",
    )
    init.add_argument(
        "--no-start", action="store_true", help="do not start the systemd service, where there is one"
    )
    init.add_argument(
        "--advertise",
        action="append",
        default=[],
        metavar="wss://HOST:PORT",
        help="how agents reach it (repeatable; tokens carry the first); default: the address it listens on",
    )
    init.add_argument(
        "--api",
        default=None,
        metavar="ADDR",
        help="HTTP API: HOST:PORT or unix:/path; default 127.0.0.1:7480",
    )
    init.add_argument(
        "--pool", default=None, metavar="CIDR", help="overlay IPv4 addresses; default 100.64.0.0/16"
    )
    init.add_argument("--suite", choices=("aes256-gcm", "chacha20-poly1305"), default="aes256-gcm")
    init.set_defaults(run=_init, answers=("overlayd.controller.init/1",))


def _add_token(commands: _Commands) -> None:
    token = commands.add_parser("token", help="one-time join tokens").add_subparsers(
        required=True, metavar="VERB"
    )
    create = token.add_parser(
        "create",
        parents=[_STATE, _SHOWN],
        help="make a token; it is shown once",
        epilog="example: overlayd-controller token create --name paris --relay --prefix 192.168.7.0/24",
    )
    create.add_argument("--name", required=True, help="what the node will be called")
    create.add_argument("--relay", action="store_true", help="others' traffic may pass through the node")
    create.add_argument(
        "--prefix", action="append", default=[], metavar="CIDR", help="the node may announce it (repeatable)"
    )
    create.add_argument(
        "--price",
        type=float,
        default=0.0,
        metavar="PER_GB",
        help="what a GB sent from it costs, for the class bulk",
    )
    create.add_argument(
        "--ttl", type=seconds_of, default="15m", metavar="TIME", help="90s, 15m, 2h, 7d; default 15m"
    )
    create.set_defaults(run=_token_create, answers=("overlayd.controller.token/1",))
    listing = token.add_parser(
        "list",
        parents=[_STATE, _SHOWN],
        help="all tokens (never their secrets)",
        epilog="example: overlayd-controller token list -o json",
    )
    listing.set_defaults(run=_token_list, answers=("overlayd.controller.tokens/1",))


def _add_node(commands: _Commands) -> None:
    node = commands.add_parser("node", help="members of the network").add_subparsers(
        required=True, metavar="VERB"
    )
    nodes = node.add_parser(
        "list", parents=[_STATE, _SHOWN], help="all nodes", epilog="example: overlayd-controller node list"
    )
    nodes.set_defaults(run=_node_list, answers=("overlayd.controller.nodes/1",))
    remove = node.add_parser(
        "remove",
        parents=[_STATE, _SHOWN],
        help="revoke a node; its name becomes free",
        epilog="example: overlayd-controller node remove oslo --reason stolen",
    )
    remove.add_argument("name")
    remove.add_argument("--reason", default="removed by the operator")
    remove.set_defaults(run=_node_remove, answers=("overlayd.controller.node-removed/1",))


def _init(arguments: argparse.Namespace) -> int:
    from controller.config import DEFAULT_API, DEFAULT_LISTEN, Config, default_advertise
    from controller.server.membership import create_token
    from controller.state import DEFAULT_POOL, ROOT_KEY, create_state

    listen = arguments.listen or DEFAULT_LISTEN
    config = Config(
        listen=listen,
        advertise=tuple(arguments.advertise) or default_advertise(listen),
        api=arguments.api or DEFAULT_API,
    )
    pool = arguments.pool or DEFAULT_POOL
    with create_state(arguments.state, arguments.network, config, suite=arguments.suite, pool=pool) as state:
        facts = NetworkRow(
            network=state.network.name,
            id=state.network.id,
            state=str(arguments.state),
            pin=state.issuer.authority.pin,
            ipv4=state.network.ipv4_pool,
            ipv6=str(state.issuer.plan.ipv6),
            root_key=str(arguments.state / ROOT_KEY),
        )
        names = dict.fromkeys((*arguments.node, *arguments.relay))
        tokens = {name: create_token(state, name, relay=name in arguments.relay).text for name in names}
    if arguments.output == "json":
        _show(arguments, Made((replace(facts, tokens=tokens),)))
    else:
        _show(arguments, Made((facts,)))
        for name, token in tokens.items():
            print(f"\non {name}, within 15 minutes:\n  overlayctl join {token}")
    print(f"Keep {facts.root_key} offline: it is needed only to replace the intermediate.", file=sys.stderr)
    return OK


def _start_service(directory: Path) -> int:
    """Have systemd run the new controller, if it is the one that the unit is for; wait until it serves."""
    meant = str(directory) == DEFAULT_STATE and os.geteuid() == 0
    if not meant or not UNIT.exists() or not SYSTEMD_RUNS.exists():
        print(f"Next: overlayd-controller serve --state {directory}", file=sys.stderr)
        return OK
    import subprocess

    start = ["systemctl", "start", UNIT.name]
    if subprocess.run(start, check=False).returncode == 0:
        return OK
    print(
        "overlayd-controller: the network is made; the service did not start: "
        f"see `journalctl -u {UNIT.stem}`, then `systemctl start {UNIT.stem}`",
        file=sys.stderr,
    )
    return FAILED


@contextlib.contextmanager
def _owner_of(directory: Path) -> Generator[None]:
    """Be the owner of ``directory`` for a while, where root is asked to work on another's."""
    owner = directory.stat() if directory.exists() else None
    if owner is None or os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    from controller.store.database import migrations

    migrations()  # read as root: where we are installed may be closed to the owner of the state
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def _serve(arguments: argparse.Namespace) -> int:
    from controller.logs import set_up
    from controller.server.serve import run
    from controller.state import StateError, keep_metrics_token, open_state

    state = open_state(arguments.state, check=True)
    set_up(state.config.log.level)
    try:
        keep_metrics_token(state)
    except StateError as error:  # a disk that is full, after an upgrade: no reason not to serve
        logging.getLogger(__name__).warning("Prometheus has no token of its own yet: %s", error)
    if state.config.orchestration is None:
        run(state)
    else:
        from controller.orchestration.serving.server import orchestration

        run(state, orchestration)
    return OK


def _kubeconfig(arguments: argparse.Namespace) -> int:
    from controller.orchestration.serving.kubeconfig import kubeconfig

    with _state(arguments) as state:
        print(kubeconfig(state, arguments.server), end="")
    return OK


def _token_create(arguments: argparse.Namespace) -> int:
    from controller.registry import timestamp
    from controller.server.membership import create_token

    with _state(arguments) as state:
        made = create_token(
            state,
            arguments.name,
            relay=arguments.relay,
            prefixes=tuple(arguments.prefix),
            price_per_gb=arguments.price,
            ttl_s=arguments.ttl,
        )
    if arguments.output == "table":
        print(made.text)
        print(f"for {made.grant.name}, until {timestamp(made.grant.expires_at)}", file=sys.stderr)
    else:
        row = NewTokenRow(made.text, made.grant.name, timestamp(made.grant.expires_at))
        _show(arguments, NewToken((row,)))
    return OK


def _token_list(arguments: argparse.Namespace) -> int:
    import time

    from controller.registry import timestamp

    now = time.time()
    with _state(arguments) as state:
        tokens = state.store.tokens()
    rows = (
        TokenRow(
            id=token.digest[:12],
            name=token.name,
            state=token.state(now),
            relay=token.relay,
            prefixes=token.prefixes,
            expires=timestamp(token.expires_at),
        )
        for token in tokens
    )
    _show(arguments, Tokens(tuple(rows)))
    return OK


def _node_list(arguments: argparse.Namespace) -> int:
    with _state(arguments) as state:
        nodes = [member.node for member in state.store.members()]
    rows = (
        NodeRow(
            name=node.metadata.name,
            id=node.spec.id,
            addresses=node.spec.addresses,
            relay=node.spec.relay,
            announced=node.status.announced,
            connected=node.connected,
            last_seen=node.status.last_seen,
        )
        for node in nodes
    )
    _show(arguments, Nodes(tuple(rows)))
    return OK


def _node_remove(arguments: argparse.Namespace) -> int:
    from controller.server.membership import find, remove

    with _state(arguments) as state:
        gone = remove(state, find(state, arguments.name).spec.id, arguments.reason)
    _show(arguments, Removed((RemovedRow(gone.metadata.name, gone.spec.id),)))
    return OK


def _state(arguments: argparse.Namespace) -> "State":
    from controller.state import open_state

    return open_state(arguments.state)


def _show(arguments: argparse.Namespace, made: Document) -> None:
    document: dict[str, Any] = msgspec.to_builtins(made)
    if arguments.output == "json":
        import json

        print(json.dumps(document, indent=2))
        return
    rows: list[dict[str, Any]] = [*document["items"]]
    if not rows:
        print("none", file=sys.stderr)
        return
    heads = [key for key in rows[0] if key != "tokens"]
    table = [[key.upper() for key in heads], *([_cell(row[key]) for key in heads] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(heads))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    match value:
        case None | [] | ():
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ",".join(str(item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _:
            return str(value)


class _Version(argparse.Action):
    """Imports the native module only if its version is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from overlayd._engine import version

        print(f"overlayd-controller {version()}")
        parser.exit(0)


def _exit_code(error: Exception) -> int | None:
    """Return the exit code of an error that a person can act on; None for a bug, which keeps its
    traceback.
    """
    from controller.config import ConfigError
    from controller.enrolment.errors import BadRequest, EnrolmentError, NotAMember
    from controller.server.serve import BindError
    from controller.state import StateError, StateExists, StateMissing
    from controller.store.database import StoreError

    match error:
        case ConfigError() | BadRequest():
            return USAGE
        case NotAMember() | StateMissing():
            return NOT_FOUND
        case StateExists():
            return CONFLICT
        case PermissionError():
            return DENIED
        case EnrolmentError() | StateError() | StoreError() | BindError() | OSError():
            return FAILED
        case _:
            return None


if __name__ == "__main__":
    sys.exit(main())
