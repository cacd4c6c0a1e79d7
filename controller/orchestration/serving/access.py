"""Who asks, and what that one may. Pure: whose a certificate is, is asked of who keeps members.

The admin, known by a token, may do everything. A node, known by the certificate with which it is a member of
the mesh, may do what running its own pods takes, as kubelets may: see and report its pods, see its steering,
tell events. Everything else is forbidden, and told in Kubernetes' words.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from controller.orchestration.objects.problems import Problem, not_found
from controller.orchestration.objects.schema import Object, is_object
from controller.orchestration.serving.asking import Target
from overlayd.protocol.pod import FINALIZER

Named: TypeAlias = Callable[[bytes], str | None]
"""The name of the member that a verified certificate (DER) belongs to; None: nobody's, or no longer."""

PODS = "pods"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: a node by its name, or the admin."""

    node: str = ""

    @property
    def user(self) -> str:
        return f"system:node:{self.node}" if self.node else "admin"


ADMIN = Asker()


def asker(authorization: str, token: bytes, certificate: bytes | None, named: Named) -> Asker:
    """Return who asks: whose token the header has, or without one whose certificate was shown.

    Raises :class:`Problem` (401).
    """
    scheme, _, said = authorization.partition(" ")
    if scheme:
        if scheme.lower() == "bearer" and hmac.compare_digest(said.strip().encode(), token):
            return ADMIN
    elif certificate is not None and (node := named(certificate)) is not None:
        return Asker(node)
    raise Problem(401, "Unauthorized", "Unauthorized")


def check(asker: Asker, verb: str, target: Target, fields: str) -> None:
    """Raise :class:`Problem` (403) unless ``asker`` may do this, as far as it shows without the objects."""
    if not asker.node:
        return
    why = ""
    match target.kind.resource, target.subresource, verb:
        case ("pods", "", "get") | ("pods", "" | "status", "patch") | ("events", "", "create"):
            return
        case "pods", "", "list" | "watch":
            if _asks_for(fields, "spec.nodeName", asker.node):
                return
            why = f"only with the field selector spec.nodeName={asker.node}"
        case "steerings.overlayd.io", "", "get" | "watch" if target.name == asker.node:
            return
        case "steerings.overlayd.io", "", "list" | "watch" if not target.name:
            if _asks_for(fields, "metadata.name", asker.node):
                return
            why = f"only with the field selector metadata.name={asker.node}"
        case _:
            pass
    raise denied(asker, verb, target, why)


def check_read(asker: Asker, target: Target, value: Object) -> None:
    """Raise :class:`Problem` (403) unless ``asker`` may see an object."""
    if asker.node and target.kind.resource == PODS and not _runs_on(value, asker.node):
        raise denied(asker, "get", target, "it is not on this node")


def check_patch(asker: Asker, target: Target, before: Object | None, after: Object) -> None:
    """Raise :class:`Problem` unless ``asker`` may make ``after`` of an object: a node its pods' status, or
    that it no longer holds a pod.
    """
    if not asker.node:
        return
    if before is None:
        raise not_found(target.kind, target.name)
    if not _runs_on(before, asker.node):
        raise denied(asker, "patch", target, "it is not on this node")
    if target.subresource == "status":
        return
    if _without_hold(before) != _without_hold(after) or _others_hold(before) != _others_hold(after):
        raise denied(asker, "patch", target, f"nothing of it but the finalizer {FINALIZER}")


def check_event(asker: Asker, target: Target, sent: Object, pod: Object | None) -> None:
    """Raise :class:`Problem` (403) unless an event is about ``pod``, which has to be on the node that tells
    it; put down who tells it.
    """
    if not asker.node:
        return
    about: Object = sent["involvedObject"] if is_object(sent.get("involvedObject")) else {}
    if about.get("kind") != "Pod" or pod is None or not _runs_on(pod, asker.node):
        raise denied(asker, "create", target, "it is about no pod of this node")
    source: Object = sent["source"] if is_object(sent.get("source")) else {}
    sent["source"] = {**source, "host": asker.node}
    sent["reportingInstance"] = asker.node


def denied(asker: Asker, verb: str, target: Target, why: str = "") -> Problem:
    """Return the refusal of a verb."""
    kind = target.kind
    resource = f"{kind.plural}/{target.subresource}" if target.subresource else kind.plural
    place = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    head = f'{kind.resource} "{target.name}"' if target.name else kind.resource
    said = f'{head} is forbidden: User "{asker.user}" cannot {verb} resource "{resource}" in API group '
    said += f'"{kind.group}" {place}' + (f": {why}" if why else "")
    details = {"name": target.name, "group": kind.group, "kind": kind.plural}
    return Problem(403, "Forbidden", said, {key: value for key, value in details.items() if value})


def denied_path(asker: Asker, method: str, path: str) -> Problem:
    """Return the refusal of what is no resource."""
    said = f'forbidden: User "{asker.user}" cannot {method.lower()} path "{path}"'
    return Problem(403, "Forbidden", said, {})


def _asks_for(fields: str, path: str, value: str) -> bool:
    return any(term in (f"{path}={value}", f"{path}=={value}") for term in fields.split(","))


def _runs_on(pod: Object, node: str) -> bool:
    spec: Object = pod.get("spec") or {}
    return spec.get("nodeName") == node


def _without_hold(pod: Object) -> Object:
    """What of a pod is not for its node to say."""
    meta = {
        key: value
        for key, value in pod["metadata"].items()
        if key not in ("finalizers", "managedFields", "resourceVersion")
    }
    return {**pod, "metadata": meta}


def _others_hold(pod: Object) -> list[str]:
    held: list[str] = pod["metadata"].get("finalizers") or []
    return [one for one in held if one != FINALIZER]
