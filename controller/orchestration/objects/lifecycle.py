"""What becomes of an object that is made, changed or deleted: all that a write goes through, in order. Pure.

Shape and unknown fields, what only the server sets, defaults, checks, owners of fields. Each function
returns the object to store and raises :class:`Problem` for a request that cannot be done.
"""

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from controller.orchestration.objects import managers
from controller.orchestration.objects.applying import apply
from controller.orchestration.objects.causes import Bare, Cause, invalid
from controller.orchestration.objects.fields import difference
from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.managers import APPLY, UPDATE, Manager
from controller.orchestration.objects.metadata import METADATA, check_metadata
from controller.orchestration.objects.problems import (
    Problem,
    bad_request,
    conflict,
    modified,
    rejected,
)
from controller.orchestration.objects.schema import Object, is_object
from controller.orchestration.objects.structure import Unknown, fill, prune
from controller.orchestration.objects.validation import validate

_SERVERS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)
"""Metadata that a client may send back but not set."""
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_NAMESPACED_KIND_NAMES = ("Namespace",)
_ENDING_KIND_NAMES = ("Pod",)


@dataclass(slots=True)
class Write:
    """A request that writes, and what it is to know: who, when, and randomness for a uid or a name.

    ``now`` is RFC 3339; ``uid`` is for an object that is made; ``chance`` are 5 bytes for ``generateName``.
    ``grace_s``: what a deletion says of how long a pod may take to end. ``warnings`` collects what is told
    beside the answer.
    """

    manager: str
    now: str
    uid: str
    chance: bytes
    unknown_fields: Literal["Ignore", "Warn", "Strict"] = "Warn"
    force: bool = False
    subresource: str = ""
    grace_s: int | None = None
    warnings: list[str] = field(default_factory=list[str])


def intake(kind: Kind, sent: Any, write: Write) -> Object:
    """Return a copy of what a client sent without what the kind does not know. Raises 400 for what is no
    such object.
    """
    if not is_object(sent):
        raise bad_request("the object provided is unrecognized (must be of type " + kind.name + ")")
    body = copy.deepcopy(sent)
    said_version, said_kind = body.get("apiVersion"), body.get("kind")
    if said_version not in (None, kind.api_version):
        raise bad_request(
            f"the API version in the data ({said_version}) does not match the expected API version "
            f"({kind.api_version})"
        )
    if said_kind not in (None, kind.name):
        cause = invalid("kind", said_kind, f"must be {kind.name}")
        head: Object = body.get("metadata") or {}
        name = head.get("name", "")
        raise rejected(dataclasses.replace(kind, name=str(said_kind)), name, [cause])
    body["apiVersion"], body["kind"] = kind.api_version, kind.name
    meta = body.setdefault("metadata", {})
    _check_types(kind, meta)
    _report(kind, prune(kind.schema, body), write)
    return body


def create(kind: Kind, sent: Any, namespace: str, write: Write) -> Object:
    """Return a new object."""
    body = intake(kind, sent, write)
    meta: Object = body["metadata"]
    if meta.get("resourceVersion") not in (None, ""):
        raise Problem(500, "", "resourceVersion should not be set on objects to be created")
    _in_namespace(kind, meta, namespace)
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = meta["generateName"][:58] + "".join(
            _SUFFIX[byte % len(_SUFFIX)] for byte in write.chance
        )
    for key in (*_SERVERS, "managedFields", "resourceVersion"):
        meta.pop(key, None)
    if kind.custom and kind.has_status:
        body.pop("status", None)
    _begin(kind, body, write)
    _drop_nulls(meta)
    fill(kind.schema, body)
    _check(kind, body)
    _own(kind, {}, body, {}, write)
    return body


def update(kind: Kind, live: Object, sent: Any, write: Write) -> Object:
    """Return ``live`` replaced by what was sent: its status only by the status subresource, and that
    alone.
    """
    body = intake(kind, sent, write)
    meta, before = body["metadata"], live["metadata"]
    _match(kind, meta, before)
    owners = managers.read(meta if "managedFields" in meta else before)
    return _become(kind, live, body, owners, write)


def patch(kind: Kind, live: Object, patched: Any, write: Write) -> Object:
    """Return ``live`` after a patch made ``patched`` of it."""
    if is_object(patched) and isinstance(patched.get("metadata"), dict):
        patched["metadata"].setdefault("resourceVersion", live["metadata"]["resourceVersion"])
    return update(kind, live, patched, write)


