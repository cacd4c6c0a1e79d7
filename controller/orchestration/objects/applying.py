"""Server-side apply: what one manager wants is merged in, what it no longer wants is taken away. Pure.

Source: structured-merge-diff v6, ``merge.Updater``.
"""

import copy
import json
from typing import Any

from controller.orchestration.objects.fields import (
    NONE,
    FieldSet,
    Path,
    difference,
    dotted,
    element,
    fields_of,
    merges,
    parts,
    told_order,
)
from controller.orchestration.objects.managers import APPLY, Manager, Owners, settled, without
from controller.orchestration.objects.problems import Problem
from controller.orchestration.objects.schema import Object, Schema, is_list, is_object


def apply(
    schema: Schema, live: Object, config: Object, owners: Owners, who: Manager, *, force: bool, now: str
) -> tuple[Object, Owners]:
    """Return the object and its owners after ``who`` applied ``config``.

    Raises :class:`Problem` (409) if others own fields that would change, unless ``force`` takes them.
    """
    mine = fields_of(schema, config)
    before = owners.get(who)
    others = {other: owned for other, owned in owners.items() if other != who}
    owned_by_others: FieldSet = NONE.union(*(owned.fields for owned in others.values()))
    merged: Object = _merge(schema, live, config)
    if before is not None:
        _remove(schema, merged, before.fields - mine, mine | owned_by_others)
    change = difference(schema, live, merged)
    contested = change.modified | change.added
    conflicts = {
        other: taken for other, owned in others.items() if (taken := owned.fields & contested) and not force
    }
    if conflicts:
        raise _conflict(conflicts)
    return merged, settled(without(owners, who, change), who, mine, before, now)


def _merge(schema: Schema | None, live: Any, config: Any) -> Any:
    """Return ``live`` with all of ``config``; what both are made of is merged part by part."""
    if live is None or config is None or not (merges(schema, live) and merges(schema, config)):
        return copy.deepcopy(config)
    if is_object(config) and is_object(live):
        old, new = live, config
        merged = {key: copy.deepcopy(value) for key, value in old.items() if key not in new}
        for key, value in new.items():
            merged[key] = _merge(schema.child(key) if schema else None, old.get(key), value)
        return merged
    if is_list(config) and is_list(live) and schema is not None:
        return _merge_lists(schema, live, config)
    return copy.deepcopy(config)


def _merge_lists(schema: Schema, live: list[Any], config: list[Any]) -> list[Any]:
    """Items of ``config`` in its order; those of ``live`` alone stay where they were between them."""
    wanted = {element(schema, item): item for item in config}
    old = {element(schema, item): item for item in live}
    merged: list[Any] = []
    waiting = list(wanted)
    for key, item in old.items():
        if key not in wanted:
            merged.append(copy.deepcopy(item))
            continue
        while waiting:  # what is wanted before this one comes before it
            first = waiting.pop(0)
            merged.append(_merge(schema.items, old.get(first), wanted[first]))
            if first == key:
                break
    merged += [_merge(schema.items, old.get(key), wanted[key]) for key in waiting]
    return merged


def _remove(schema: Schema, merged: Object, unwanted: FieldSet, owned: FieldSet) -> None:
    """Take away what nobody owns any more, the deepest first; what holds parts of others stays."""
    kept = {path[:length] for path in owned for length in range(1, len(path) + 1)}
    holders = {path[:length] for path in unwanted for length in range(1, len(path))}
    for path in sorted((unwanted | holders) - kept, key=lambda path: (-len(path), path)):
        if not (len(path) > 1 and path[-2].startswith("k:") and path[-1][2:] in json.loads(path[-2][2:])):
            _remove_at(schema, merged, path)


def _remove_at(schema: Schema | None, value: Any, path: Path) -> None:
    holder, declared = value, schema
    for step in path[:-1]:
        found = parts(declared, holder).get(step)
        if found is None:
            return
        declared, holder = found
    last = path[-1]
    found = parts(declared, holder).get(last)
    if found is None:
        return
    below, item = found
    if merges(below, item) and _foreign(below, item, last):
        return
    if is_object(holder):
        del holder[last[2:]]
    elif is_list(holder):
        holder.remove(item)


def _foreign(schema: Schema | None, item: Any, step: str) -> bool:
    """Tell whether something is left in ``item`` beside the keys by which its list knows it."""
    keys = set(schema.list_keys) if schema is not None else set[str]()
    if step.startswith("k:"):
        keys |= set(json.loads(step[2:]))
    return any(part[2:] not in keys for part in parts(schema, item))


def _conflict(conflicts: dict[Manager, FieldSet]) -> Problem:
    causes: list[Object] = []
    for who, fields in sorted(conflicts.items(), key=lambda item: item[0].name):
        message = f"conflict with {_told(who)}"
        causes += [
            {"reason": "FieldManagerConflict", "message": message, "field": one}
            for one in map(dotted, sorted(fields, key=told_order))
        ]
    if len(causes) == 1:
        said = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
        return Problem(409, "Conflict", said, {"causes": causes})
    lines: list[str] = []
    for cause in causes:
        head = f"conflicts{cause['message'].removeprefix('conflict')}:"
        lines += [] if head in lines else [head]
        lines.append(f"- {cause['field']}")
    said = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return Problem(409, "Conflict", said, {"causes": causes})


def _told(who: Manager) -> str:
    """Return a manager as messages tell it."""
    said = f'"{who.name}"'
    if who.subresource:
        said += f' with subresource "{who.subresource}"'
    return said if who.operation == APPLY else f"{said} using {who.api_version}"
