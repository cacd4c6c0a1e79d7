"""``UserGroup``: users of applications, by where they enter the mesh. Pure: a declaration."""

from controller.orchestration.objects.conditions import STATUS_OF_CONDITIONS
from controller.orchestration.objects.kinds import Column, Kind
from controller.orchestration.objects.schema import number, record, series, text

_WEIGHT = number(
    "How much of the group's demand comes from here, beside the others of this group. Only ratios matter: "
    "2 beside 1 is "
    "two thirds. 0 keeps the entry and counts nobody.",
    minimum=0,
    maximum=1000000,
    default=1,
)
_LAST_MILE = number(
    "Measured round-trip time between the users and the node by which they enter, in milliseconds. It is "
    "added to what "
    "the mesh predicts from that node on. 0 says that users sit on the node's own network.",
    minimum=0,
    maximum=10000,
    default=0,
)

_INGRESS = record(
    "Users who enter the mesh at one node, whatever their addresses.",
    {
        "node": text(
            "Name of the node: one that `kubectl get nodes.overlayd.io` lists.", min_length=1, max_length=63
        ),
        "weight": _WEIGHT,
        "lastMileMs": _LAST_MILE,
    },
    "node",
)

_PREFIX = record(
    "Users with addresses of one prefix. They enter at the node that announces it, unless `node` says "
    "otherwise.",
    {
        "cidr": text(
            "Addresses of the users, as 192.168.7.0/24 or 2001:db8:7::/48.", format="cidr", max_length=43
        ),
        "node": text(
            "Name of the node at which they enter, where no node announces the prefix.", max_length=63
        ),
        "weight": _WEIGHT,
        "lastMileMs": _LAST_MILE,
    },
    "cidr",
)

USER_GROUP = Kind(
    name="UserGroup",
    plural="usergroups",
    short=("ug",),
    categories=("overlayd",),
    description=(
        "UserGroup names users of applications by where they enter the mesh: at which nodes, or with "
        "which addresses. "
        "What is said of quality for users (a bound on latency, to be near them) is said of such a group."
    ),
    properties={
        "spec": record(
            "Who the users are. A group without entries has no users.",
            {
                "displayName": text("What people call the group, for lists and charts.", max_length=128),
                "ingress": series("Nodes by which users enter.", _INGRESS, "node", max_items=1000),
                "prefixes": series("Addresses that users have.", _PREFIX, "cidr", max_items=1000),
            },
        ),
        "status": STATUS_OF_CONDITIONS,
    },
    required=("spec",),
    columns=(
        Column("Display Name", "string", ".spec.displayName", "What people call the group."),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
)
