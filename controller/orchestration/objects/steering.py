"""``Steering``: how the users of one node reach apps, as the controller decided it. Pure: a declaration.

`overlayd.protocol.steering` is the same as structs, for those who write and read it.
"""

from controller.orchestration.objects.kinds import Column, Kind
from controller.orchestration.objects.schema import flag, number, record, series, text, whole

_TARGET = record(
    "One instance.",
    {
        "name": text("Name of its Pod."),
        "address": text("Where it is reached: the overlay address of its node."),
        "port": whole("Its port there.", format="int32", minimum=1, maximum=65535),
        "weight": whole(
            "Its part of what is new; 0: it keeps what it has.",
            format="int32",
            minimum=0,
            maximum=256,
            default=1,
        ),
        "backup": flag("Whether it is used only while no other is well."),
        "revision": text("The revision of its app."),
    },
    "name",
    "address",
    "port",
)

_ROUTE = record(
    "One AppRoute for the users of this node.",
    {
        "name": text("NAMESPACE/NAME of the AppRoute."),
        "host": text("The name that leads there."),
        "address": text("Its address in the overlay."),
        "port": whole("The port that users ask at.", format="int32", minimum=1, maximum=65535),
        "protocol": text("HTTP, TCP or UDP.", enum=("HTTP", "TCP", "UDP")),
        "targets": series("Instances.", _TARGET, "name"),
        "retries": whole("So often what failed is tried again.", format="int32", minimum=0),
        "timeoutSeconds": number("So long an instance may take.", minimum=0),
        "outlier": record(
            "When an instance is left out.",
            {
                "consecutiveErrors": whole("After so many errors in a row.", format="int32", minimum=1),
                "ejectSeconds": number("So long.", minimum=0),
            },
        ),
        "maxConnections": whole("So many to one instance at once; 0: any number.", format="int32", minimum=0),
        "requestsPerSecond": number("So many a second; 0: any number.", minimum=0),
        "users": series("Prefixes of the users that are served; empty: all.", text()),
        "wakes": flag("Whether a request that waits is to be reported, because no instance runs."),
    },
    "name",
    "host",
    "address",
    "port",
)

_GROUP = record(
    "A group.",
    {
        "name": text("NAMESPACE/NAME of the UserGroup."),
        "prefixes": series("Its addresses; empty: all who enter here and are of no other group.", text()),
    },
    "name",
)

STEERING = Kind(
    name="Steering",
    plural="steerings",
    namespaced=False,
    description=(
        "Steering says how users who enter at one node reach apps. It has the node's name and is written "
        "by the "
        "controller, from AppRoutes, instances and the network's quality. Look at it to see why a request "
        "goes "
        "where it goes."
    ),
    properties={
        "spec": record(
            "What the node carries out.",
            {
                "routes": series("What can be asked for.", _ROUTE, "name"),
                "groups": series(
                    "Groups of users who enter here, for counting what they ask for.", _GROUP, "name"
                ),
            },
        )
    },
    columns=(Column("Age", "date", ".metadata.creationTimestamp"),),
)
