"""``App``: what runs, how many, near whom, and what is seen of it. Pure: a declaration.

`app_running` and `app_placing` have the parts of its spec; `reading` gives it in units.
"""

from controller.orchestration.objects.app_placing import AUTONOMY, PLACEMENT, REPLICAS, UPDATE
from controller.orchestration.objects.app_running import (
    CONTAINERS,
    ENV,
    HEALTH,
    PORTS,
    RESOURCES,
    SECRETS,
    SOURCE,
    STOP,
    VOLUMES,
)
from controller.orchestration.objects.conditions import CONDITION
from controller.orchestration.objects.kinds import Column, Kind, Scale
from controller.orchestration.objects.schema import Rule, flag, number, record, series, text, whole

_SPEC = record(
    "What is wanted.",
    {
        "source": SOURCE,
        "containers": CONTAINERS,
        "ports": PORTS,
        "env": ENV,
        "secrets": SECRETS,
        "volumes": VOLUMES,
        "health": HEALTH,
        "resources": RESOURCES,
        "stopTimeout": STOP,
        "replicas": REPLICAS,
        "placement": PLACEMENT,
        "autonomy": AUTONOMY,
        "update": UPDATE,
        "paused": flag(
            "Whether nothing is changed: instances stay what and where they are, whatever is said here or "
            "happens to the network. What ends by itself is still started again. Default: false.",
            default=False,
        ),
    },
    rules=(
        Rule("has(self.source) != has(self.containers)", "needs exactly one of source and containers"),
        Rule(
            "!has(self.containers) || (!has(self.ports) && !has(self.health) && !has(self.resources))",
            "with containers, ports, health and resources are said of each of them",
        ),
        Rule(
            "!has(self.containers) || self.containers.all(a, self.containers.all(b, a.name == b.name || "
            "!has(a.ports) || !has(b.ports) || a.ports.all(p, b.ports.all(q, p.name != q.name))))",
            "ports of different containers need different names: routes and checks find them by these",
            ".containers",
        ),
        Rule(
            "!has(self.autonomy) || self.autonomy.secondCopy || "
            "(self.replicas.min <= 1 && (!has(self.replicas.max) || self.replicas.max == 1))",
            "an app without a secondCopy has at most one replica",
            ".replicas",
        ),
    ),
)

_INSTANCE = record(
    "One instance.",
    {
        "pod": text("Name of its Pod."),
        "node": text("Where it runs."),
        "ready": flag("Whether it serves."),
        "revision": text("The revision that it is of."),
        "expectedMs": number("The round trip that the users it serves can expect, in milliseconds."),
    },
    "pod",
)

_PAST = record(
    "A revision.",
    {
        "revision": text("Its name: a hash of what runs."),
        "number": whole("Counts revisions, from 1."),
        "time": text("When it came.", format="date-time"),
        "image": text("What it runs: the image, or the command."),
        "template": text("All that runs, as JSON: by it `rollout undo` goes back."),
    },
    "revision",
)

_ROLLOUT = record(
    "How far the newest revision has come.",
    {
        "revision": text("The revision that comes, or came last."),
        "stable": text("The revision that came to run last, whole; empty before the first has."),
        "phase": text(
            "Progressing; Done once it runs whole; Failed if it was taken back: then `stable` runs.",
            enum=("Progressing", "Failed", "Done"),
        ),
        "step": whole("The step of a canary, from 0.", format="int32"),
        "weight": whole("The percentage of requests that it gets.", format="int32"),
        "since": text("When this step began.", format="date-time"),
        "message": text("Why it failed."),
    },
    "revision",
)

