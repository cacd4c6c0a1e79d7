"""``overlayctl apply``, ``get`` and ``delete``: objects of the controller's API of applications.

I/O: the API, files, stdout; warnings of the API go to stderr.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from overlayd.cli.ctl_apps_client import Api
from overlayd.cli.ctl_apps_kinds import Kinds, Resource
from overlayd.cli.ctl_apps_placing import lines_of, split
from overlayd.cli.ctl_apps_yaml import read_documents, written
from overlayd.cli.ctl_client import Document
from overlayd.cli.ctl_failure import NOT_FOUND, OK, TIMEOUT, USAGE, Failure
from overlayd.cli.ctl_output import emit, emit_lines, say, table

MANAGER = "overlayctl"
_APPLY = "application/apply-patch+yaml"
_AS_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_POLL_S = 0.3


def apply(arguments: argparse.Namespace) -> int:
    """Apply all objects of the files, one after the other; the first that is refused ends it."""
    api = Api(arguments)
    kinds = Kinds(api)
    query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
    if arguments.dry_run:
        query["dryRun"] = "All"
    if arguments.force:
        query["force"] = "true"
    items: list[Document] = []
    for value in _objects(arguments.file):
        resource = kinds.of(value)
        namespace, name = _place_of(value, resource, api)
        path = resource.path(namespace, name)
        before = _if_there(api, path)
        made, warnings = api.ask("PATCH", path, query, value, media=_APPLY)
        _warn(warnings)
        placing, lasting = split(made)
        result = "created" if before is None else "unchanged" if _same(before, lasting) else "configured"
        item = {"kind": resource.kind, "namespace": namespace if resource.namespaced else None, "name": name,
                "result": result, "warnings": warnings, "object": made}  # fmt: skip
        items.append(item)
        if arguments.output == "table":
            tail = " (dry run)" if arguments.dry_run else ""
            say("\n".join([f"{resource.label}/{name} {result}{tail}", *lines_of(placing)]))
    if arguments.output != "table":
        _show(arguments, {"schema": "overlayd.applied/1", "items": items, "dryRun": arguments.dry_run})
    return OK


def get(arguments: argparse.Namespace) -> int:
    """Show objects."""
    api = Api(arguments)
    resource = Kinds(api).named(arguments.kind)
    namespace = None if arguments.all_namespaces else api.namespace
    query = {"labelSelector": arguments.selector} if arguments.selector else {}
    if arguments.watch:
        return _watch(api, resource, namespace, arguments.names, query)
    if arguments.output in ("table", "wide"):
        return _table(arguments, api, resource, namespace, query)
    items: list[Document] = []
    for name in arguments.names or [""]:
        found, _ = api.ask("GET", resource.path(namespace, name), query)
        items += [found] if name else [_whole(resource, one) for one in found["items"]]
    _show(arguments, {"schema": "overlayd.objects/1", "items": items})
    return OK


def delete(arguments: argparse.Namespace) -> int:
    """Delete objects."""
    api = Api(arguments)
    kinds = Kinds(api)
    meant: list[tuple[Resource, str, str]] = []
    for value in _objects(arguments.file):
        resource = kinds.of(value)
        meant.append((resource, *_place_of(value, resource, api)))
    if arguments.kind:
        resource = kinds.named(arguments.kind)
        meant += [(resource, api.namespace, name) for name in arguments.names]
    if not meant:
        raise Failure(USAGE, "say what to delete: KIND NAME, or -f FILE")
    items: list[Document] = []
    for resource, namespace, name in meant:
        left, _ = api.ask("DELETE", resource.path(namespace, name))
        uid = left["metadata"]["uid"] if left["kind"] == resource.kind else None
        items.append({"kind": resource.kind, "namespace": namespace if resource.namespaced else None,
                      "name": name, "gone": uid is None, "uid": uid})  # fmt: skip
    end = time.monotonic() + arguments.timeout
    for item, (resource, namespace, name) in zip(items, meant, strict=True):
        if not item["gone"] and not arguments.no_wait:
            _wait_until_gone(api, resource.path(namespace, name), item["uid"], end)
            item["gone"] = True
        del item["uid"]
        if arguments.output == "table":
            say(f"{resource.label}/{name} {'deleted' if item['gone'] else 'is being deleted'}")
    if arguments.output != "table":
        _show(arguments, {"schema": "overlayd.deleted/1", "items": items})
    return OK


def _objects(files: Iterable[str]) -> Iterator[Document]:
    for file in files:
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        except OSError as error:
            raise Failure(USAGE, f"{file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise Failure(USAGE, f"{file}: not a text in UTF-8") from error
        found = read_documents(file, text)
        if not found:
            raise Failure(USAGE, f"{file} holds no object")
        yield from found


def _place_of(value: Document, resource: Resource, api: Api) -> tuple[str, str]:
    meta = cast("Document", value["metadata"]) if isinstance(value.get("metadata"), dict) else {}
    if not isinstance(meta.get("name"), str):
        raise Failure(USAGE, f"a {resource.kind} has no metadata.name")
    return str(meta.get("namespace") or api.namespace), meta["name"]


def _if_there(api: Api, path: str) -> Document | None:
    try:
        return api.ask("GET", path)[0]
    except Failure as failure:
        if failure.exit_code == NOT_FOUND:
            return None
        raise


def _same(before: Document, after: Document) -> bool:
    """Tell whether an object is what it was, but for who set its fields."""

    def lasting(value: Document) -> Document:
        gone = ("managedFields", "resourceVersion")
        return {**value, "metadata": {key: one for key, one in value["metadata"].items() if key not in gone}}

    return lasting(before) == lasting(after)


def _whole(resource: Resource, value: Document) -> Document:
    """Items of a list of the core group do not name their kind."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **value}


