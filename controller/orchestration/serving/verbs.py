"""What is done to objects: the verbs, each one transaction of the store. I/O.

Callers have established who asks. The clock and randomness are read here and handed to `lifecycle`.
"""

import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, cast

import msgspec

from controller.orchestration.objects import lifecycle, patches
from controller.orchestration.objects.core import EVENT, NAMESPACE
from controller.orchestration.objects.kinds import Catalogue, Kind
from controller.orchestration.objects.lifecycle import Write
from controller.orchestration.objects.owners import held, propagation
from controller.orchestration.objects.problems import (
    Problem,
    bad_request,
    exists,
    forbidden,
    not_found,
    success,
)
from controller.orchestration.objects.schema import Object
from controller.orchestration.objects.selectors import Selector
from controller.orchestration.serving.asking import Target
from controller.orchestration.serving.scaling import read_scale, with_scale
from controller.orchestration.serving.writing import Writing, writing
from controller.orchestration.store.store import Key, Store

EVENTS_KEPT_S = 3600
FIRST_NAMESPACE = "default"

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
OPERATIONS = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


Allowed: TypeAlias = Callable[[Object | None, Object], None]
"""Told an object (None: there is none) and what is to become of it; raises :class:`Problem` to forbid it."""


def anything(_: Object | None, __: Object) -> None:
    """Allow every change."""


def new_write(
    manager: str, unknown_fields: str = "Warn", *, force: bool = False, subresource: str = ""
) -> Write:
    """Return a write of now."""
    if unknown_fields not in ("Ignore", "Warn", "Strict"):
        raise bad_request(f'fieldValidation: Unsupported value: "{unknown_fields}"')
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Write(manager, now, str(uuid.uuid4()), os.urandom(5), unknown_fields, force, subresource)


Guard: TypeAlias = Callable[[Kind, Object], None]
"""Told an object that is to be changed or deleted; raises :class:`Problem` if that is for nobody to do."""


def nothing_guarded(_: Kind, __: Object) -> None:
    """Let all objects be changed."""


