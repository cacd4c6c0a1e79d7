"""An app as the control loops see it: what is wanted of it, and what was seen last. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from controller.orchestration.control.rollout import Course
from controller.orchestration.objects.reading import AppSpec
from controller.orchestration.objects.schema import Object
from overlayd.model.lease import LEASE_S, longest_lease_s
from overlayd.protocol.pod import Metadata

SELECTOR = "overlayd.io/app={}"


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class Condition(_Part, frozen=True):
    type: str
    status: str
    last_transition_time: str


class Past(_Part, frozen=True):
    """A revision that was in force. ``template`` is JSON."""

    revision: str
    number: int = 0
    time: str = ""
    image: str = ""
    template: str = ""


class RolloutStatus(_Part, frozen=True):
    """`rollout.Rollout`, and the ``stable`` revision: the one that came to run last, whole."""

    revision: str
    stable: str = ""
    phase: Literal["Progressing", "Failed", "Done"] = "Progressing"
    step: int = 0
    weight: int = 100
    since: str = ""
    message: str = ""


class InstanceStatus(_Part, frozen=True):
    pod: str
    expected_ms: float | None = None


class AppStatus(_Part, frozen=True):
    conditions: tuple[Condition, ...] = ()
    history: tuple[Past, ...] = ()
    rollout: RolloutStatus | None = None
    instances: tuple[InstanceStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class App:
    """``raw`` is the object as it is stored."""

    metadata: Metadata
    spec: AppSpec
    status: AppStatus
    raw: Mapping[str, Any]

    @property
    def single(self) -> bool:
        """Whether it must never run twice."""
        return self.spec.autonomy.singleton

    @property
    def lease_s(self) -> int | None:
        """By leases of which length its instances run; None: they need none. One that is too short to be
        renewed would end them: then another waits longer than ``replaceAfter``.
        """
        autonomy = self.spec.autonomy
        if autonomy.keep and not autonomy.singleton:
            return None
        return max(LEASE_S, longest_lease_s(autonomy.replace_after_s))

    @property
    def course(self) -> Course:
        """How revisions are replaced."""
        update = self.spec.update
        if not update.canary:
            return Course()
        return Course(tuple(round(100 * share) for share in update.steps), update.analysis_s)


def read_app(value: Object) -> App:
    """Return a stored object as an app. Raises `reading.Unreadable`."""
    return App(
        msgspec.convert(value["metadata"], Metadata),
        AppSpec.of(value),
        msgspec.convert(value.get("status") or {}, AppStatus),
        value,
    )


def as_json(value: Any) -> Any:
    """Return structs as what JSON decodes to."""
    return msgspec.json.decode(msgspec.json.encode(value))
