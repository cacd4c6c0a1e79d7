"""The metadata that every object has: its schema, and what may stand in it. Pure.

Names and rules are Kubernetes' own (RFC 1123; apimachinery's ``ObjectMeta``).
"""

import re
from typing import Any

from controller.orchestration.objects.causes import Cause, invalid, required
from controller.orchestration.objects.schema import Object, flag, mapping, record, series, text, whole

_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."

_OWNER = record(
    "OwnerReference contains enough information to let you identify an owning object.",
    {
        "apiVersion": text("API version of the referent."),
        "blockOwnerDeletion": flag(
            "If true, the owner cannot be deleted in the foreground before this reference."
        ),
        "controller": flag("If true, this reference points to the managing controller."),
        "kind": text("Kind of the referent."),
        "name": text("Name of the referent."),
        "uid": text("UID of the referent."),
    },
    "apiVersion",
    "kind",
    "name",
    "uid",
    atomic=True,
    name=_META + "OwnerReference",
)

_MANAGED = record(
    "ManagedFieldsEntry is a workflow-id, a FieldSet and the group version of the resource that the "
    "fieldset applies "
    "to.",
    {
        "apiVersion": text("APIVersion defines the version of this resource that this field set applies to."),
        "fieldsType": text(
            "FieldsType is the discriminator for the different fields format and version: FieldsV1."
        ),
        "fieldsV1": record(
            "FieldsV1 holds the fields that are owned.", {}, open=True, name=_META + "FieldsV1"
        ),
        "manager": text("Manager is an identifier of the workflow managing these fields."),
        "operation": text("Operation is the type of operation which lead to this entry: Apply or Update."),
        "subresource": text("Subresource is the name of the subresource used to update that object."),
        "time": text("Time is when the entry was added or last changed.", format="date-time"),
    },
    name=_META + "ManagedFieldsEntry",
)

METADATA = record(
    "Standard object's metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    {
        "annotations": mapping("Notes of any kind, for programs; not queryable, kept as they are.", text()),
        "creationTimestamp": text("When the object was made; set by the server.", format="date-time"),
        "deletionGracePeriodSeconds": whole("Seconds that the object is given to end gracefully."),
        "deletionTimestamp": text(
            "When deletion was asked for; the object goes once its finalizers are gone. Set by the server.",
            format="date-time",
        ),
        "finalizers": series(
            "Who has to have done something before the object may go; each removes its own entry.",
            text(),
            list_type="set",
        ),
        "generateName": text("A prefix: the server makes a unique name from it where no name is given."),
        "generation": whole("Counts changes of what is desired; set by the server."),
        "labels": mapping("Keys and values by which objects are selected.", text()),
        "managedFields": series("Who set which field last; kept by the server.", _MANAGED),
        "name": text("Unique within a namespace; cannot be changed."),
        "namespace": text("The space that the name is unique in; objects of some kinds have none."),
        "ownerReferences": series("Objects that this one depends on.", _OWNER, "uid"),
        "resourceVersion": text("Changes with each change of the object; opaque. Set by the server."),
        "selfLink": text("Deprecated: no longer set."),
        "uid": text("Unique in space and time; set by the server."),
    },
    name=_META + "ObjectMeta",
)

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
MOST_ANNOTATIONS = 256 * 1024
"""Bytes of all annotations together."""

_SAY_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
    "must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_SAY_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SAY_QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_SAY_KEY = (
    "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. "
    "'example.com/MyName')"
)
_SAY_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
    "must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
    "validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def check_metadata(meta: Object, *, label_name: bool) -> list[Cause]:
    """Return what is wrong with an object's metadata; ``label_name``: its name has to be one label."""
    found = _name(meta, label_name)
    found += _labels(meta.get("labels") or {})
    found += _annotations(meta.get("annotations") or {})
    finalizers: list[str] = meta.get("finalizers") or []
    for one in finalizers:
        for problem in qualified(one):
            found.append(invalid("metadata.finalizers", one, problem))
    return found


def qualified(key: str) -> list[str]:
    """Return what is wrong with a qualified name (of a label, of a finalizer)."""
    if key.count("/") > 1:
        return [_SAY_KEY]
    prefix, slash, name = key.rpartition("/")
    if slash and not prefix:
        return ["prefix part must be non-empty"]
    found: list[str] = []
    if slash and not SUBDOMAIN.fullmatch(prefix):
        found.append(f"prefix part {_SAY_SUBDOMAIN}")
    if not name:
        found.append("name part must be non-empty")
    elif len(name) > 63:
        found.append("name part must be no more than 63 bytes")
    if not QUALIFIED.fullmatch(name):
        found.append(_SAY_QUALIFIED)
    return found


def label_value(value: str) -> list[str]:
    """Return what is wrong with a label's value."""
    found = ["must be no more than 63 bytes"] if len(value) > 63 else []
    return found if VALUE.fullmatch(value) else [*found, _SAY_VALUE]


def _name(meta: Object, label_name: bool) -> list[Cause]:
    name: Any = meta.get("name", "")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    most = 63 if label_name else 253
    found = [invalid("metadata.name", name, f"must be no more than {most} bytes")] if len(name) > most else []
    if label_name and "." in name:
        found.append(invalid("metadata.name", name, "must not contain dots"))
    elif not (LABEL if label_name else SUBDOMAIN).fullmatch(name):
        found.append(invalid("metadata.name", name, _SAY_LABEL if label_name else _SAY_SUBDOMAIN))
    return found


def _labels(labels: dict[str, str]) -> list[Cause]:
    found: list[Cause] = []
    for key, value in sorted(labels.items()):
        found += [invalid("metadata.labels", key, problem) for problem in qualified(key)]
        found += [invalid("metadata.labels", value, problem) for problem in label_value(value)]
    return found


def _annotations(annotations: dict[str, str]) -> list[Cause]:
    found: list[Cause] = []
    for key in sorted(annotations):
        found += [invalid("metadata.annotations", key, problem) for problem in qualified(key.lower())]
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > MOST_ANNOTATIONS:
        found.append(
            Cause(
                "FieldValueTooLong",
                "metadata.annotations",
                f"Too long: may not be more than {MOST_ANNOTATIONS} bytes",
            )
        )
    return found