def applied(kind: Kind, live: Object | None, sent: Any, namespace: str, name: str, write: Write) -> Object:
    """Return ``live``, or a new object, after its manager applied what was sent."""
    config = intake(kind, sent, write)
    meta: Object = config["metadata"]
    if meta.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    if meta.setdefault("name", name) != name:
        raise bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({name})"
        )
    _in_namespace(kind, meta, namespace)
    if kind.custom and kind.has_status and not write.subresource:
        config.pop("status", None)
    who = Manager(write.manager, APPLY, kind.api_version, write.subresource)
    if live is None:
        if meta.get("uid") or meta.get("resourceVersion"):
            raise conflict(
                kind,
                name,
                "uid mismatch: the provided object specified uid, and no existing object was found",
            )
        body, owners = apply(kind.schema, {}, config, {}, who, force=True, now=write.now)
        _begin(kind, body, write)
        fill(kind.schema, body)
        _check(kind, body)
        body["metadata"]["managedFields"] = managers.written(owners)
        return body
    _match(kind, meta, live["metadata"], partial=True)
    owners = managers.read(live["metadata"])
    wanted = {key: value for key, value in config.items() if key != "metadata"}
    wanted["metadata"] = {key: value for key, value in meta.items() if key not in ("uid", "resourceVersion")}
    body, owners = apply(kind.schema, live, wanted, owners, who, force=write.force, now=write.now)
    return _finished(kind, live, body, managers.written(owners), write)


def deleted(kind: Kind, live: Object, write: Write) -> Object | None:
    """Return the object that waits for its finalizers, or None if it is gone at once."""
    if not finalizers(live):
        return None
    grace = _grace(kind, live, write)
    if (
        "deletionTimestamp" in live["metadata"]
        and live["metadata"].get("deletionGracePeriodSeconds", 0) <= grace
    ):
        return live
    body = copy.deepcopy(live)
    body["metadata"].setdefault("deletionTimestamp", write.now)
    body["metadata"]["deletionGracePeriodSeconds"] = grace
    if kind.custom:
        body["metadata"]["generation"] = body["metadata"].get("generation", 0) + 1
    if kind.name in _NAMESPACED_KIND_NAMES:
        body["metadata"].pop("deletionGracePeriodSeconds")
        body["status"] = {"phase": "Terminating"}
    return body


def _grace(kind: Kind, live: Object, write: Write) -> int:
    """Return the seconds that an object has to end in: a pod's own, or what its deletion says."""
    if kind.name not in _ENDING_KIND_NAMES:
        return 0
    return (
        write.grace_s if write.grace_s is not None else live["spec"].get("terminationGracePeriodSeconds", 0)
    )


def finalizers(value: Object) -> list[str]:
    """Return who still has to do something before an object may go."""
    spec: Object = value.get("spec") or {}
    of_namespace: list[str] = spec.get("finalizers") or [] if value["kind"] == "Namespace" else []
    return [*(value["metadata"].get("finalizers") or []), *of_namespace]


def _become(kind: Kind, live: Object, body: Object, owners: managers.Owners, write: Write) -> Object:
    _drop_nulls(body["metadata"])
    _keep(kind, live, body, write)
    who = Manager(write.manager, UPDATE, kind.api_version, write.subresource)
    fill(kind.schema, body)
    change = difference(kind.schema, live, body)
    entries = managers.written(managers.after_update(owners, who, change, write.now))
    return _finished(kind, live, body, entries, write)


def _finished(kind: Kind, live: Object, body: Object, entries: list[Object], write: Write) -> Object:
    _drop_nulls(body["metadata"])
    _keep(kind, live, body, write)
    fill(kind.schema, body)
    _check(kind, body)
    _check_fixed(kind, live, body)
    _check_kept(kind, live, body)
    if entries:
        body["metadata"]["managedFields"] = entries
    else:
        body["metadata"].pop("managedFields", None)
    if kind.custom and _desired(body) != _desired(live):
        body["metadata"]["generation"] = live["metadata"].get("generation", 0) + 1
    return body


def _keep(kind: Kind, live: Object, body: Object, write: Write) -> None:
    """Put back what this request may not change."""
    meta, before = body["metadata"], live["metadata"]
    for key in (*_SERVERS, "name", "namespace", "resourceVersion"):
        if key in before and (key not in ("uid", "name", "namespace") or key not in meta):
            meta[key] = before[key]
        elif key not in before:
            meta.pop(key, None)
    if write.subresource == "status":
        status = body.get("status")
        body.clear()
        body |= copy.deepcopy(live)
        body["metadata"] = {**body["metadata"]}
        body.pop("status", None)
        if status is not None:
            body["status"] = status
    elif kind.has_status:
        body.pop("status", None)
        if "status" in live:
            body["status"] = copy.deepcopy(live["status"])


def _begin(kind: Kind, body: Object, write: Write) -> None:
    meta = body["metadata"]
    meta |= {"uid": write.uid, "creationTimestamp": write.now}
    if kind.custom:
        meta["generation"] = 1
    if kind.name in _NAMESPACED_KIND_NAMES:
        meta["labels"] = {**(meta.get("labels") or {}), "kubernetes.io/metadata.name": meta.get("name", "")}
        body["spec"] = {"finalizers": ["kubernetes"]}
        body["status"] = {"phase": "Active"}
    elif kind.name in _ENDING_KIND_NAMES:
        body["status"] = {"phase": "Pending"}


