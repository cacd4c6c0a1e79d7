"""A kopf operator that writes down what it is told of user groups: run by kopf's own program, not by tests.

``SEEN`` of the environment names the file: a line of JSON for each creation, update, deletion and tick.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import kopf

RESOURCE = "usergroups.overlayd.io"
TICK_S = 2.0


def _seen(what: str, name: str, text: str | None = None) -> None:
    line = {"what": what, "name": name, "text": text, "at": time.time()}
    with Path(os.environ["SEEN"]).open("a") as file:
        file.write(json.dumps(line) + "\n")


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Keep what kopf remembers in annotations, and hold deletions by a finalizer."""
    settings.persistence.finalizer = "overlayd.io/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="kopf.overlayd.io")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="kopf.overlayd.io")
    settings.posting.level = 20


@kopf.on.create(RESOURCE)
def created(name: str, spec: kopf.Spec, **_: Any) -> None:
    """Note a creation."""
    _seen("create", name, spec.get("displayName"))


@kopf.on.update(RESOURCE)
def updated(name: str, spec: kopf.Spec, **_: Any) -> None:
    """Note an update."""
    _seen("update", name, spec.get("displayName"))


@kopf.on.delete(RESOURCE)
def deleted(name: str, **_: Any) -> None:
    """Note a deletion, while the finalizer holds the object."""
    _seen("delete", name)


@kopf.timer(RESOURCE, interval=TICK_S)
def ticked(name: str, **_: Any) -> None:
    """Note that the timer of an object goes on."""
    _seen("tick", name)
