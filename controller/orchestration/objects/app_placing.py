"""What of an ``App`` says how many of it run, where, what becomes of them when nobody sees them, and how they
are replaced. Pure: declarations.
"""

from controller.orchestration.objects.formats import is_span, name, span
from controller.orchestration.objects.schema import (
    Rule,
    Schema,
    flag,
    mapping,
    number,
    record,
    series,
    text,
    whole,
)

LEASE_S = 30
"""So long a node may run what must not run twice after the controller last answered it."""
LEAST_REPLACE_S = 45
"""``replaceAfter`` of such an app: the lease, a tenth for clocks that differ, and time to kill it."""

REPLICAS = record(
    "How many instances there are.",
    {
        "min": whole(
            "So many run at least; `kubectl scale` sets it. 0: none runs until a request comes for it "
            "through "
            "an AppRoute, which waits for it; and none again after some minutes without. Default: 1.",
            format="int32",
            minimum=0,
            maximum=1000,
            default=1,
        ),
        "max": whole(
            "So many run at most: more than `min` where users or their bounds need more. Left out: as many "
            "as "
            "`min`, or 1 where that is 0.",
            format="int32",
            minimum=1,
            maximum=1000,
        ),
        "spread": text(
            "What no two instances share while there is another: a `node`, a `region`, or nothing (`none`). "
            "Default: node.",
            enum=("node", "region", "none"),
            default="node",
        ),
    },
    rules=(Rule("!has(self.max) || self.max >= self.min", "must not be less than min", ".max"),),
    default={},
)

NETWORK = record(
    "Bounds on what users get of the app through the mesh, as predicted for the next minutes: from where "
    "they "
    "are, their last mile included. A user counts as served if all bounds that are given hold. Where they "
    "cannot be kept the app runs as near to it as can be, and its condition WithinBounds is False and says "
    "by "
    "how much; where they can be kept elsewhere it moves there, the new instance before the old one goes.",
    {
        "latencyMs": number(
            "The longest round trip between a user and the instance that serves it, in milliseconds: the way "
            "there and back, without the app's own time. Left out: any. Light takes 1 ms there and back for "
            "100 km of fibre, so a bound below that cannot be kept from farther away.",
            minimum=0.1,
            maximum=60000,
        ),
        "jitterMs": number(
            "The largest variation of that round trip, in milliseconds: the mean difference from one "
            "packet to "
            "the next (RFC 3550). Left out: any.",
            minimum=0,
            maximum=60000,
        ),
        "mbps": number(
            "The rate that has to be free between a user's node and the instance, in Mbit/s. Paths whose "
            "capacity is not known count as wide enough. Left out: any.",
            minimum=0,
            maximum=1000000,
        ),
        "lossPct": number(
            "The largest share of packets that are lost, in percent, after repair. Left out: any.",
            minimum=0,
            maximum=100,
        ),
        "satisfy": number(
            "The share of users, by weight, for whom the bounds have to hold: 0.95 is 95 of 100. At 1 a "
            "single "
            "user beyond a bound is enough for the app to be moved; at 0 the bounds are wishes. Default: "
            "0.95.",
            minimum=0,
            maximum=1,
            default=0.95,
        ),
    },
)


def _weight(description: str) -> Schema:
    return number(description, minimum=0, maximum=1000)


_WEIGHTS = record(
    "What counts how much, as multiples of what it counts with `balanced`; what is left out counts nothing. "
    "With policy weighted only.",
    {
        "latency": _weight("Milliseconds between users and instances."),
        "cost": _weight("The nodes' prices."),
        "reliability": _weight("Nodes and paths that fail."),
        "balance": _weight("Nodes that are full."),
    },
    rules=(
        Rule(
            "(has(self.latency) && self.latency > 0.0) || (has(self.cost) && self.cost > 0.0) || "
            "(has(self.reliability) && self.reliability > 0.0) || (has(self.balance) && self.balance > 0.0)",
            "at least one weight has to be above 0",
        ),
    ),
)

_REGION = name("Name of a region, as nodes have it in their label topology.kubernetes.io/region.")
_APP = text(
    "Name of an app of the same namespace, or NAMESPACE/NAME.",
    max_length=127,
    rules=(
        Rule(
            "self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "must be the name of an app, or NAMESPACE/NAME",
        ),
    ),
)

_TOLERATIONS = series(
    "Taints of nodes that do not keep this app away, as Kubernetes' own.",
    record(
        "A taint that is put up with.",
        {
            "key": text("The taint's key. Left out, with operator Exists: all taints.", max_length=317),
            "operator": text(
                "Equal: the taint's value is `value`. Exists: it is any. Default: Equal.",
                enum=("Equal", "Exists"),
                default="Equal",
            ),
            "value": text("The taint's value.", max_length=63),
            "effect": text(
                "The effect that is put up with. Left out: all. NoExecute also ends what runs already.",
                enum=("NoSchedule", "PreferNoSchedule", "NoExecute"),
            ),
        },
        rules=(
            Rule("self.operator == 'Exists' || has(self.key)", "is needed with operator Equal", ".key"),
            Rule("self.operator == 'Equal' || !has(self.value)", "has no use with operator Exists", ".value"),
        ),
    ),
    max_items=32,
)

_REGIONS = record(
    "Where its data may be. A hard bound: rather nowhere than elsewhere.",
    {
        "only": series("Only there.", _REGION, list_type="set", max_items=64),
        "avoid": series("Anywhere but there.", _REGION, list_type="set", max_items=64),
    },
    rules=(
        Rule(
            "!has(self.only) || !has(self.avoid) || !self.only.exists(one, one in self.avoid)",
            "a region cannot be in both only and avoid",
            ".avoid",
        ),
    ),
)

