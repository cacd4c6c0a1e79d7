"""What the API offers, as clients ask for it: versions, groups, resources; also all in one document. Pure."""

from controller.orchestration.objects.kinds import Catalogue, Kind
from controller.orchestration.objects.schema import Object

SUBRESOURCE_VERBS = ("get", "patch", "update")


def core_versions(address: str) -> Object:
    """Return what ``/api`` answers."""
    where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": where}


def groups(kinds: Catalogue) -> Object:
    """Return what ``/apis`` answers."""
    listed = [_group(name, version) for name, version in kinds.groups() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(kinds: Catalogue, name: str) -> Object | None:
    """Return what ``/apis/GROUP`` answers; None: there is no such group."""
    found = [version for one, version in kinds.groups() if one == name and name]
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, found[0]) if found else None


def resources(kinds: Catalogue, name: str, version: str) -> Object | None:
    """Return what ``/apis/GROUP/VERSION`` answers; None: there is no such version."""
    found = kinds.groups().get((name, version))
    if found is None:
        return None
    listed: list[Object] = []
    for kind in sorted(found, key=lambda kind: kind.plural):
        head: Object = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.name,
            "verbs": list(kind.verbs),
        }
        if kind.short:
            head["shortNames"] = list(kind.short)
        if kind.categories:
            head["categories"] = list(kind.categories)
        listed.append(head)
        for part, shape, verbs in _parts(kind):
            sub: Object = {
                "name": f"{kind.plural}/{part}",
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": shape["kind"],
                "verbs": list(verbs),
            }
            if shape["group"] != kind.group:
                sub |= {"group": shape["group"], "version": shape["version"]}
            listed.append(sub)
    of = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": of, "resources": listed}


def aggregated(kinds: Catalogue, *, core: bool, version: str) -> Object:
    """Return all groups (of the core alone, or all others) in one document of apidiscovery's ``version``."""
    items: list[Object] = []
    for (name, of), found in kinds.groups().items():
        if core == (name == ""):
            listed = [_whole(kind) for kind in sorted(found, key=lambda kind: kind.plural)]
            versions = [{"version": of, "resources": listed, "freshness": "Current"}]
            meta: Object = {"name": name} if name else {}
            items.append({"metadata": meta | {"creationTimestamp": None}, "versions": versions})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _group(name: str, version: str) -> Object:
    preferred = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [preferred], "preferredVersion": preferred}


def _parts(kind: Kind) -> list[tuple[str, Object, tuple[str, ...]]]:
    own = {"group": kind.group, "version": kind.version, "kind": kind.name}
    parts: list[tuple[str, Object, tuple[str, ...]]] = []
    if kind.logs:
        parts.append(("log", own, ("get",)))
    if kind.has_status and "update" in kind.verbs:
        parts.append(("status", own, SUBRESOURCE_VERBS))
    if kind.scale is not None:
        scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        parts.append(("scale", scale, SUBRESOURCE_VERBS))
    return parts


def _whole(kind: Kind) -> Object:
    made: Object = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.name},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short:
        made["shortNames"] = list(kind.short)
    if kind.categories:
        made["categories"] = list(kind.categories)
    parts = [
        {"subresource": part, "responseKind": shape, "verbs": list(verbs)}
        for part, shape, verbs in _parts(kind)
    ]
    return made | ({"subresources": parts} if parts else {})
