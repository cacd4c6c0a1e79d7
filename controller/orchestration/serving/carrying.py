"""Carries out what the control loops want done: verbs, each on the object as it was seen. I/O: writes the
store.

What cannot be done because the object has changed meanwhile is left: its change is being looked at already.
"""

import hashlib
import logging
import time
from collections.abc import Iterable

from controller.orchestration.control.intents import (
    About,
    Change,
    GiveUp,
    Intent,
    Make,
    Remove,
    Replace,
    Report,
    Say,
)
from controller.orchestration.objects.core import EVENT
from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.lifecycle import Write
from controller.orchestration.objects.problems import Problem
from controller.orchestration.objects.schema import Object
from controller.orchestration.serving.asking import Target
from controller.orchestration.serving.verbs import MERGE, Verbs, new_write
from overlayd.protocol.pod import FINALIZER

LOG = logging.getLogger(__name__)
MANAGER = "overlayd"


class Carrier:
    """Does what intents say. May be called from any thread."""

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._kinds = {kind.name: kind for kind in verbs.kinds}

    def carry(self, intents: Iterable[Intent]) -> list[Object]:
        """Do it; return the objects that were written, as they are now."""
        written: list[Object] = []
        for intent in intents:
            try:
                written += self._carry(intent)
            except Problem as problem:
                usual = problem.code in (404, 409)
                LOG.log(logging.DEBUG if usual else logging.WARNING, "%s: %s", type(intent).__name__, problem)
        return written

    def _carry(self, intent: Intent) -> list[Object]:
        match intent:
            case Make(kind, body):
                namespace = body["metadata"].get("namespace")
                return [self._verbs.create(Target(self._kinds[kind], namespace), body, _write())]
            case Change(about, patch):
                return [self._verbs.patch(self._target(about), MERGE, _of(about, patch), _write())]
            case Replace(about, body):
                return [self._verbs.update(self._target(about), _of(about, body), _write())]
            case Report(about, status):
                write = new_write(MANAGER, subresource="status")
                body = _of(about, {"metadata": {"name": about.name}, "status": status})
                return [self._verbs.update(self._target(about, "status"), body, write)]
            case Remove(about):
                left = self._verbs.delete(self._target(about), _only(about), _write())
                return [left] if left["kind"] != "Status" else []
            case GiveUp(about):
                left = self._verbs.delete(self._target(about), _only(about), _write())
                if left["kind"] != "Status":
                    others = [one for one in left["metadata"]["finalizers"] if one != FINALIZER] or None
                    freed = {"metadata": {"finalizers": others}}
                    self._verbs.patch(self._target(about), MERGE, freed, _write())
                return []
            case Say():
                self._say(intent)
                return []

    def _say(self, event: Say) -> None:
        """Tell of something; what was told before is counted."""
        about, now = event.about, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        namespace = about.namespace or "default"
        said = f"{about.uid} {event.type} {event.reason} {event.message}"
        name = f"{about.name}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"
        target = Target(EVENT, namespace, name)
        try:
            count = int(self._verbs.read(target).get("count") or 1)
        except Problem:
            self._verbs.create(Target(EVENT, namespace), _event(event, name, namespace, now), _write())
        else:
            again = {"count": count + 1, "lastTimestamp": now}
            self._verbs.patch(target, MERGE, again, _write())

    def _target(self, about: About, subresource: str = "") -> Target:
        kind = self._kind(about)
        return Target(kind, about.namespace if kind.namespaced else None, about.name, subresource)

    def _kind(self, about: About) -> Kind:
        return self._kinds[about.kind]


def _write() -> Write:
    return new_write(MANAGER)


def _of(about: About, body: Object) -> Object:
    """Return a body that is refused if the object is no longer what it was."""
    meta: Object = body.get("metadata") or {}
    same = {"uid": about.uid} if about.uid else {}
    return {**body, "metadata": {**meta, **same, "resourceVersion": about.version}}


def _only(about: About) -> Object:
    return {"preconditions": {"uid": about.uid}} if about.uid else {}


def _event(event: Say, name: str, namespace: str, now: str) -> Object:
    about = event.about
    return {
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {
            "apiVersion": "v1" if about.kind == "Pod" else "overlayd.io/v1",
            "kind": about.kind,
            "namespace": namespace,
            "name": about.name,
            "uid": about.uid,
            "resourceVersion": about.version,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
    }
