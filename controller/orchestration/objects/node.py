"""``Node``: a member of the mesh as the registry keeps it. Pure: a declaration.

The registry is the truth: who joins or is removed there appears here or goes. Nothing is written through
this kind.
"""

from controller.orchestration.objects.conditions import CONDITION
from controller.orchestration.objects.kinds import READ, Column, Kind
from controller.orchestration.objects.schema import flag, mapping, number, record, series, text, whole

_TAINT = record(
    "Keeps applications away that do not tolerate it.",
    {
        "key": text("What it is about."),
        "value": text("More of it."),
        "effect": text(
            "NoSchedule: nothing new comes; PreferNoSchedule: only if there is no other place; NoExecute: "
            "what runs has to go.",
            enum=("NoSchedule", "PreferNoSchedule", "NoExecute"),
        ),
    },
    "key",
    "effect",
)
_CAPACITY = record(
    "What the host can give to applications, in all.",
    {
        "cpuMilli": whole("Thousandths of a processor.", minimum=0),
        "memoryBytes": whole("Memory.", minimum=0),
        "diskBytes": whole("Disk, where applications keep what is theirs.", minimum=0),
        "mbps": whole("What it can send, in Mbit/s.", minimum=0),
        "devices": mapping("How many devices there are of a name.", whole(minimum=0)),
    },
)

NODE = Kind(
    name="Node",
    plural="nodes",
    namespaced=False,
    categories=("overlayd",),
    description=(
        "Node is a host that has joined the mesh. It is made by joining and goes by `overlayd-controller "
        "node remove`; "
        "here it can be read only."
    ),
    properties={
        "spec": record(
            "What was granted to the host when it joined.",
            {
                "id": whole("The number that stands for the node in frames of the mesh.", minimum=0),
                "publicKey": text("Its key of the data plane (X25519), in hexadecimal digits."),
                "addresses": series("Its own addresses within the overlay.", text()),
                "relay": flag("Whether traffic of others may pass through it."),
                "prefixes": series("Prefixes behind it that it may announce.", text()),
                "pricePerGb": number("What a gigabyte sent from it costs."),
                "epoch": whole("The epoch of the newest revocation when it joined."),
                "taints": series(
                    "What keeps applications away that do not tolerate it, as the node says.", _TAINT
                ),
            },
        ),
        "status": record(
            "What is seen of the host.",
            {
                "conditions": series("What holds of the node, one entry for each aspect.", CONDITION, "type"),
                "announced": series("Prefixes behind it that are in force.", text()),
                "version": text("The version of its agent."),
                "certificateNotAfter": text("When its certificate ends.", format="date-time"),
                "capacity": _CAPACITY,
                "runtimes": mapping(
                    "What it can run applications with (process, docker, haproxy), and in which version.",
                    text(),
                ),
            },
        ),
    },
    columns=(
        Column(
            "Connected", "string", '.status.conditions[?(@.type=="Connected")].status', "Its agent's channel."
        ),
        Column(
            "Workloads",
            "string",
            '.status.conditions[?(@.type=="Workloads")].status',
            "Whether it runs applications and tells of them.",
        ),
        Column("Relay", "boolean", ".spec.relay", "Whether traffic of others may pass through it."),
        Column("Version", "string", ".status.version", "The version of its agent."),
        Column(
            "Address", "string", ".spec.addresses[*]", "The first of its own addresses within the overlay.", 1
        ),
        Column("Docker", "string", ".status.runtimes.docker", "The version of its Docker Engine.", 1),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
    verbs=READ,
)
