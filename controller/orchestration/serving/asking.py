"""What a request asks for: its path, its query, what it accepts, taken apart. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from controller.orchestration.objects.kinds import Catalogue, Kind
from controller.orchestration.objects.problems import Problem, bad_request
from controller.orchestration.objects.schema import Object, is_object

JSON = "application/json"
_TRUE = ("true", "True", "1", "")


@dataclass(frozen=True, slots=True)
class Target:
    """A resource (``name`` empty), an object, or a part of one. ``namespace`` is None for all of them."""

    kind: Kind
    namespace: str | None
    name: str = ""
    subresource: str = ""


def target(kinds: Catalogue, path: str) -> Target | None:
    """Return what a path stands for; None: nothing of ours."""
    parts = path.strip("/").split("/")
    match parts:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            return None
    namespace: str | None = None
    if len(rest) >= 3 and rest[0] == "namespaces" and kinds.find(group, version, rest[2]) is not None:
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3 or (kind := kinds.find(group, version, rest[0])) is None:
        return None
    name = rest[1] if len(rest) > 1 else ""
    part = rest[2] if len(rest) > 2 else ""
    if (kind.namespaced and name and namespace is None) or (not kind.namespaced and namespace is not None):
        return None
    return Target(kind, namespace, name, part)


def has(kind: Kind, subresource: str) -> bool:
    """Tell whether objects of a kind have a part of that name."""
    match subresource:
        case "status":
            return kind.has_status
        case "scale":
            return kind.scale is not None
        case "log":
            return kind.logs
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Form:
    """What an answer is to look like. ``shape`` is empty for the objects themselves."""

    shape: Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"] = ""
    include: str = "Metadata"


def form(accept: str, query: Mapping[str, str]) -> Form:
    """Return the first form among those accepted that there is. Raises :class:`Problem` (406)."""
    include = query.get("includeObject", "Metadata")
    for entry in (accept or "*/*").split(","):
        media, *parameters = (part.strip() for part in entry.split(";"))
        said = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media not in (JSON, "*/*", "application/*"):
            continue
        shape = said.get("as", "")
        if not shape:
            return Form("", include)
        if shape in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList") and said.get("v") == "v1":
            return Form(cast(Literal["Table"], shape), include)
    raise Problem(
        406,
        "NotAcceptable",
        f"only the following media types are accepted: {JSON}, {JSON};as=Table;v=v1;g=meta.k8s.io",
    )


def truth(query: Mapping[str, str], key: str) -> bool:
    """Return a yes or no of the query."""
    return key in query and query[key] in _TRUE


def dry_run(query: Mapping[str, str], body: object = None) -> bool:
    """Tell whether nothing is to be kept. Raises :class:`Problem` for another dry run than that of
    everything.
    """
    asked = [query["dryRun"]] if query.get("dryRun") else []
    if is_object(body):
        asked += body.get("dryRun") or []
    if any(one != "All" for one in asked):
        raise bad_request(f'invalid dry run: Unsupported value: "{asked[0]}": supported values: "All"')
    return bool(asked)


def deletion(query: Mapping[str, str], body: object) -> Object:
    """Return the options of a deletion: those of the body, else those of the query."""
    if is_object(body):
        return body
    return {key: query[key] for key in ("propagationPolicy",) if key in query}


def version_of(query: Mapping[str, str]) -> int | None:
    """Return the resourceVersion that a list or watch names; None: none, or 0 (whatever there is)."""
    text = query.get("resourceVersion", "")
    if text in ("", "0"):
        return None
    if not text.isdecimal():
        raise bad_request(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)