def _own(kind: Kind, live: Object, body: Object, owners: managers.Owners, write: Write) -> None:
    who = Manager(write.manager, UPDATE, kind.api_version, write.subresource)
    change = difference(
        kind.schema, live, {key: value for key, value in body.items() if not _servers(kind, key)}
    )
    entries = managers.written(managers.after_update(owners, who, change, write.now))
    if entries:
        body["metadata"]["managedFields"] = entries


def _servers(kind: Kind, key: str) -> bool:
    """Tell whether the server itself sets a field of an object that is made."""
    set_here = {"Namespace": ("spec", "status"), "Pod": ("status",)}
    return key in set_here.get(kind.name, ())


def _check(kind: Kind, body: Object) -> None:
    meta: Object = body["metadata"]
    causes = check_metadata(meta, label_name=kind.name in _NAMESPACED_KIND_NAMES)
    shape = {key: value for key, value in body.items() if key not in ("metadata", "apiVersion", "kind")}
    declared = kind.schema
    trimmed = type(declared)(type="object", properties=kind.properties, required=kind.required)
    causes += validate(trimmed, shape)
    if causes:
        raise rejected(kind, meta.get("name", ""), causes)


def _check_fixed(kind: Kind, live: Object, body: Object) -> None:
    """What stays as it was made has to be as it was."""
    changed = [key for key in kind.fixed if body.get(key) != live.get(key)]
    if changed:
        said = f"Forbidden: {kind.name.lower()} updates may not change fields of {{}}"
        causes = [Cause("FieldValueForbidden", key, said.format(key)) for key in changed]
        raise rejected(kind, live["metadata"]["name"], causes)


def _check_kept(kind: Kind, live: Object, body: Object) -> None:
    """Nothing new may hold up an object that is being deleted."""
    if "deletionTimestamp" not in live["metadata"]:
        return
    new = [one for one in finalizers(body) if one not in finalizers(live)]
    if new:
        listed = ", ".join(f'"{one}"' for one in new)
        said = (
            "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{listed}}}"
        )
        cause = Cause("FieldValueForbidden", "metadata.finalizers", said)
        raise rejected(kind, live["metadata"]["name"], [cause, cause])  # as Kubernetes, which checks it twice


def _match(kind: Kind, meta: Object, before: Object, *, partial: bool = False) -> None:
    name = before["name"]
    if meta.get("name", name) != name:
        raise bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({name})"
        )
    if "namespace" in before and meta.get("namespace", before["namespace"]) != before["namespace"]:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    uid = meta.get("uid")
    if uid and uid != before["uid"]:
        said = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}"
        raise conflict(kind, name, said)
    version = meta.get("resourceVersion")
    if not version and not partial and kind.custom:
        said = invalid("metadata.resourceVersion", Bare("0"), "must be specified for an update")
        problem = rejected(kind, name, [said])
        problem.message = problem.message.replace(kind.qualified, kind.resource, 1)
        raise Problem(422, "Invalid", problem.message, {**(problem.details or {}), "kind": kind.plural})
    if version and version != before["resourceVersion"]:
        raise modified(kind, name, str(version), before["resourceVersion"])


def _in_namespace(kind: Kind, meta: Object, namespace: str) -> None:
    if not kind.namespaced:
        meta.pop("namespace", None)
        return
    if meta.setdefault("namespace", namespace) != namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def _check_types(kind: Kind, meta: Any) -> None:
    known = {key: value for key, value in meta.items() if value is not None} if is_object(meta) else meta
    causes = validate(METADATA, known)
    wrong = [cause for cause in causes if cause.reason in ("FieldValueTypeInvalid", "FieldValueRequired")]
    if wrong:
        raise bad_request(
            f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: metadata.{wrong[0]}'
        )


def _report(kind: Kind, unknown: list[Unknown], write: Write) -> None:
    said = [
        f'unknown field "{path}"' + (f' (did you mean "{near}"?)' if near else "") for path, near in unknown
    ]
    if said and write.unknown_fields == "Strict":
        raise bad_request(
            f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: strict decoding '
            f"error: " + ", ".join(said)
        )
    if write.unknown_fields == "Warn":
        write.warnings += said


def _drop_nulls(meta: Object) -> None:
    for key in [key for key, value in meta.items() if value is None or value in ({}, [])]:
        del meta[key]


def _desired(value: Object) -> Object:
    return {
        key: part for key, part in value.items() if key not in ("metadata", "status", "apiVersion", "kind")
    }
