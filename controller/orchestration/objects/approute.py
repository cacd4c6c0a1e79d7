"""``AppRoute``: a name and an address in the overlay by which users reach apps. Pure: a declaration."""

from controller.orchestration.objects.conditions import CONDITION
from controller.orchestration.objects.formats import name, port, port_or_name, span
from controller.orchestration.objects.kinds import Column, Kind
from controller.orchestration.objects.schema import Rule, flag, number, record, series, text, whole

_HOST = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*[.]mesh$"

_BACKENDS = series(
    "Several apps that share the requests. Instead of `app`.",
    record(
        "One of them.",
        {
            "app": name("Name of the app, in the same namespace."),
            "weight": whole(
                "Its part of the requests, beside the others': 3 beside 1 is three quarters. 0: none. "
                "Default: 1.",
                format="int32",
                minimum=0,
                maximum=1000,
                default=1,
            ),
        },
        "app",
    ),
    "app",
    min_items=1,
    max_items=16,
)

_OUTLIER = record(
    "When an instance is left out for a while, as long as others are left.",
    {
        "consecutiveErrors": whole(
            "After so many failures in a row: no connection, no answer, or a status from 500 on. Default: 5.",
            format="int32",
            minimum=1,
            maximum=1000,
            default=5,
        ),
        "eject": span("So long. Default: 30s.", "1s", "1h", "30s"),
    },
)

_SPEC = record(
    "What is wanted.",
    {
        "app": name("Name of the app, in the same namespace. Or `backends`."),
        "backends": _BACKENDS,
        "host": text(
            "The name in the mesh's own zone, mesh. Left out: NAME.NAMESPACE.mesh.",
            max_length=253,
            rules=(
                Rule(
                    f"self.matches('{_HOST}')",
                    "must be a name that ends in .mesh, in lower case: shop.eu.mesh",
                ),
            ),
        ),
        "port": port("The port that users ask at. Default: 80.", default=80),
        "targetPort": port_or_name("Number or name of the app's port. Left out: its first."),
        "protocol": text(
            "HTTP: each request may go to another instance, and is tried again elsewhere where that is safe. "
            "TCP: each connection stays with an instance. UDP: each flow stays with one until that is gone. "
            "Default: HTTP.",
            enum=("HTTP", "TCP", "UDP"),
            default="HTTP",
        ),
        "retries": whole(
            "So often a request (HTTP) or a connection (TCP) that failed before anything was answered is "
            "tried "
            "again, at another instance if there is one. A request that may have had an effect is not. "
            "Default: 2.",
            format="int32",
            minimum=0,
            maximum=10,
            default=2,
        ),
        "timeoutSeconds": number(
            "So long an instance may take to answer a request, or be silent in a connection; then it has "
            "failed. Default: 30.",
            minimum=0.01,
            maximum=86400,
            default=30,
        ),
        "outlier": _OUTLIER,
        "maxConnections": whole(
            "So many connections to one instance at once, from each node; further ones wait for a moment and "
            "are then refused (503). Left out: any number.",
            format="int32",
            minimum=1,
            maximum=1000000,
        ),
        "requestsPerSecond": number(
            "So many requests (with TCP connections) a second at each node where users enter; further ones "
            "are refused (429). Left out: any number.",
            minimum=0.1,
            maximum=1000000,
        ),
        "users": series(
            "UserGroups of the same namespace who may use it. Left out: all who reach the mesh.",
            name("Name of a UserGroup."),
            list_type="set",
            max_items=64,
        ),
        "cloudBackup": flag(
            "Whether instances on nodes of the cloud are used only while no other is well. Default: false, "
            "all "
            "are used as they serve best.",
            default=False,
        ),
    },
    rules=(
        Rule("has(self.app) != has(self.backends)", "needs exactly one of app and backends"),
        Rule(
            "!has(self.backends) || self.backends.exists(one, one.weight > 0)",
            "at least one weight has to be above 0",
            ".backends",
        ),
        Rule("self.protocol != 'UDP' || !has(self.outlier)", "cannot be seen with UDP", ".outlier"),
        Rule(
            "self.protocol != 'UDP' || !has(self.requestsPerSecond)",
            "cannot be counted with UDP",
            ".requestsPerSecond",
        ),
    ),
)

_STATUS = record(
    "What is seen of it; written by the controller.",
    {
        "observedGeneration": whole("The generation of the object that this status is of."),
        "conditions": series(
            "What holds. Ready: at least one instance serves. Accepted: its name and port are nobody else's.",
            CONDITION,
            "type",
        ),
        "address": text("The address in the overlay; it stays the same as long as the route is there."),
        "host": text("The name that leads there."),
        "instances": whole("Instances that serve it.", format="int32"),
    },
)

APP_ROUTE = Kind(
    name="AppRoute",
    plural="approutes",
    short=("ar",),
    categories=("all", "overlayd"),
    description=(
        "AppRoute gives an app a name and an address in the mesh that stay while its instances come, go and "
        "move. Users are led to the instance that serves them best from where they enter."
    ),
    properties={"spec": _SPEC, "status": _STATUS},
    required=("spec",),
    columns=(
        Column("App", "string", ".spec.app", "The app, if it is one."),
        Column("Host", "string", ".status.host", "The name that leads there."),
        Column("Address", "string", ".status.address", "The address in the overlay."),
        Column("Port", "integer", ".spec.port", "The port that users ask at."),
        Column("Protocol", "string", ".spec.protocol", "HTTP, TCP or UDP."),
        Column("Instances", "integer", ".status.instances", "Instances that serve it."),
        Column("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Whether one serves.", 1),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
)
