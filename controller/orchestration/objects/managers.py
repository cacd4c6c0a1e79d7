"""Who owns which fields: ``metadata.managedFields`` read, changed by a write, and written back. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.orchestration.objects.fields import NONE, Difference, FieldSet, decode, encode
from controller.orchestration.objects.schema import Object

APPLY: Final = "Apply"
UPDATE: Final = "Update"


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes, and how: ``operation`` is Apply or Update, ``subresource`` empty for the object itself."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Owned:
    """The fields of a manager, and when that set changed last."""

    fields: FieldSet
    time: str


Owners = dict[Manager, Owned]


def read(meta: Object) -> Owners:
    """Return the owners that an object's metadata tells of; entries of another form are left out."""
    found: Owners = {}
    entries: list[Any] = meta.get("managedFields") or []
    for entry in entries:
        if entry.get("fieldsType") == "FieldsV1":
            who = Manager(
                entry.get("manager", ""),
                entry.get("operation", UPDATE),
                entry.get("apiVersion", ""),
                entry.get("subresource", ""),
            )
            found[who] = Owned(decode(entry.get("fieldsV1") or {}), entry.get("time", ""))
    return found


def written(owners: Mapping[Manager, Owned]) -> list[Object]:
    """Return ``managedFields``: who applies first, then by time and name."""
    made: list[Object] = []
    for who, owned in sorted(owners.items(), key=_rank):
        entry: Object = {"manager": who.name, "operation": who.operation, "apiVersion": who.api_version}
        if owned.time:
            entry["time"] = owned.time
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": encode(owned.fields)}
        if who.subresource:
            entry["subresource"] = who.subresource
        made.append(entry)
    return made


def after_update(owners: Owners, who: Manager, change: Difference, now: str) -> Owners:
    """Return the owners after ``who`` changed fields without asking anyone."""
    kept = without(owners, who, change)
    before = owners.get(who)
    mine = ((before.fields if before else NONE) - change.removed) | change.modified | change.added
    return settled(kept, who, mine, before, now)


def without(owners: Owners, who: Manager, change: Difference) -> Owners:
    """Return what others than ``who`` still own after a change."""
    taken = change.modified | change.added | change.removed
    return {
        other: Owned(left, owned.time)
        for other, owned in owners.items()
        if other != who and (left := owned.fields - taken)
    }


def settled(others: Owners, who: Manager, mine: FieldSet, before: Owned | None, now: str) -> Owners:
    """Return ``others`` with ``who``; the time moves only if its set changed."""
    if not mine:
        return others
    time = before.time if before is not None and before.fields == mine else now
    if who.subresource == "scale":
        time = ""  # as Kubernetes, which tells none of it
    return {**others, who: Owned(mine, time)}


def _rank(item: tuple[Manager, Owned]) -> tuple[str, str, str, str, str]:
    who, owned = item
    return who.operation, owned.time, who.name, who.api_version, who.subresource
