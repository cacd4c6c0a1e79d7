"""``Node``: a member of the mesh as the registry keeps it. Pure: a declaration.

The registry is the truth: who joins or is removed there appears here or goes. Nothing is written through
this kind.
"""

from controller.orchestration.objects.conditions import CONDITION
from controller.orchestration.objects.kinds import READ, Column, Kind
from controller.orchestration.objects.schema import flag, number, record, series, text, whole

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
            },
        ),
        "status": record(
            "What is seen of the host.",
            {
                "conditions": series("What holds of the node, one entry for each aspect.", CONDITION, "type"),
                "announced": series("Prefixes behind it that are in force.", text()),
                "version": text("The version of its agent."),
                "certificateNotAfter": text("When its certificate ends.", format="date-time"),
            },
        ),
    },
    columns=(
        Column(
            "Connected", "string", '.status.conditions[?(@.type=="Connected")].status', "Its agent's channel."
        ),
        Column("Relay", "boolean", ".spec.relay", "Whether traffic of others may pass through it."),
        Column("Version", "string", ".status.version", "The version of its agent."),
        Column(
            "Address", "string", ".spec.addresses[*]", "The first of its own addresses within the overlay.", 1
        ),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
    verbs=READ,
)
