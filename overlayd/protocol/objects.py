"""What ``overlayctl apply|get|describe|delete|logs|rollout`` print as JSON: shapes, for their schemas. Pure.

Objects within are those of the controller's API (`kubectl explain` tells their fields), as they come.
"""

from typing import Any, Literal, TypeAlias

import msgspec


class AppliedRow(msgspec.Struct, frozen=True):
    """``object`` as it is then, or with a dry run as it would be; ``warnings`` of the controller."""

    kind: str
    namespace: str | None
    name: str
    result: Literal["created", "configured", "unchanged"]
    warnings: tuple[str, ...]
    object: dict[str, Any]


class Applied(msgspec.Struct, frozen=True, rename="camel"):
    """What became of objects that were applied, in the order of the files."""

    items: tuple[AppliedRow, ...]
    dry_run: bool
    schema: str = "overlayd.applied/1"


class Objects(msgspec.Struct, frozen=True):
    """Objects of one kind."""

    items: tuple[dict[str, Any], ...]
    schema: str = "overlayd.objects/1"


class ObjectChange(msgspec.Struct, frozen=True):
    """One line of ``get --watch``: what there is (ADDED) first, then each change."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: dict[str, Any]
    schema: str = "overlayd.object-change/1"


class Description(msgspec.Struct, frozen=True):
    """One object and the events about it, the newest last."""

    object: dict[str, Any]
    events: tuple[dict[str, Any], ...]
    schema: str = "overlayd.description/1"


class DeletedRow(msgspec.Struct, frozen=True):
    """``gone``: it is no more; else its finalizers hold it still."""

    kind: str
    namespace: str | None
    name: str
    gone: bool


class Deleted(msgspec.Struct, frozen=True):
    items: tuple[DeletedRow, ...]
    schema: str = "overlayd.deleted/1"


class LogLine(msgspec.Struct, frozen=True):
    pod: str
    line: str


class Log(msgspec.Struct, frozen=True):
    """Lines as they were written, those of a pod in order."""

    items: tuple[LogLine, ...]
    schema: str = "overlayd.log/1"


class RolloutRow(msgspec.Struct, frozen=True, rename="camel"):
    """How far the newest ``revision`` has come; ``weight`` [%] of the users that a canary gets. None: the
    controller has not seen the newest change yet.
    """

    app: str
    revision: str | None
    phase: Literal["Progressing", "Paused", "Failed", "Done"]
    weight: int | None
    replicas: int
    updated_replicas: int
    ready_replicas: int
    message: str


class Rollout(msgspec.Struct, frozen=True):
    items: tuple[RolloutRow, ...]
    schema: str = "overlayd.rollout/1"


class RevisionRow(msgspec.Struct, frozen=True):
    """``number`` counts from 1; ``image``: what it runs."""

    number: int | None
    revision: str
    time: str | None
    image: str | None


class RolloutHistory(msgspec.Struct, frozen=True):
    """Revisions of an app, the newest first."""

    items: tuple[RevisionRow, ...]
    schema: str = "overlayd.rollout-history/1"


class RolloutChangeRow(msgspec.Struct, frozen=True):
    app: str
    done: str


class RolloutChange(msgspec.Struct, frozen=True):
    """What was asked of an app's rollout; the controller does it."""

    items: tuple[RolloutChangeRow, ...]
    schema: str = "overlayd.rollout-change/1"


Document: TypeAlias = (
    Applied | Objects | ObjectChange | Description | Deleted | Log | Rollout | RolloutHistory | RolloutChange
)