PLACEMENT = record(
    "Where instances run. It is looked at again as quality changes: an app that is served badly, or would be "
    "served much better elsewhere, is moved. `kubectl apply --dry-run=server` says where it would run, and "
    "why "
    "not elsewhere.",
    {
        "policy": text(
            "What is best among the nodes that may take it. latency-first: short ways to users. cost-first: "
            "cheap nodes. reliability-first: nodes and paths that seldom fail. balanced: some of each, and "
            "nodes that are not full. weighted: by `weights`. Default: latency-first.",
            enum=("latency-first", "cost-first", "reliability-first", "balanced", "weighted"),
            default="latency-first",
        ),
        "weights": _WEIGHTS,
        "near": record(
            "To whom it is to be near. Left out: to nobody in particular.",
            {"users": name("Name of a UserGroup of the same namespace."), "app": _APP},
        ),
        "fallback": text(
            "What to do where no node at the edge can take it or keep its bounds. cloud: nodes with the "
            "label "
            "overlayd.io/cloud may. none: they may not. Default: none.",
            enum=("cloud", "none"),
            default="none",
        ),
        "regions": _REGIONS,
        "nodeSelector": mapping(
            "Labels that a node has to have, all of them.", text(max_length=63), max_properties=32
        ),
        "tolerations": _TOLERATIONS,
        "affinity": record(
            "Beside whom it runs.",
            {
                "with": series("Apps on whose nodes it has to run.", _APP, list_type="set", max_items=16),
                "apart": series("Apps on whose nodes it must not run.", _APP, list_type="set", max_items=16),
            },
        ),
        "maxPrice": number(
            "The most that a node may cost an hour, in the currency that prices are given in. Left out: any.",
            minimum=0,
            maximum=1000000,
        ),
        "network": NETWORK,
    },
    rules=(
        Rule(
            "self.policy == 'weighted' ? has(self.weights) : !has(self.weights)",
            "are needed with policy weighted, and with no other",
            ".weights",
        ),
        Rule(
            "!has(self.network) || (has(self.near) && has(self.near.users))",
            "needs users: say in near.users for whom the bounds are",
            ".network",
        ),
    ),
)

AUTONOMY = record(
    "What becomes of instances on a node that the controller does not see. The node may be cut off or dead; "
    "that cannot be told apart. One that others of the mesh still see is alive, and nothing happens.",
    {
        "offline": text(
            "What a node that is cut off does with the app. keep: it goes on serving its site, also through "
            "restarts of the host. stop: it ends it after `replaceAfter`. Left out: keep; but stop where "
            "`secondCopy` is false.",
            enum=("keep", "stop"),
        ),
        "replaceAfter": span(
            "So long nobody has to have seen the node until another instance is started elsewhere. At least "
            f"{LEAST_REPLACE_S}s where `secondCopy` is false: the node stops the app as long before as "
            "clocks may differ and stopping takes. Default: 10m.",
            "5s",
            "168h",
            "10m",
        ),
        "secondCopy": flag(
            "Whether another instance may be started while the first may still run, cut off. false makes the "
            "app a singleton: its node holds a lease and kills it when that ends, strictly before "
            "`replaceAfter` lets another start. Such an app has one replica, and is down while its node is "
            "cut "
            "off. Default: true.",
            default=True,
        ),
    },
    rules=(
        Rule(
            "self.secondCopy || !has(self.offline) || self.offline == 'stop'",
            "an app that must not run twice cannot be kept where nobody sees it: say stop, or allow a "
            "secondCopy",
            ".offline",
        ),
        Rule(
            f"self.secondCopy || !{is_span('self.replaceAfter')} || "
            f"duration(self.replaceAfter) >= duration('{LEAST_REPLACE_S}s')",
            f"must be at least {LEAST_REPLACE_S}s for an app that must not run twice: its lease of "
            f"{LEASE_S} s "
            "has to have ended for certain",
            ".replaceAfter",
        ),
    ),
)


def _few(description: str, default: int) -> Schema:
    return whole(description, format="int32", minimum=0, maximum=1000, default=default)


UPDATE = record(
    "How instances are replaced when what runs has changed. A new one that does not become well stops the "
    "update; `overlayctl rollout undo` goes back.",
    {
        "strategy": text(
            "rolling: one after another, each once it is well. canary: first a few, which get a small part "
            "of "
            "the requests, and all others when these did well. Default: rolling.",
            enum=("rolling", "canary"),
            default="rolling",
        ),
        "maxUnavailable": _few("So many fewer than wanted may be there meanwhile. Default: 0.", 0),
        "maxSurge": _few("So many more than wanted may be there meanwhile. Default: 1.", 1),
        "canary": record(
            "How a canary goes. With strategy canary only.",
            {
                "steps": series(
                    "Percentages of requests that the new version gets, one after another; then all. "
                    "Left out: 10, then 50.",
                    whole("A percentage.", format="int32", minimum=1, maximum=99),
                    min_items=1,
                    max_items=16,
                ),
                "analysisSeconds": whole(
                    "So long each step is watched. Where the new version fails more checks or is restarted "
                    "more often than the old one, it is taken back. Default: 60.",
                    format="int32",
                    minimum=1,
                    maximum=86400,
                    default=60,
                ),
            },
        ),
    },
    rules=(
        Rule(
            "self.maxUnavailable > 0 || self.maxSurge > 0",
            "maxUnavailable and maxSurge cannot both be 0: nothing could be replaced",
        ),
        Rule("self.strategy == 'canary' || !has(self.canary)", "needs strategy canary", ".canary"),
    ),
)
