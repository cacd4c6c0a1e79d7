"""``overlayctl logs``: of a pod, or of all pods of an app. I/O: the API, stdout."""

import argparse
import queue
import sys
import threading
from collections.abc import Iterator

from overlayd.cli.ctl_apps import show
from overlayd.cli.ctl_apps_client import Api
from overlayd.cli.ctl_client import Document
from overlayd.cli.ctl_failure import NOT_FOUND, OK, Failure
from overlayd.cli.ctl_output import emit, say

SCHEMA = "overlayd.log/1"
OF_AN_APP = 10
"""Lines of each of several pods, where nothing else is said."""


def logs(arguments: argparse.Namespace) -> int:
    """Show logs; of several pods each line with its pod's name before it."""
    api = Api(arguments)
    kind, of, app = arguments.what.partition("/")
    pods = _pods_of(api, app) if of and kind in ("app", "apps") else [app if of else arguments.what]
    query = _query(arguments, several=len(pods) > 1)
    lines = _merged(api, pods, query) if arguments.follow and len(pods) > 1 else _in_turn(api, pods, query)
    kept: list[Document] = []
    for pod, line in lines:
        match arguments.output:
            case "table":
                say(f"{pod}  {line}" if len(pods) > 1 else line)
            case "jsonl":
                emit({"pod": pod, "line": line, "schema": SCHEMA})
            case _:
                kept.append({"pod": pod, "line": line})
        if arguments.follow:
            sys.stdout.flush()
    if arguments.output == "json":
        show("json", {"schema": SCHEMA, "items": kept}, "items")
    return OK


def _pods_of(api: Api, app: str) -> list[str]:
    path = f"/api/v1/namespaces/{api.namespace}/pods"
    found, _ = api.ask("GET", path, {"labelSelector": f"overlayd.io/app={app}"})
    names = [one["metadata"]["name"] for one in found["items"]]
    if not names:
        raise Failure(NOT_FOUND, f"the app {app!r} has no pods in namespace {api.namespace}")
    return names


def _query(arguments: argparse.Namespace, *, several: bool) -> dict[str, str]:
    tail = OF_AN_APP if several and arguments.tail is None and arguments.since is None else arguments.tail
    asked = {
        "container": arguments.container,
        "follow": "true" if arguments.follow else "",
        "tailLines": "" if tail is None else str(tail),
        "sinceSeconds": "" if arguments.since is None else str(max(1, round(arguments.since))),
        "timestamps": "true" if arguments.timestamps else "",
        "previous": "true" if arguments.previous else "",
    }
    return {key: value for key, value in asked.items() if value}


def _in_turn(api: Api, pods: list[str], query: dict[str, str]) -> Iterator[tuple[str, str]]:
    for pod in pods:
        for line in api.lines(f"/api/v1/namespaces/{api.namespace}/pods/{pod}/log", query):
            yield pod, line.decode(errors="replace")


def _merged(api: Api, pods: list[str], query: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Lines of all pods as they come; raises what ended the first that failed once all have ended."""
    found: queue.Queue[tuple[str, str] | Failure | None] = queue.Queue(1000)

    def read(pod: str) -> None:
        try:
            for one in _in_turn(api, [pod], query):
                found.put(one)
        except Failure as failure:
            found.put(Failure(failure.exit_code, f"{pod}: {failure}"))
        finally:
            found.put(None)

    for pod in pods:
        threading.Thread(target=read, args=(pod,), daemon=True).start()
    left, failed = len(pods), None
    while left:
        match found.get():
            case None:
                left -= 1
            case Failure() as failure:
                failed = failed or failure
                print(f"overlayctl: {failure}", file=sys.stderr)
            case one:
                yield one
    if failed is not None:
        raise failed
