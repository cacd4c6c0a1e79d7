"""A kind for trying what any kind may have: every sort of field, bound and list, columns, scale. Only
tests offer it.
"""

from controller.orchestration.objects.conditions import CONDITION
from controller.orchestration.objects.kinds import Catalogue, Column, Kind, Scale
from controller.orchestration.objects.offered import OFFERED
from controller.orchestration.objects.schema import flag, mapping, number, record, series, text, whole

TRIAL = Kind(
    name="Trial",
    plural="trials",
    short=("tr",),
    description="Trial is there to be tried.",
    properties={
        "spec": record(
            "What is wanted.",
            {
                "mode": text("One of three words.", enum=("fast", "slow", "off")),
                "replicas": whole("How many.", minimum=0, maximum=10, default=1),
                "title": text("A title.", pattern="^[a-z ]+$", min_length=2, max_length=12),
                "active": flag("Whether.", default=True),
                "ratio": number("A share.", minimum=0, maximum=1),
                "when": text("A moment.", format="date-time"),
                "network": text("Addresses.", format="cidr"),
                "limits": record("Bounds.", {"cpu": text("Processors."), "memory": text("Bytes.")}, "cpu"),
                "ports": series(
                    "Ports by number.",
                    record("A port.", {"port": whole("Its number."), "name": text("Its name.")}, "port"),
                    "port",
                    max_items=3,
                ),
                "tags": series("Words, each once.", text(), list_type="set"),
                "notes": series("Lines in order.", text(), min_items=1),
                "env": mapping("Values by name.", text()),
                "place": record("A place that is one value.", {"x": whole(), "y": whole()}, atomic=True),
            },
            "mode",
        ),
        "status": record(
            "What is.",
            {
                "replicas": whole("How many there are."),
                "selector": text("Which they are."),
                "conditions": series("What holds.", CONDITION, "type"),
            },
        ),
    },
    required=("spec",),
    columns=(
        Column("Mode", "string", ".spec.mode", "One of three words."),
        Column("Replicas", "integer", ".spec.replicas", "How many."),
        Column("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
        Column("When", "date", ".spec.when", priority=1),
    ),
    scale=Scale(".spec.replicas", ".status.replicas", ".status.selector"),
)

KINDS = Catalogue((*OFFERED, TRIAL))
