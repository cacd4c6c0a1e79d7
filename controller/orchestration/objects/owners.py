"""Objects that depend on others: what becomes of them when their owners go. Pure.

Source: Kubernetes' garbage collector (``pkg/controller/garbagecollector``) and its generic registry's
``deletionFinalizersForGarbageCollection``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from controller.orchestration.objects.causes import Cause
from controller.orchestration.objects.problems import wrong_option
from controller.orchestration.objects.schema import Object

FOREGROUND = "foregroundDeletion"
"""Finalizer: the object goes after those that depend on it and block it."""
ORPHAN = "orphan"
"""Finalizer: the object goes after those that depend on it depend on it no more."""
_FINALIZERS = {"Foreground": FOREGROUND, "Orphan": ORPHAN}

Propagation: TypeAlias = Literal["", "Background", "Foreground", "Orphan"]
"""What is asked for with a deletion; empty: whatever the object's finalizers say."""
Find: TypeAlias = Callable[[Object], Object | None]
"""Told an owner reference, returns the object of that name there; raises `LookupError` for what is of no kind
here.
"""


def propagation(options: Object) -> Propagation:
    """Return what the options of a deletion ask for. Raises :class:`Problem` (422)."""
    asked, orphans = options.get("propagationPolicy"), options.get("orphanDependents")
    if asked is not None and orphans is not None:
        said = "Invalid value: orphanDependents and deletionPropagation cannot be both set"
        raise wrong_option("Delete", Cause("FieldValueInvalid", "propagationPolicy", said))
    if orphans is not None:
        return "Orphan" if orphans else "Background"
    if asked not in (None, "Background", *_FINALIZERS):
        known = '"Foreground", "Background", "Orphan", "nil"'
        said = f'Unsupported value: "{asked}": supported values: {known}'
        raise wrong_option("Delete", Cause("FieldValueNotSupported", "propagationPolicy", said))
    return cast(Propagation, asked or "")


def held(live: Object, asked: Propagation) -> Object:
    """Return an object that is to be deleted with the finalizer that the propagation takes."""
    if not asked:
        return live
    meta = live["metadata"]
    left = [one for one in meta.get("finalizers", []) if one not in (FOREGROUND, ORPHAN)]
    wanted = [*left, _FINALIZERS[asked]] if asked in _FINALIZERS else left
    return with_finalizers(live, wanted)


def with_finalizers(live: Object, wanted: list[str]) -> Object:
    """Return an object that these hold."""
    meta = {key: value for key, value in live["metadata"].items() if key != "finalizers"}
    return {**live, "metadata": meta | ({"finalizers": wanted} if wanted else {})}


def without(live: Object, finalizer: str) -> Object:
    """Return an object that a finalizer holds no more."""
    return with_finalizers(live, [one for one in live["metadata"]["finalizers"] if one != finalizer])


def ends(value: Object, finalizer: str) -> bool:
    """Tell whether an object is being deleted in the way that ``finalizer`` stands for."""
    meta = value["metadata"]
    return "deletionTimestamp" in meta and finalizer in meta.get("finalizers", ())


def references(value: Object) -> list[Object]:
    """Return whom an object names as its owners."""
    return value["metadata"].get("ownerReferences", [])


def blocks(value: Object, uid: str) -> bool:
    """Tell whether an object keeps an owner that is deleted in the foreground from going."""
    return any(one["uid"] == uid and one.get("blockOwnerDeletion") for one in references(value))


@dataclass(frozen=True, slots=True)
class Owners:
    """Whom an object depends on: owners that are there (``solid``), that wait for it to go (``waiting``),
    and that are not there (``absent``). References, as they stand in the object.
    """

    solid: tuple[Object, ...]
    waiting: tuple[Object, ...]
    absent: tuple[Object, ...]


def owners(value: Object, find: Find) -> Owners:
    """Return an object's owners. One of a kind that is not known here is taken to be there."""
    solid: list[Object] = []
    waiting: list[Object] = []
    absent: list[Object] = []
    for reference in references(value):
        try:
            owner = find(reference)
        except LookupError:
            solid.append(reference)
            continue
        if owner is None or owner["metadata"]["uid"] != reference["uid"]:
            absent.append(reference)
        elif ends(owner, FOREGROUND):
            waiting.append(reference)
        else:
            solid.append(reference)
    return Owners(tuple(solid), tuple(waiting), tuple(absent))


def with_owners(value: Object, wanted: list[Object]) -> Object:
    """Return an object that depends on these."""
    meta = {key: part for key, part in value["metadata"].items() if key != "ownerReferences"}
    return {**value, "metadata": meta | ({"ownerReferences": wanted} if wanted else {})}