def _table(
    arguments: argparse.Namespace, api: Api, resource: Resource, namespace: str | None, query: dict[str, str]
) -> int:
    columns: list[Document] = []
    rows: list[Document] = []
    for name in arguments.names or [""]:
        found, warnings = api.ask("GET", resource.path(namespace, name), query, accept=_AS_TABLE)
        _warn(warnings)
        columns = found["columnDefinitions"]
        rows += found["rows"]
    if not rows:
        print(f"no {resource.plural}" + (f" in namespace {namespace}" if namespace else ""), file=sys.stderr)
        return OK
    shown = [at for at, one in enumerate(columns) if arguments.output == "wide" or one["priority"] == 0]
    in_front = resource.namespaced and namespace is None
    head = [columns[at]["name"].upper() for at in shown]
    lines = [[_cell(row["cells"][at]) for at in shown] for row in rows]
    if in_front:
        head = ["NAMESPACE", *head]
        lines = [
            [row["object"]["metadata"]["namespace"], *line] for row, line in zip(rows, lines, strict=True)
        ]
    say(table(head, lines))
    return OK


def _cell(value: object) -> str:
    return "-" if value in (None, "") else str(value)


def _watch(
    api: Api, resource: Resource, namespace: str | None, names: list[str], query: dict[str, str]
) -> int:
    """Show what there is, then each change, a line of JSON each, until it is ended."""
    if len(names) > 1:
        raise Failure(USAGE, "--watch takes one name, or none")
    asked = {**query, "watch": "true"}
    if names:
        asked["fieldSelector"] = f"metadata.name={names[0]}"
    for line in api.lines(resource.path(namespace), asked):
        event: Document = json.loads(line)
        if event["type"] == "ERROR":
            raise Failure(USAGE, str(event["object"].get("message")))
        if event["type"] != "BOOKMARK":
            emit({"type": event["type"], "object": event["object"], "schema": "overlayd.object-change/1"})
            sys.stdout.flush()
    return OK


def _wait_until_gone(api: Api, path: str, uid: str, end: float) -> None:
    while (left := _if_there(api, path)) is not None and left["metadata"]["uid"] == uid:
        if time.monotonic() >= end:
            held = ", ".join(left["metadata"].get("finalizers", [])) or "nothing that it says"
            raise Failure(TIMEOUT, f"{path.rpartition('/')[2]} is not gone yet; it is held by {held}")
        time.sleep(_POLL_S)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print(f"overlayctl: {warning}", file=sys.stderr)


def _show(arguments: argparse.Namespace, document: Document) -> None:
    show(arguments.output, document, "items")


def show(form: str, document: dict[str, Any], rows: str) -> None:
    """Print a document as ``json``, ``jsonl`` (its ``rows`` one by one) or ``yaml``."""
    match form:
        case "yaml":
            say(written(document))
        case "jsonl":
            emit_lines(document[rows], document["schema"])
        case _:
            emit(document)
