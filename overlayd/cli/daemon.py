"""``overlayd``: runs the processes of an edge host. I/O: arguments, environment, exit code.

Each role's modules are imported when it is chosen, so that no process pays for another's.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROLES = {
    "engine": "forwards packets: TUN, UDP, sessions, repair, switch-over",
    "agent": "probes, chooses paths, talks to the controller",
    "workload": "runs this host's applications, as the controller or a folder says",
    "run": "engine and agent, and workload where it is configured, as supervised child processes",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a role until it ends; return its exit code (2: what was asked for is wrong, 1: failed)."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_args(words)
    from overlayd.daemon.errors import StartError
    from overlayd.daemon.trial import Source

    try:
        flags = [*arguments.set, *([f"log.level={arguments.log_level}"] if arguments.log_level else [])]
        source = Source(arguments.config, os.environ, flags)
        configuration = source.load()
        match arguments.role:
            case "engine":
                from overlayd.daemon import engine

                return engine.run(configuration, source)
            case "agent":
                from overlayd.daemon import agent

                return agent.run(configuration, source)
            case "workload":
                from overlayd.workload import unit

                return unit.run(configuration)
            case _:
                from overlayd.daemon import supervise

                return supervise.run(configuration, words[words.index("run") + 1 :])
    except StartError as error:
        print(f"overlayd {arguments.role}: {error}", file=sys.stderr)
        return error.exit_code


def parser() -> argparse.ArgumentParser:
    """Return the arguments that this program takes."""
    made = argparse.ArgumentParser(
        prog="overlayd",
        description="Runs this host's part of the overlay network.",
        epilog="exit codes: 0 ended as told, 1 failed (again may help), 2 usage or configuration",
    )
    made.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    roles = made.add_subparsers(dest="role", required=True, metavar="engine|agent|workload|run")
    for role, purpose in ROLES.items():
        example = f"example: overlayd {role} --config /etc/overlayd/overlayd.toml --set log.level=debug"
        options = roles.add_parser(role, help=purpose, description=f"{role}: {purpose}", epilog=example)
        options.set_defaults(answers=())
        options.add_argument(
            "--config",
            type=Path,
            default=Path("/etc/overlayd/overlayd.toml"),
            metavar="FILE",
            help="configuration (default: %(default)s)",
        )
        options.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="SECTION.KEY=VALUE",
            help="a value that goes before file and environment; may be repeated",
        )
        options.add_argument(
            "--log-level", choices=("debug", "info", "warning", "error"), help="as log.level"
        )
    return made


class _Version(argparse.Action):
    """Imports the native module only if its version is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        from overlayd._engine import version

        print(f"overlayd {version()}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