class Verbs:
    """The objects of one store, by verb. Methods that write may be called from any thread."""

    def __init__(self, kinds: Catalogue, store: Store, guard: Guard = nothing_guarded) -> None:
        self.kinds = kinds
        self.store = store
        self._guard = guard

    def begin(self) -> None:
        """Make what has to be there, the namespace ``default``, and collect what depends on what is not."""
        with self.showing() as change:
            change.collector.begin()
        if NAMESPACE in self.kinds:
            key = Key(NAMESPACE.resource, "", FIRST_NAMESPACE)
            if self.store.read(key) is None:
                self.create(
                    Target(NAMESPACE, None), {"metadata": {"name": FIRST_NAMESPACE}}, new_write("overlayd")
                )

    def forget_events(self) -> None:
        """Delete events that are over an hour old."""
        old = self.store.unchanged(EVENT.resource, int(time.time()) - EVENTS_KEPT_S)
        if old:
            with self.showing() as change:
                for key in old:
                    change.take_away(key)

    def showing(self) -> AbstractContextManager[Writing]:
        """Write objects, all or none, that show what the controller knows: those that nobody else changes."""
        return writing(self.store, self.kinds, new_write("overlayd"))

    def read(self, target: Target) -> Object:
        """Return an object, or its scale."""
        body = self.store.read(_key(target))
        if body is None:
            raise not_found(target.kind, target.name)
        value: Object = msgspec.json.decode(body)
        return read_scale(target.kind, value) if target.subresource == "scale" else value

    def create(self, target: Target, sent: Any, write: Write, *, dry_run: bool = False) -> Object:
        """Make an object."""
        kind, namespace = target.kind, target.namespace or ""
        body = lifecycle.create(kind, sent, namespace, write)
        key = Key(kind.resource, namespace, body["metadata"]["name"])
        with writing(self.store, self.kinds, write) as change:
            if kind.namespaced:
                _check_namespace(change, kind, namespace, key.name)
            if change.read(key) is not None:
                raise exists(kind, key.name)
            return body if dry_run else change.put(key, body)

    def update(self, target: Target, sent: Any, write: Write, *, dry_run: bool = False) -> Object:
        """Replace an object, its status or its scale."""

        def decide(live: Object) -> Object:
            if target.subresource == "scale":
                return lifecycle.patch(target.kind, live, with_scale(target.kind, live, sent), write)
            return lifecycle.update(target.kind, live, sent, write)

        return self._change(target, decide, write, dry_run)

    def patch(
        self,
        target: Target,
        media: str,
        sent: Any,
        write: Write,
        *,
        dry_run: bool = False,
        allowed: Allowed = anything,
    ) -> Object:
        """Change an object by a patch of the form ``media``, if what comes of it is ``allowed``."""
        kind = target.kind
        if media == APPLY:
            return self._apply(target, sent, write, dry_run, allowed)
        if (media == STRATEGIC and kind.custom) or media not in (MERGE, OPERATIONS, STRATEGIC):
            known = [OPERATIONS, MERGE, APPLY]
            raise Problem(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: "
                + ", ".join(known),
            )

        def decide(live: Object) -> Object:
            whole = read_scale(kind, live) if target.subresource == "scale" else live
            match media:
                case "application/merge-patch+json":
                    patched = patches.merge(whole, sent)
                case "application/json-patch+json":
                    patched = patches.json_patch(whole, sent)
                case _:
                    patched = patches.strategic(kind.schema, whole, sent)
            if target.subresource == "scale":
                patched = with_scale(kind, live, patched)
            made = lifecycle.patch(kind, live, patched, write)
            allowed(live, made)
            return made

        return self._change(target, decide, write, dry_run)

    def delete(self, target: Target, options: Object, write: Write, *, dry_run: bool = False) -> Object:
        """Delete an object; return it as long as finalizers hold it, else that it is gone."""
        key = _key(target)
        write.grace_s = options.get("gracePeriodSeconds")
        asked = propagation(options)
        with writing(self.store, self.kinds, write) as change:
            live = change.read(key)
            if live is None:
                raise not_found(target.kind, target.name)
            self._guard(target.kind, live)
            _check_preconditions(target.kind, live, options.get("preconditions") or {})
            if target.kind is NAMESPACE and target.name == FIRST_NAMESPACE:
                raise forbidden(NAMESPACE, target.name, "this namespace may not be deleted")
            left = (
                change.delete(key, live, asked)
                if not dry_run
                else lifecycle.deleted(target.kind, held(live, asked), write)
            )
        return left if left is not None else success(target.kind, target.name, live["metadata"]["uid"])

    def delete_all(
        self, target: Target, selector: Selector, options: Object, write: Write, *, dry_run: bool = False
    ) -> list[Object]:
        """Delete all objects that a selector takes; return what they were."""
        found: list[Object] = []
        asked = propagation(options)
        with writing(self.store, self.kinds, write) as change:
            for body in self.store.select(target.kind.resource, target.namespace).bodies:
                value: Object = msgspec.json.decode(body)
                if selector.takes(value):
                    self._guard(target.kind, value)
                    key = Key(
                        target.kind.resource,
                        value["metadata"].get("namespace", ""),
                        value["metadata"]["name"],
                    )
                    left = None if dry_run else change.delete(key, value, asked)
                    found.append(left or value)
        return found

    def _apply(self, target: Target, sent: Any, write: Write, dry_run: bool, allowed: Allowed) -> Object:
        kind, namespace, name = target.kind, target.namespace or "", target.name
        key = _key(target)
        with writing(self.store, self.kinds, write) as change:
            live = change.read(key)
            if live is None and target.subresource:
                raise not_found(kind, name)
            if live is None and kind.namespaced:
                _check_namespace(change, kind, namespace, name)
            if live is not None:
                self._guard(kind, live)
            body = lifecycle.applied(kind, live, sent, namespace, name, write)
            allowed(live, body)
            return body if dry_run else change.put(key, body)

    def _change(
        self, target: Target, decide: Callable[[Object], Object], write: Write, dry_run: bool
    ) -> Object:
        key = _key(target)
        with writing(self.store, self.kinds, write) as change:
            live = change.read(key)
            if live is None:
                raise not_found(target.kind, target.name)
            self._guard(target.kind, live)
            body = decide(live)
            if not dry_run:
                body = change.put(key, body)
        return read_scale(target.kind, body) if target.subresource == "scale" else body


def _key(target: Target) -> Key:
    return Key(target.kind.resource, target.namespace or "", target.name)


def _check_namespace(change: Writing, kind: Kind, namespace: str, name: str) -> None:
    found = change.read(Key(NAMESPACE.resource, "", namespace))
    if found is None:
        raise not_found(NAMESPACE, namespace)
    if "deletionTimestamp" in found["metadata"]:
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        raise forbidden(kind, name, why, [cause])


def _check_preconditions(kind: Kind, live: Object, wanted: Mapping[str, Any]) -> None:
    meta = cast(Object, live["metadata"])
    for key, said in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(key) not in (None, meta[key]):
            why = (
                f"the {said} in the precondition ({wanted[key]}) does not match the {said} in record "
                f"({meta[key]}). "
                "The object might have been deleted and then recreated"
                if key == "uid"
                else f"the {said} in the precondition ({wanted[key]}) does not match the {said} in record "
                f"({meta[key]}). The object might have been modified"
            )
            details = {"name": meta["name"], "group": kind.group, "kind": kind.name}
            said_of = f'Operation cannot be fulfilled on {kind.qualified} "{meta["name"]}": {why}'
            raise Problem(409, "Conflict", said_of, {name: part for name, part in details.items() if part})