_CANDIDATE = record(
    "A node that may run it.",
    {
        "node": text("Its name."),
        "chosen": flag("Whether it would be taken."),
        "runs": flag("Whether it runs there now; elsewhere `cost` includes what a move has to be worth."),
        "cost": number(
            "What one instance there would cost, in milliseconds of an average user's delay: users' delay, "
            "users beyond bounds, price, downtime and fullness as `placement.policy` weighs them. The "
            "least is the best."
        ),
        "withinPct": number("The percentage of users that are likely within all bounds, served from there."),
        "meanMs": number("The average user's round trip that is expected, in milliseconds."),
        "price": number("Its price an hour."),
        "fullPct": number("How full it is, in percent: the most taken of its resources."),
    },
    "node",
)

_EXPLANATION = record(
    "Where it would run, and why: only in what a dry run answers (`kubectl apply --dry-run=server -o yaml`).",
    {
        "summary": text("All of it in one line."),
        "nodes": series("The nodes that would run it, one for each instance.", text("Name of a node.")),
        "gapPct": number(
            "By how much of its cost, in percent, another choice may be better at most. 0: it is the best."
        ),
        "expected": record(
            "How its users would be served.",
            {
                "meanMs": number("The average user's round trip, in milliseconds."),
                "strayMs": number("How far that may stray: a standard deviation, in milliseconds."),
                "withinPct": number("The percentage of users that are likely within all bounds."),
                "likelyPct": number("How likely it is, in percent, that as many are as `satisfy` asks for."),
            },
        ),
        "candidates": series("The nodes that may run it, the best first.", _CANDIDATE),
        "refused": series(
            "The nodes that may not.",
            record(
                "A node that may not run it.",
                {"node": text("Its name."), "reason": text("All reasons, and by how much it fails.")},
                "node",
                "reason",
            ),
        ),
    },
)

_STATUS = record(
    "What is seen of it; written by the controller.",
    {
        "observedGeneration": whole("The generation of the object that this status is of."),
        "conditions": series(
            "What holds. Placed: there is room for all instances. Available: at least `replicas.min` serve. "
            "Progressing: instances are being made or replaced. WithinBounds: users are served within "
            "`placement.network`.",
            CONDITION,
            "type",
        ),
        "replicas": whole("Instances that there are.", format="int32"),
        "readyReplicas": whole("Instances that serve.", format="int32"),
        "updatedReplicas": whole("Instances of the newest revision.", format="int32"),
        "selector": text("Labels by which its pods are found."),
        "revision": text("The newest revision: a hash of what runs."),
        "rollout": _ROLLOUT,
        "history": series("Revisions, the newest first; ten are kept.", _PAST),
        "instances": series("Its instances.", _INSTANCE),
        "nodes": text("Where its instances run, with commas, for lists."),
        "placement": _EXPLANATION,
    },
)

APP = Kind(
    name="App",
    plural="apps",
    categories=("all", "overlayd"),
    description=(
        "App is something that runs on nodes of the mesh, near its users: containers or processes, placed by "
        "the quality of the network, moved when that changes, kept alive where it is cut off."
    ),
    properties={"spec": _SPEC, "status": _STATUS},
    required=("spec",),
    columns=(
        Column("Wanted", "integer", ".spec.replicas.min", "So many run at least."),
        Column("Ready", "integer", ".status.readyReplicas", "Instances that serve."),
        Column(
            "Available",
            "string",
            '.status.conditions[?(@.type=="Available")].status',
            "Whether enough of them serve.",
        ),
        Column(
            "Bounds",
            "string",
            '.status.conditions[?(@.type=="WithinBounds")].status',
            "Whether users are served within the bounds that were set.",
        ),
        Column("Nodes", "string", ".status.nodes", "Where its instances run."),
        Column("Policy", "string", ".spec.placement.policy", "What is best among nodes.", 1),
        Column("Users", "string", ".spec.placement.near.users", "To whom it is near.", 1),
        Column("Image", "string", ".spec.source.image", "What it runs, if that is one container.", 1),
        Column("Revision", "string", ".status.revision", "The newest revision.", 1),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
    scale=Scale(".spec.replicas.min", ".status.replicas", ".status.selector"),
)
