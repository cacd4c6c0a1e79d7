"""``Policy``: what the paths of classes of service are chosen for. Pure: a declaration.

Those that are built in, and those of ``controller.toml``, are shown as objects and can be read only; the
truth about them is there (`controller.orchestration.policies`).
"""

from controller.orchestration.objects.conditions import CONDITION
from controller.orchestration.objects.kinds import Column, Kind
from controller.orchestration.objects.schema import Rule, Schema, number, record, series, text, whole
from controller.policy.rules import MOST_RELAYS
from overlayd.model.service import DEFAULT_CLASSES, Objective

OBJECTIVES = tuple(one.value for one in Objective if one is not Objective.WEIGHTED)
CLASSES = tuple(one.name for one in DEFAULT_CLASSES)
_IN_FORCE = '.status.conditions[?(@.type=="InForce")]'
_ABOVE_NOTHING = Rule("self > 0.0", "must be above 0")
_UNITS = {
    "latency": "a millisecond of the round trip that is forecast",
    "reliability": "one packet lost of a thousand",
    "jitter": "a millisecond by which round trips vary",
    "cost": "one unit of the price of a gigabyte",
    "throughput": "a millisecond that a megabit takes",
}


def _weight(name: str) -> Schema:
    said = f"What {_UNITS[name]} counts, beside the other weights. Left out: nothing."
    return number(said, minimum=0, maximum=1000000)


def _region(description: str) -> Schema:
    return series(description, text(min_length=1, max_length=63), list_type="set", max_items=100)


_BOUNDS = {
    "rttMs": number(
        "The longest round trip, in milliseconds. Agents leave a path above it within "
        "seconds, without asking. "
        "Left out: the class's own bound, if it has one.",
        maximum=60000,
        rules=(_ABOVE_NOTHING,),
    ),
    "loss": number(
        "The largest share of packets that a whole path may lose, before repair, as "
        "forecast: 0.02 is one of "
        "fifty. Left out: any.",
        rules=(Rule("self > 0.0 && self < 1.0", "must be above 0 and below 1"),),
    ),
    "pricePerGb": number(
        "The highest price of a gigabyte on a whole path, its sender and its relays "
        "together, in the unit in "
        "which nodes' prices are given. Left out: any.",
        rules=(_ABOVE_NOTHING,),
    ),
}
_RELAYS = {
    "most": whole(
        f"How many relays a path may pass: 0 for direct paths only. Left out: {MOST_RELAYS}.",
        minimum=0,
        maximum=MOST_RELAYS,
    ),
    "regions": _region("Relays are taken in these regions only. Left out: in any."),
    "avoidRegions": _region("No relay is taken in any of these regions, though nothing else be left."),
}

POLICY = Kind(
    name="Policy",
    plural="policies",
    short=("pol",),
    namespaced=False,
    categories=("overlayd",),
    description=(
        "Policy says what the mesh chooses the paths of classes of service for, and within "
        "which bounds. The "
        "planner follows it from its next round on. The built-in ones (latency, reliability, jitter, cost, "
        "throughput) and those of controller.toml can be read only; one of your own takes "
        "the place of what is "
        "said there of the classes that it names."
    ),
    properties={
        "spec": record(
            "What is wanted.",
            {
                "classes": series(
                    "Classes of service that follow this policy, by the names that they are "
                    "built in with. Where "
                    "two policies name one class, the older one is followed. None: the policy is kept and "
                    "followed by nobody.",
                    text(enum=CLASSES),
                    list_type="set",
                    max_items=len(CLASSES),
                ),
                "objective": text(
                    "What paths are chosen for. latency: the shortest round trip; "
                    "reliability: the least loss; "
                    "jitter: the steadiest; cost: the cheapest traffic; throughput: the most "
                    "room. To weigh "
                    "several, say `weights` instead.",
                    enum=OBJECTIVES,
                ),
                "weights": record(
                    "Several objectives at once: a path's cost is the sum of theirs, each "
                    "times its weight, and "
                    "the least is taken. In place of `objective`.",
                    {name: _weight(name) for name in OBJECTIVES},
                    rules=(
                        Rule(
                            " || ".join(f"(has(self.{name}) && self.{name} > 0.0)" for name in OBJECTIVES),
                            "at least one weight has to be above 0",
                        ),
                    ),
                ),
                "bounds": record(
                    "What a path is to keep. One that does not is taken only where no other is left.", _BOUNDS
                ),
                "relays": record("Which nodes paths may pass on their way.", _RELAYS),
            },
            rules=(Rule("has(self.objective) != has(self.weights)", "say one of objective and weights"),),
        ),
        "status": record(
            "What is followed now; written by the controller.",
            {
                "origin": text(
                    "Where the policy is from: built-in, controller.toml, or (object) made here.",
                    enum=("built-in", "controller.toml", "object"),
                ),
                "classes": series("Classes that follow it now.", text(), list_type="set"),
                "inForce": series(
                    "What each of these classes is held to, whoever said so.",
                    record(
                        "One class.",
                        {
                            "class": text("Its name."),
                            "bounds": record("What a path is to keep.", _BOUNDS),
                            "relays": record("Which nodes paths may pass.", _RELAYS),
                        },
                        "class",
                    ),
                    "class",
                    max_items=len(CLASSES),
                ),
                "observedGeneration": whole("The generation of the object that this status is of."),
                "conditions": series("What holds of the policy.", CONDITION, "type"),
            },
        ),
    },
    required=("spec",),
    columns=(
        Column("Objective", "string", ".spec.objective", "What paths are chosen for, if one thing."),
        Column("Classes", "string", ".status.classes", "Classes that follow it now."),
        Column("Origin", "string", ".status.origin", "Where it is from."),
        Column("In Force", "string", f"{_IN_FORCE}.status", "Whether any class follows it."),
        Column("Message", "string", f"{_IN_FORCE}.message", "Which do, or why none.", 1),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
)
