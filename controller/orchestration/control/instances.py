"""Instances of an app, as its pods tell of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controller.orchestration.control.members import Member
from overlayd.model.lease import wait_s
from overlayd.protocol.pod import REVISION, Pod

DRAINING = "overlayd.io/draining-since"
"""Annotation: since when an instance gets nothing new, before it goes."""
LEASE = "overlayd.io/lease-seconds"
"""Annotation: the instance runs by leases of this length."""
REPLACE_AFTER = "overlayd.io/replace-after-seconds"
"""Annotation: as long nobody has to have seen its node until another may take its place."""
GENERATION = "overlayd.io/app-generation"
"""Annotation: the generation of the app of which it was made."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One pod. Times are Unix seconds.

    ``ready``: it said that it serves, when it was seen last; ``since_s``: when that changed. ``seen``: its
    node is, and no lease of it has ended. ``replaceable``: it has been unseen for so long that another may
    take its place, though it may still run; ``lost``: it does not, or is none of ours any more. ``leaving``:
    it is being deleted. ``draining_s``: since when it gets nothing new.
    """

    name: str
    namespace: str
    uid: str
    version: str
    node: str
    revision: str
    ready: bool = False
    since_s: float = 0.0
    restarts: int = 0
    seen: bool = True
    replaceable: bool = False
    lost: bool = False
    leaving: bool = False
    draining_s: float | None = None
    lease_s: int | None = None
    owner: str = ""

    @property
    def serving(self) -> bool:
        """Whether it takes what is new."""
        return self.ready and self.seen and not self.leaving and self.draining_s is None


def instance_of(pod: Pod, members: Mapping[str, Member]) -> Instance:
    """Return a pod as an instance. A node that is not told of has left the mesh."""
    meta, notes = pod.metadata, pod.metadata.annotations
    member = members.get(pod.spec.node_name, Member(pod.spec.node_name, seen=False, joined=False))
    lease_s = int(notes[LEASE]) if LEASE in notes else None
    replace_after_s = float(notes.get(REPLACE_AFTER, 0))
    ready = next((one for one in pod.status.conditions if one.type == "Ready"), None)
    if lease_s is None:
        seen, lost = member.seen, not member.joined
    else:
        seen = member.seen and member.silent_s < lease_s
        lost = not seen and member.silent_s >= max(wait_s(lease_s), replace_after_s)
    return Instance(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        version=meta.resource_version,
        node=pod.spec.node_name,
        revision=meta.labels.get(REVISION, ""),
        ready=pod.ready(),
        since_s=unix_s((ready.last_transition_time if ready else None) or meta.creation_timestamp),
        restarts=sum(one.restart_count for one in pod.status.container_statuses),
        seen=seen,
        replaceable=not seen and lease_s is None and member.silent_s >= replace_after_s,
        lost=lost,
        leaving=pod.deleting(),
        draining_s=unix_s(notes[DRAINING]) if DRAINING in notes else None,
        lease_s=lease_s,
        owner=next((one.uid for one in meta.owner_references if one.controller), ""),
    )


def unix_s(timestamp: str | None) -> float:
    """Return RFC 3339 as Unix seconds; 0 for none."""
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else 0.0
