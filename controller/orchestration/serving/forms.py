"""Objects in the form that was asked for: as they are, tables, metadata alone; one, listed, as they change.

Objects that go out as they are kept are not decoded. I/O only in :func:`stream`, which waits for changes.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.schema import Object
from controller.orchestration.objects.selectors import Selector
from controller.orchestration.objects.tables import columns, partial, row
from controller.orchestration.serving.asking import Form
from controller.orchestration.serving.watching import Hub, Seen, Watcher
from controller.orchestration.store.store import Listed

BOOKMARK_S = 60.0
LONGEST_S = 3600.0


def one(kind: Kind, value: Object, form: Form, now: float) -> Object:
    """Return one object (or a list, or a Status) in a form."""
    if value.get("kind") != kind.name:
        return value
    match form.shape:
        case "Table":
            return table(
                kind, [value], {"resourceVersion": value["metadata"].get("resourceVersion", "")}, form, now
            )
        case "PartialObjectMetadata":
            return partial(value)
        case _:
            return value


def listed(kind: Kind, found: Listed, selector: Selector, form: Form, now: float) -> bytes:
    """Return a list as JSON."""
    meta: Object = {"resourceVersion": str(found.version)} | ({} if form.shape else {"continue": ""})
    bodies = found.bodies
    if not form.shape:
        if selector:
            bodies = [body for body in bodies if selector.takes(msgspec.json.decode(body))]
        head = {"kind": kind.list_name, "apiVersion": kind.api_version, "metadata": meta}
        return msgspec.json.encode(head)[:-1] + b',"items":[' + b",".join(bodies) + b"]}"
    values: list[Object] = [msgspec.json.decode(body) for body in bodies]
    values = [value for value in values if selector.takes(value)]
    if form.shape == "Table":
        return msgspec.json.encode(table(kind, values, meta, form, now))
    items = [partial(value) for value in values]
    whole = {
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "items": items,
    }
    return msgspec.json.encode(whole)


def table(kind: Kind, values: list[Object], meta: Object, form: Form, now: float) -> Object:
    """Return objects as a table."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": columns(kind),
        "rows": [row(kind, value, now, form.include) for value in values],
    }


async def stream(
    hub: Hub,
    watcher: Watcher,
    kind: Kind,
    form: Form,
    first: Listed | None,
    *,
    bookmarks: bool,
    initial: bool,
    seconds: float | None,
) -> AsyncIterator[bytes]:
    """Yield events, one a line: what there is (``first``), then what changes, until ``seconds`` are over.

    With ``initial`` a bookmark tells where what there is ends and what changes begins.
    """
    end = time.monotonic() + min(seconds or LONGEST_S, LONGEST_S)
    try:
        for body in first.bodies if first is not None else []:
            if watcher.selector.takes(msgspec.json.decode(body)):
                yield _event(kind, form, "ADDED", body)
        if initial and bookmarks and first is not None:
            yield _bookmark(kind, form, first.version, done=True)
        while not watcher.over and (left := end - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left, BOOKMARK_S)):
                    await watcher.woken.wait()
            except TimeoutError:
                if bookmarks:
                    yield _bookmark(kind, form, hub.position)
                continue
            seen = watcher.take()
            if not watcher.over and seen:
                yield b"".join(_told(kind, form, each) for each in seen)
    finally:
        hub.end(watcher)


def _told(kind: Kind, form: Form, seen: Seen) -> bytes:
    body = seen.body
    if seen.type == "DELETED":  # also one that the selector no longer takes: its last version stands in it
        value: Object = msgspec.json.decode(body)
        value["metadata"]["resourceVersion"] = str(seen.version)
        body = msgspec.json.encode(value)
    return _event(kind, form, seen.type, body)


def _event(kind: Kind, form: Form, type_: str, body: bytes) -> bytes:
    if form.shape:
        value: Object = msgspec.json.decode(body)
        body = msgspec.json.encode(one(kind, value, _single(form), time.time()))
    return b'{"type":"' + type_.encode() + b'","object":' + body + b"}\n"


def _single(form: Form) -> Form:
    return Form("PartialObjectMetadata", form.include) if form.shape.startswith("Partial") else form


def _bookmark(kind: Kind, form: Form, version: int, *, done: bool = False) -> bytes:
    meta: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
    if done:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    value: Object = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": meta}
    if form.shape == "Table":
        value = {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": meta,
            "columnDefinitions": [],
            "rows": [],
        }
    elif form.shape:
        value = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
    return msgspec.json.encode({"type": "BOOKMARK", "object": value}) + b"\n"
