"""What kubectl needs of Kubernetes' core group: namespaces and events. Pure: declarations.

Fields are those of Kubernetes v1 that something here reads or writes; others of the real kinds are unknown
fields.
"""

from controller.orchestration.objects.kinds import Column, Kind
from controller.orchestration.objects.schema import record, series, text, whole

_CORE = "io.k8s.api.core.v1"

NAMESPACE = Kind(
    name="Namespace",
    plural="namespaces",
    group="",
    module=_CORE,
    short=("ns",),
    namespaced=False,
    description="Namespace provides a scope for Names. Use of multiple namespaces is optional.",
    properties={
        "spec": record(
            "Spec defines the behavior of the Namespace.",
            {"finalizers": series("Who has to have done something before the namespace may go.", text())},
            name=f"{_CORE}.NamespaceSpec",
        ),
        "status": record(
            "Status describes the current status of a Namespace.",
            {"phase": text("Active, or Terminating while its contents are being deleted.")},
            name=f"{_CORE}.NamespaceStatus",
        ),
    },
    columns=(
        Column("Status", "string", ".status.phase", "The status of the namespace"),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
    fields={"status.phase": ("status", "phase")},
)

_REFERENCE = record(
    "ObjectReference contains enough information to let you inspect or modify the referred object.",
    {
        "apiVersion": text("API version of the referent."),
        "fieldPath": text("The part of the referent that is meant, where not all of it is."),
        "kind": text("Kind of the referent."),
        "name": text("Name of the referent."),
        "namespace": text("Namespace of the referent."),
        "resourceVersion": text("The resourceVersion to which this reference is made."),
        "uid": text("UID of the referent."),
    },
    name=f"{_CORE}.ObjectReference",
    atomic=True,
)
_INVOLVED = "involvedObject"

EVENT = Kind(
    name="Event",
    plural="events",
    group="",
    module=_CORE,
    short=("ev",),
    description="Event is a report of an event somewhere in the cluster. It is kept for an hour.",
    properties={
        _INVOLVED: _REFERENCE,
        "action": text("What action was taken or failed regarding the object."),
        "count": whole("The number of times this event has occurred.", format="int32"),
        "eventTime": text("Time when this event was first observed.", format="date-time"),
        "firstTimestamp": text("The time at which the event was first recorded.", format="date-time"),
        "lastTimestamp": text(
            "The time at which the most recent occurrence of this event was recorded.", format="date-time"
        ),
        "message": text("A human-readable description of the status of this operation."),
        "reason": text("A short, machine understandable string that gives the reason for the transition."),
        "related": _REFERENCE,
        "reportingComponent": text("Name of the controller that emitted this event."),
        "reportingInstance": text("ID of the controller instance."),
        "series": record(
            "Data about the series of events that this one is of.",
            {
                "count": whole(
                    "Number of occurrences in this series up to the last heartbeat time.", format="int32"
                ),
                "lastObservedTime": text("Time of the last occurrence observed.", format="date-time"),
            },
            name=f"{_CORE}.EventSeries",
        ),
        "source": record(
            "The component reporting this event.",
            {
                "component": text("Component from which the event is generated."),
                "host": text("Node name on which the event is generated."),
            },
            name=f"{_CORE}.EventSource",
        ),
        "type": text("Type of this event: Normal or Warning."),
    },
    required=(_INVOLVED,),
    columns=(
        Column("Last Seen", "date", ".lastTimestamp", "Time of the last occurrence"),
        Column("Type", "string", ".type", "Normal or Warning"),
        Column("Reason", "string", ".reason", "Why, in one word"),
        Column("Object", "string", ".involvedObject", "What it is about"),
        Column("Message", "string", ".message", "Why, in a sentence"),
    ),
    fields={
        **{
            f"{_INVOLVED}.{name}": (_INVOLVED, name)
            for name in ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")
        },
        "reason": ("reason",),
        "reportingComponent": ("reportingComponent",),
        "source": ("source", "component"),
        "type": ("type",),
    },
)
