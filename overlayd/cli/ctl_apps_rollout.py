"""``overlayctl rollout``: how an app comes to its newest revision, and back. I/O: the API, stdout.

What is asked for stands in the app; the controller does it (`controller.orchestration.control`).
"""

import argparse
import time
from typing import Any

from overlayd.cli.ctl_apps import MANAGER, show
from overlayd.cli.ctl_apps_client import Api
from overlayd.cli.ctl_client import Document
from overlayd.cli.ctl_failure import DEGRADED, NOT_FOUND, OK, TIMEOUT, Failure
from overlayd.cli.ctl_output import NOTHING, say, table

ROLL_BACK = "overlayd.io/rollback-to"
RESTARTED = "OVERLAYD_RESTARTED_AT"
"""A variable of the environment: with another value it is another revision."""
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_POLL_S = 0.5


def status(arguments: argparse.Namespace) -> int:
    """Say how far a rollout is; wait until it is over. Exit code 6 if it failed."""
    api = Api(arguments)
    end = time.monotonic() + arguments.timeout
    told = ""
    while True:
        document = _progress(_app(api, arguments.app))
        over = document["phase"] in ("Done", "Failed", "Paused")
        if arguments.output == "table" and (line := _line(document)) != told:
            say(line)
            told = line
        if over or arguments.no_wait:
            break
        if time.monotonic() >= end:
            raise Failure(TIMEOUT, f"{arguments.app} is still {_line(document)}")
        time.sleep(_POLL_S)
    if arguments.output != "table":
        show(arguments.output, {"schema": "overlayd.rollout/1", "items": [document]}, "items")
    return DEGRADED if document["phase"] == "Failed" else OK


def history(arguments: argparse.Namespace) -> int:
    """List the revisions of an app, the newest first."""
    found = _status(_app(Api(arguments), arguments.app))
    items = [
        {key: one.get(key) for key in ("number", "revision", "time", "image")} for one in found["history"]
    ]
    if arguments.output != "table":
        show(arguments.output, {"schema": "overlayd.rollout-history/1", "items": items}, "items")
        return OK
    rows = [
        [str(one[key]) if one[key] else NOTHING for key in ("number", "revision", "time", "image")]
        for one in items
    ]
    say(table(("NUMBER", "REVISION", "TIME", "RUNS"), rows))
    return OK


def undo(arguments: argparse.Namespace) -> int:
    """Have an app be of an earlier revision again."""
    api = Api(arguments)
    past: list[Document] = _status(_app(api, arguments.app))["history"]
    if arguments.to:
        wanted = next(
            (one for one in past if arguments.to in (one["revision"], str(one.get("number")))), None
        )
    else:
        wanted = past[1] if len(past) > 1 else None
    if wanted is None:
        said = f"no revision {arguments.to!r}" if arguments.to else "no revision before this one"
        raise Failure(
            NOT_FOUND, f"{arguments.app} has {said}; see `overlayctl rollout history {arguments.app}`"
        )
    revision: str = wanted["revision"]
    _patch(api, arguments.app, {"metadata": {"annotations": {ROLL_BACK: revision}}})
    return _done(arguments, f"goes back to revision {revision}")


def pause(arguments: argparse.Namespace) -> int:
    """Leave an app's instances as they are."""
    _patch(Api(arguments), arguments.app, {"spec": {"paused": True}})
    return _done(arguments, "paused")


def resume(arguments: argparse.Namespace) -> int:
    """Go on after a pause."""
    _patch(Api(arguments), arguments.app, {"spec": {"paused": False}})
    return _done(arguments, "resumed")


def restart(arguments: argparse.Namespace) -> int:
    """Replace all instances: a new revision that differs by a variable alone."""
    api = Api(arguments)
    app = _app(api, arguments.app)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    # Applied by a manager of its own, so that the variable stays when the app's file is applied again.
    value = {"apiVersion": app["apiVersion"], "kind": app["kind"], "metadata": {"name": arguments.app},
             "spec": {"env": [{"name": RESTARTED, "value": at}]}}  # fmt: skip
    query = {"fieldManager": f"{MANAGER}-restart", "force": "true"}
    api.ask("PATCH", _path(api, arguments.app), query, value, media=_APPLY)
    return _done(arguments, "restarts")


def _progress(app: Document) -> Document:
    """Return what of an app's status is about its rollout. ``phase``: Progressing, Paused, Failed or Done."""
    found = _status(app)
    rollout: Document = found.get("rollout", {})
    seen = found.get("observedGeneration", 0) >= app["metadata"].get("generation", 0)
    phase = rollout.get("phase", "Progressing") if seen else "Progressing"
    if phase == "Progressing" and app["spec"].get("paused"):
        phase = "Paused"
    return {
        "app": app["metadata"]["name"],
        "revision": rollout.get("revision") if seen else None,
        "phase": phase,
        "weight": rollout.get("weight") if seen else None,
        "replicas": found.get("replicas", 0),
        "updatedReplicas": found.get("updatedReplicas", 0),
        "readyReplicas": found.get("readyReplicas", 0),
        "message": rollout.get("message", "") or _condition(found),
    }


def _condition(found: Document) -> str:
    return next((one["message"] for one in found["conditions"] if one["type"] == "Progressing"), "")


def _line(document: Document) -> str:
    canary = f", {document['weight']} % of the users" if (document["weight"] or 100) < 100 else ""
    figures = (
        f"{document['updatedReplicas']} of {document['replicas']} are new, {document['readyReplicas']} serve"
    )
    said = f": {document['message']}" if document["message"] else ""
    return f"{document['phase'].lower()} ({figures}{canary}){said}"


def _status(app: Document) -> dict[str, Any]:
    return {"history": [], "conditions": [], **app.get("status", {})}


def _app(api: Api, name: str) -> Document:
    return api.ask("GET", _path(api, name))[0]


def _path(api: Api, name: str) -> str:
    return f"/apis/overlayd.io/v1/namespaces/{api.namespace}/apps/{name}"


def _patch(api: Api, name: str, change: Document) -> None:
    api.ask("PATCH", _path(api, name), {"fieldManager": MANAGER}, change, media=_MERGE)


def _done(arguments: argparse.Namespace, what: str) -> int:
    if arguments.output == "table":
        say(f"app/{arguments.app} {what}")
    else:
        item = {"app": arguments.app, "done": what}
        show(arguments.output, {"schema": "overlayd.rollout-change/1", "items": [item]}, "items")
    return OK
