"""What is told of a request that cannot be done: Kubernetes' ``Status``, its reasons and its wording.
Pure.
"""

from collections.abc import Sequence

from controller.orchestration.objects.causes import Cause
from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.schema import Object


class Problem(Exception):
    """A request that changed nothing; ``code`` is that of HTTP."""

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> Object:
        """Return the ``Status`` that is answered."""
        made: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            made["reason"] = self.reason
        if self.details is not None:
            made["details"] = self.details
        return made | {"code": self.code}


def success(kind: Kind, name: str, uid: str) -> Object:
    """Return what is answered to the deletion of an object that is gone at once."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": _details(kind, name) | {"uid": uid},
    }


def not_found(kind: Kind, name: str) -> Problem:
    return Problem(404, "NotFound", f'{kind.resource} "{name}" not found', _details(kind, name))


def exists(kind: Kind, name: str) -> Problem:
    return Problem(409, "AlreadyExists", f'{kind.resource} "{name}" already exists', _details(kind, name))


def conflict(kind: Kind, name: str, why: str) -> Problem:
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    return Problem(409, "Conflict", message, _details(kind, name))


def modified(kind: Kind, name: str, sent: str, newest: str) -> Problem:
    """Return the problem of a change to an object that is another one by now, by its resourceVersions."""
    said = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(kind, name, f"{said} (version {sent} was sent, {newest} is the latest)")


def rejected(kind: Kind, name: str, causes: Sequence[Cause]) -> Problem:
    """Return the problem of an object that is not valid."""
    said = list(dict.fromkeys(str(cause) for cause in causes))
    listed = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    details = {"name": name} if name else {}
    if kind.group:
        details["group"] = kind.group
    made: Object = {
        **details,
        "kind": kind.name,
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes],
    }
    return Problem(422, "Invalid", f'{kind.qualified} "{name}" is invalid: {listed}', made)


def wrong_option(kind: str, cause: Cause) -> Problem:
    """Return the problem of an option of the query; ``kind`` is Create, Update, Patch or Delete."""
    details = {
        "group": "meta.k8s.io",
        "kind": f"{kind}Options",
        "causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field}],
    }
    return Problem(422, "Invalid", f'{kind}Options.meta.k8s.io "" is invalid: {cause}', details)


def bad_request(message: str) -> Problem:
    return Problem(400, "BadRequest", message)


def forbidden(kind: Kind, name: str, why: str, causes: Sequence[Object] = ()) -> Problem:
    details = _details(kind, name)
    if causes:
        details["causes"] = list(causes)
    return Problem(403, "Forbidden", f'{kind.resource} "{name}" is forbidden: {why}', details)


def gone(oldest: int) -> Problem:
    """A watch cannot go on from where its client was: what happened since is no longer known."""
    return Problem(
        410, "Expired", f"The resourceVersion for the provided watch is too old: the oldest is {oldest}"
    )


def _details(kind: Kind, name: str) -> Object:
    made = {"name": name} if name else {}
    if kind.group:
        made["group"] = kind.group
    return made | {"kind": kind.plural}
