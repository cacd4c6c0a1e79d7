"""Kinds of ours as manifests of CustomResourceDefinitions, for a cluster of real Kubernetes. Pure."""

from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.schema import Object, render


def manifest(kind: Kind) -> Object:
    """Return the CustomResourceDefinition of a kind."""
    schema = render(kind.schema, None)
    schema["properties"]["metadata"] = {"type": "object"}
    version: Object = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    if kind.columns:
        version["additionalPrinterColumns"] = [
            {
                "name": column.name,
                "type": column.type,
                "jsonPath": column.path,
                **({"description": column.description} if column.description else {}),
                **({"priority": column.priority} if column.priority else {}),
            }
            for column in kind.columns
        ]
    subresources: Object = {"status": {}} if kind.has_status else {}
    if kind.scale is not None:
        subresources["scale"] = {
            "specReplicasPath": kind.scale.spec,
            "statusReplicasPath": kind.scale.status,
            **({"labelSelectorPath": kind.scale.selector} if kind.scale.selector else {}),
        }
    if subresources:
        version["subresources"] = subresources
    if kind.fields:
        version["selectableFields"] = [{"jsonPath": f".{name}"} for name in kind.fields]
    names: Object = {
        "plural": kind.plural,
        "singular": kind.singular,
        "kind": kind.name,
        "listKind": kind.list_name,
    }
    if kind.short:
        names["shortNames"] = list(kind.short)
    if kind.categories:
        names["categories"] = list(kind.categories)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.resource},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": names,
            "versions": [version],
        },
    }
