"""``overlayctl describe``: one object for people. I/O: the API, stdout."""

import argparse
from typing import Any, cast

from overlayd.cli.ctl_apps import show
from overlayd.cli.ctl_apps_client import Api
from overlayd.cli.ctl_apps_kinds import Kinds, Resource
from overlayd.cli.ctl_client import Document
from overlayd.cli.ctl_failure import OK
from overlayd.cli.ctl_output import say, table

_HIDDEN = ("managedFields", "resourceVersion", "uid", "generation", "name", "namespace")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def describe(arguments: argparse.Namespace) -> int:
    """Show what is wanted of an object, how it is, and what happened to it."""
    api = Api(arguments)
    resource = Kinds(api).named(arguments.kind)
    value, _ = api.ask("GET", resource.path(api.namespace, arguments.name))
    events = _events(api, resource, value)
    if arguments.output != "table":
        document = {"schema": "overlayd.description/1", "object": value, "events": events}
        show(arguments.output, document, "events")
        return OK
    say("\n".join(_text(value)))
    if events:
        rows = [
            (
                one.get("lastTimestamp") or one.get("eventTime") or "-",
                one.get("type", "-"),
                one.get("reason", "-"),
                " ".join(str(one.get("message", "")).split()),
            )
            for one in events
        ]
        say("\nevents:\n" + table(("LAST SEEN", "TYPE", "REASON", "MESSAGE"), rows))
    return OK


def _events(api: Api, resource: Resource, value: Document) -> list[Document]:
    """Events about an object, the newest last."""
    meta = value["metadata"]
    about = {"involvedObject.uid": meta["uid"], "involvedObject.kind": resource.kind}
    selector = ",".join(f"{key}={one}" for key, one in about.items())
    place = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    found, _ = api.ask("GET", f"/api/v1{place}/events", {"fieldSelector": selector})
    return sorted(found["items"], key=lambda one: one.get("lastTimestamp") or one.get("eventTime") or "")


def _text(value: Document) -> list[str]:
    meta = value["metadata"]
    lines = [f"{value['kind']} {meta['name']}" + (f" in {meta['namespace']}" if "namespace" in meta else "")]
    shown = {key: one for key, one in meta.items() if key not in _HIDDEN}
    shown["annotations"] = {
        key: one for key, one in meta.get("annotations", {}).items() if key != _LAST_APPLIED
    }
    lines += _lines({key: one for key, one in shown.items() if one not in ({}, [])}, 1)
    status = dict(value.get("status", {}))
    conditions = status.pop("conditions", [])
    for key, part in value.items():
        if key not in ("apiVersion", "kind", "metadata", "status"):
            lines += ["", f"{key}:", *_lines(part, 1)]
    if conditions:
        rows = [
            (one["type"], one["status"], one.get("reason", "-"), one.get("lastTransitionTime") or "-",
             one.get("message", ""))
            for one in conditions
        ]  # fmt: skip
        lines += ["", table(("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"), rows)]
    if status:
        lines += ["", "status:", *_lines(status, 1)]
    return lines


def _lines(value: Any, depth: int) -> list[str]:
    """A value as indented lines, a list's items with dashes."""
    pad = "  " * depth
    match value:
        case dict() if value:
            lines: list[str] = []
            for key, part in cast("Document", value).items():
                if isinstance(part, dict | list) and part:
                    lines += [f"{pad}{key}:", *_lines(part, depth + 1)]
                else:
                    lines.append(f"{pad}{key}: {_plain(part)}")
            return lines
        case list() if value:
            lines = []
            for part in cast("list[Any]", value):
                first, *rest = _lines(part, depth + 1)
                lines += [f"{pad}- {first.lstrip()}", *rest]
            return lines
        case _:
            return [f"{pad}{_plain(value)}"]


def _plain(value: Any) -> str:
    match value:
        case None | {} | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value).replace("\n", "\n" + " " * 8)
