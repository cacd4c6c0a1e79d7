"""The API described in OpenAPI: version 2 for older clients, version 3 by group. Pure.

Clients read three things in it: the schemas of kinds (``explain``, checks before sending), which group,
version and kind a schema or an operation is of, and which parameters a patch takes (dry runs, strict fields).
"""

from controller.orchestration.objects.kinds import Catalogue, Kind
from controller.orchestration.objects.metadata import METADATA
from controller.orchestration.objects.schema import Object, Schema, record, render, series, text

_V2 = "#/definitions/"
_V3 = "#/components/schemas/"
_ACTIONS = {"get": "get", "put": "put", "post": "post", "delete": "delete", "patch": "patch"}
_PATCHES = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"]

_LIST_META = record(
    "ListMeta describes metadata that lists have.",
    {
        "continue": text("Where a list that was cut goes on; lists here are never cut."),
        "resourceVersion": text("From where on to watch what changes after this list."),
    },
    name="io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta",
)


def version_2(kinds: Catalogue, version: str) -> Object:
    """Return the document of version 2, of all kinds."""
    paths: Object = {}
    for kind in kinds:
        for path, operations in _paths(kind).items():
            paths[path] = {
                method: _operation(kind, method, path, names, v3=False)
                for method, names in operations.items()
            }
    return {
        "swagger": "2.0",
        "info": {"title": "overlayd", "version": version},
        "paths": paths,
        "definitions": _schemas(list(kinds), _V2),
    }


def version_3(kinds: list[Kind], version: str) -> Object:
    """Return the document of version 3 of the kinds of one group and version."""
    paths: Object = {}
    for kind in kinds:
        for path, operations in _paths(kind).items():
            paths[path] = {
                method: _operation(kind, method, path, names, v3=True) for method, names in operations.items()
            }
    return {
        "openapi": "3.0.0",
        "info": {"title": "overlayd", "version": version},
        "paths": paths,
        "components": {"schemas": _schemas(kinds, _V3)},
    }


def _schemas(kinds: list[Kind], prefix: str) -> Object:
    found: dict[str, Schema] = {METADATA.name: METADATA, _LIST_META.name: _LIST_META}
    made: Object = {}
    for kind in kinds:
        _named(kind.schema, found)
        for schema in (kind.schema, _list_of(kind)):
            made[schema.name] = render(schema, prefix)
            name = kind.name if schema.name == kind.definition else kind.list_name
            made[schema.name]["x-kubernetes-group-version-kind"] = [_gvk(kind, name)]
    for name, schema in found.items():
        made.setdefault(name, render(schema, prefix))
    return dict(sorted(made.items()))


def _named(schema: Schema, found: dict[str, Schema]) -> None:
    """Collect the schemas below ``schema`` that have names."""
    below = [*schema.properties.values(), *filter(None, (schema.items, schema.values))]
    for one in below:
        if one.name:
            found.setdefault(one.name, one)
        _named(one, found)


def _list_of(kind: Kind) -> Schema:
    head = kind.schema.properties
    return record(
        f"{kind.list_name} is a list of {kind.name}",
        {
            "apiVersion": head["apiVersion"],
            "kind": head["kind"],
            "metadata": _LIST_META,
            "items": series(f"The list's {kind.plural}.", kind.schema),
        },
        "items",
        name=f"{kind.definition}List",
    )


def _paths(kind: Kind) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return by path and method which parameters of the query are taken."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    base = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    listing = (
        "labelSelector",
        "fieldSelector",
        "resourceVersion",
        "watch",
        "timeoutSeconds",
        "allowWatchBookmarks",
    )
    writing = ("dryRun", "fieldManager", "fieldValidation")
    collection: dict[str, tuple[str, ...]] = {"get": listing}
    single: dict[str, tuple[str, ...]] = {"get": ()}
    if "create" in kind.verbs:
        collection |= {"post": writing, "delete": ("dryRun", "labelSelector", "fieldSelector")}
        single |= {"put": writing, "patch": (*writing, "force"), "delete": ("dryRun", "propagationPolicy")}
    paths = {base: collection, f"{base}/{{name}}": single}
    if kind.namespaced:
        paths[f"{root}/{kind.plural}"] = {"get": listing}
    if kind.has_status and "create" in kind.verbs:
        paths[f"{base}/{{name}}/status"] = {key: single[key] for key in ("get", "put", "patch")}
    if kind.scale is not None:
        paths[f"{base}/{{name}}/scale"] = {key: single[key] for key in ("get", "put", "patch")}
    return paths


def _operation(kind: Kind, method: str, path: str, names: tuple[str, ...], *, v3: bool) -> Object:
    reference = {"$ref": (_V3 if v3 else _V2) + kind.definition}
    inside = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    parameters = [_parameter(name, "path", v3) for name in inside] + [
        _parameter(name, "query", v3) for name in names
    ]
    words = "".join(part.title() for part in path.split("/") if part.isalpha())
    made: Object = {
        "operationId": f"{method}{kind.name}{words}",
        "parameters": parameters,
        "x-kubernetes-action": _action(method, inside),
        "x-kubernetes-group-version-kind": _gvk(kind, kind.name),
    }
    if v3:
        content = {"application/json": {"schema": reference}}
        made["responses"] = {"200": {"description": "OK", "content": content}}
        if method == "patch":
            made["requestBody"] = {"content": {media: {"schema": {"type": "object"}} for media in _PATCHES}}
        elif method in ("put", "post"):
            made["requestBody"] = {"content": content}
        return made
    made["responses"] = {"200": {"description": "OK", "schema": reference}}
    if method in ("put", "post", "patch"):
        parameters.append({"name": "body", "in": "body", "required": True, "schema": reference})
    made["consumes"] = _PATCHES if method == "patch" else ["application/json"]
    made["produces"] = ["application/json"]
    return made


def _action(method: str, inside: list[str]) -> str:
    if method == "get" and "name" not in inside:
        return "list"
    if method == "delete" and "name" not in inside:
        return "deletecollection"
    return _ACTIONS[method]


def _parameter(name: str, where: str, v3: bool) -> Object:
    kinds = {
        "watch": "boolean",
        "allowWatchBookmarks": "boolean",
        "force": "boolean",
        "timeoutSeconds": "integer",
    }
    type_ = kinds.get(name, "string")
    made: Object = {"name": name, "in": where}
    if where == "path":
        made["required"] = True
    return made | ({"schema": {"type": type_}} if v3 else {"type": type_})


def _gvk(kind: Kind, name: str) -> Object:
    return {"group": kind.group, "kind": name, "version": kind.version}
