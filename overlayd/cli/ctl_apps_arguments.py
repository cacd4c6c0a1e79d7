"""The arguments of ``overlayctl apply|get|describe|delete|logs|rollout``: what runs on the mesh. Pure."""

import argparse

from overlayd.cli.ctl_parsing import Verbs, noun, verb
from overlayd.model.duration import seconds_of

DEFAULT_SERVER = "https://127.0.0.1:7481"
FORMS = ("table", "json", "jsonl", "yaml")


def plant(verbs: Verbs, name: str) -> None:
    """Declare one of the verbs."""
    {
        "apply": _apply,
        "get": _get,
        "describe": _describe,
        "delete": _delete,
        "logs": _logs,
        "rollout": _rollout,
    }[name](verbs)


def _asks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", default=None, metavar="NAME", help="default: default")
    parser.add_argument(
        "--server",
        metavar="URL",
        help="the controller's API of applications (environment OVERLAYD_SERVER, else what the kubeconfig "
        f"says, else {DEFAULT_SERVER})",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="its admin token (environment OVERLAYD_ADMIN_TOKEN_FILE)",
    )
    parser.add_argument(
        "--ca-file",
        metavar="FILE",
        help="the network's authority (environment OVERLAYD_CA_FILE); default: ca/root.pem beside the token, "
        "else that of this host's agent",
    )
    parser.add_argument(
        "--kubeconfig",
        metavar="FILE",
        help="says all of that (environment KUBECONFIG); made by `overlayd-controller kubeconfig`",
    )


def _takes_files(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "-f",
        "--file",
        action="append",
        default=[],
        required=required,
        metavar="FILE",
        help="objects in YAML or JSON; - reads stdin (repeatable)",
    )


def _apply(verbs: Verbs) -> None:
    text = "have objects be as a file says; fields of others are left alone"
    made = verb(verbs, "apply", "ctl_apps:apply", text, "overlayctl apply -f qc.yaml --dry-run", FORMS)
    _asks(made)
    _takes_files(made, required=True)
    made.add_argument(
        "--dry-run", action="store_true", help="change nothing; say what would be, and where apps would go"
    )
    made.add_argument("--force", action="store_true", help="take over fields that others have set")


def _get(verbs: Verbs) -> None:
    text = "objects of a kind: apps, approutes, pods, usergroups, nodes, events …"
    example = "overlayctl get apps; overlayctl get pods -l overlayd.io/app=qc -o yaml"
    made = verb(verbs, "get", "ctl_apps:get", text, example, ("table", "wide", "json", "jsonl", "yaml"))
    _asks(made)
    made.add_argument("kind", metavar="KIND", help="its name, plural or short name")
    made.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    made.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    made.add_argument(
        "-l", "--selector", default="", metavar="LABELS", help="that have these: app=qc,tier!=web"
    )
    made.add_argument("--watch", action="store_true", help="go on, a line of JSON for each change")


def _describe(verbs: Verbs) -> None:
    text = "one object: what is wanted, how it is, what happened to it"
    made = verb(verbs, "describe", "ctl_apps_describe:describe", text, "overlayctl describe app qc", FORMS)
    _asks(made)
    made.add_argument("kind", metavar="KIND", help="its name, plural or short name")
    made.add_argument("name", metavar="NAME")


def _delete(verbs: Verbs) -> None:
    text = "delete objects, and wait until they are gone"
    made = verb(
        verbs, "delete", "ctl_apps:delete", text, "overlayctl delete app qc; overlayctl delete -f qc.yaml"
    )
    _asks(made)
    _takes_files(made, required=False)
    made.add_argument("kind", nargs="?", metavar="KIND", help="its name, plural or short name")
    made.add_argument("names", nargs="*", metavar="NAME")
    made.add_argument("--no-wait", action="store_true", help="do not wait until they are gone")
    made.add_argument(
        "--timeout",
        type=seconds_of,
        default="120s",
        metavar="TIME",
        help="90s, 15m; default 120s; then exit code 124",
    )


def _logs(verbs: Verbs) -> None:
    text = "what a pod, or all pods of an app, have written"
    made = verb(verbs, "logs", "ctl_apps_logs:logs", text, "overlayctl logs app/qc --follow --tail 10")
    _asks(made)
    made.add_argument("what", metavar="POD", help="name of a pod, or app/NAME for all pods of an app")
    made.add_argument("-c", "--container", default="", metavar="NAME", help="default: the only one")
    made.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    made.add_argument("--tail", type=int, metavar="N", help="newest lines; default: all, of an app 10")
    made.add_argument("--since", type=seconds_of, metavar="TIME", help="90s, 15m, 2h, 1d ago")
    made.add_argument("--timestamps", action="store_true", help="with the time before each line")
    made.add_argument("--previous", action="store_true", help="of the container before its last restart")


def _rollout(verbs: Verbs) -> None:
    rollout = noun(verbs, "rollout", "how an app comes to its newest revision")
    text = "how far it is; waits until it is done or has failed, unless --no-wait"
    made = verb(rollout, "status", "ctl_apps_rollout:status", text, "overlayctl rollout status qc", FORMS)
    _of_app(made)
    made.add_argument("--no-wait", action="store_true", help="say how it is now")
    made.add_argument(
        "--timeout",
        type=seconds_of,
        default="10m",
        metavar="TIME",
        help="90s, 15m; default 10m; then exit code 124",
    )
    text = "revisions that there were"
    made = verb(rollout, "history", "ctl_apps_rollout:history", text, "overlayctl rollout history qc", FORMS)
    _of_app(made)
    text = "go back to an earlier revision"
    made = verb(rollout, "undo", "ctl_apps_rollout:undo", text, "overlayctl rollout undo qc", FORMS)
    _of_app(made)
    made.add_argument("--to", metavar="REVISION", help="of `rollout history`; default: the one before")
    for name, text in (
        ("pause", "leave instances what and where they are, whatever is changed"),
        ("resume", "go on after a pause"),
        ("restart", "replace all instances, one after the other, as for a new revision"),
    ):
        made = verb(rollout, name, f"ctl_apps_rollout:{name}", text, f"overlayctl rollout {name} qc", FORMS)
        _of_app(made)


def _of_app(parser: argparse.ArgumentParser) -> None:
    _asks(parser)
    parser.add_argument("app", metavar="APP", help="name of an app")
