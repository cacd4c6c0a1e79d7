"""What a patch makes of an object: merge patch (RFC 7386), JSON patch (RFC 6902), strategic patch. Pure.

RFC 6902 is written out here, as no library of it keeps ``true`` and ``1`` apart and tells errors as
Kubernetes does.
"""

import copy
from typing import Any

from controller.orchestration.objects.problems import Problem, bad_request
from controller.orchestration.objects.schema import Object, Schema, is_list, is_object

MOST_OPERATIONS = 10_000
_REJECTED = "the server rejected our request due to an error in our request"


def merge(target: Any, patch: Any) -> Any:
    """Return ``target`` after a merge patch; neither is changed."""
    if not is_object(patch):
        return copy.deepcopy(patch)
    old = target if is_object(target) else {}
    made = {key: copy.deepcopy(value) for key, value in old.items() if key not in patch}
    for key, value in patch.items():
        if value is not None:
            made[key] = merge(old.get(key), value)
    return made


def json_patch(target: Object, operations: Any) -> Any:
    """Return ``target`` after a JSON patch. Raises :class:`Problem`: 400 if it is none, 422 if it does
    not fit.
    """
    if not is_list(operations):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    listed = operations
    if len(listed) > MOST_OPERATIONS:
        raise Problem(
            413,
            "RequestEntityTooLarge",
            f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}",
        )
    document: Any = copy.deepcopy(target)
    for operation in listed:
        try:
            document = _operate(document, operation)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise Problem(422, "Invalid", _REJECTED, {}) from error
    return document


def strategic(schema: Schema | None, target: Any, patch: Any) -> Any:
    """Return ``target`` after a strategic merge patch: lists of items with keys are merged by these."""
    if not is_object(patch):
        return copy.deepcopy(patch)
    wanted = patch
    if wanted.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in wanted.items() if key != "$patch"}
    old = target if is_object(target) else {}
    made = copy.deepcopy(old)
    for key, value in wanted.items():
        directive, _, name = key.partition("/")
        if directive == "$deleteFromPrimitiveList":
            kept: list[Any] = made.get(name) or []
            made[name] = [item for item in kept if item not in value]
        elif key.startswith("$"):
            continue  # an order of items, which nothing of ours depends on
        elif value is None:
            made.pop(key, None)
        elif is_list(value):
            below = schema.child(key) if schema else None
            made[key] = _strategic_list(below, made.get(key) or [], value)
        else:
            made[key] = strategic(schema.child(key) if schema else None, made.get(key), value)
    return made


def _strategic_list(schema: Schema | None, old: list[Any], new: list[Any]) -> list[Any]:
    if schema is None or schema.list_type == "atomic":
        return copy.deepcopy(new)
    if schema.list_type == "set":
        return old + [item for item in new if item not in old]
    made = list(old)
    for item in new:
        keys = {key: item.get(key) for key in schema.list_keys}
        same = [
            at for at, one in enumerate(made) if all(one.get(key) == value for key, value in keys.items())
        ]
        if item.get("$patch") == "delete":
            made = [one for at, one in enumerate(made) if at not in same]
        elif same:
            made[same[0]] = strategic(schema.items, made[same[0]], item)
        else:
            made.append(copy.deepcopy(item))
    return made


def _operate(document: Any, operation: Object) -> Any:
    path = _steps(operation["path"])
    match operation["op"]:
        case "add":
            return _add(document, path, copy.deepcopy(operation["value"]))
        case "remove":
            _take(document, path)
            return document
        case "replace":
            _find(document, path)
            if not path:
                return copy.deepcopy(operation["value"])
            holder, last = _find(document, path[:-1]), path[-1]
            holder[_key(holder, last)] = copy.deepcopy(operation["value"])
            return document
        case "move":
            origin = _steps(operation["from"])
            if path[: len(origin)] == origin and len(path) > len(origin):
                raise ValueError("into itself")
            return _add(document, path, _take(document, origin))
        case "copy":
            return _add(document, path, copy.deepcopy(_find(document, _steps(operation["from"]))))
        case "test":
            if not _same(_find(document, path), operation.get("value")):
                raise ValueError("test failed")
            return document
        case _:
            raise ValueError("no such operation")


def _steps(pointer: str) -> list[str]:
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise ValueError("no pointer")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def _key(holder: Any, step: str) -> Any:
    """Return what stands in ``holder`` at ``step``: the name of a field, or a place in a list."""
    if is_object(holder):
        return step
    if not is_list(holder) or not step.isascii() or not step.isdecimal() or step != str(int(step)):
        raise ValueError("no place in a list")
    return int(step)


def _find(document: Any, path: list[str]) -> Any:
    for step in path:
        document = document[_key(document, step)]
    return document


def _take(document: Any, path: list[str]) -> Any:
    holder = _find(document, path[:-1])
    return holder.pop(_key(holder, path[-1]))


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    holder, last = _find(document, path[:-1]), path[-1]
    if is_list(holder):
        items = holder
        place = len(items) if last == "-" else _key(items, last)
        if place > len(items):
            raise IndexError(place)
        items.insert(place, value)
    else:
        holder[_key(holder, last)] = value
    return document


def _same(left: Any, right: Any) -> bool:
    """Tell whether two JSON values are equal: a boolean is no number."""
    if is_object(left) and is_object(right):
        one, two = left, right
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if is_list(left) and is_list(right):
        first, second = left, right
        return len(first) == len(second) and all(map(_same, first, second))
    return isinstance(left, bool) == isinstance(right, bool) and left == right
