"""Conditions: what a status says of an object, one line for each aspect. Pure: a declaration.

Source: Kubernetes' API conventions (``metav1.Condition``).
"""

from controller.orchestration.objects.schema import record, series, text, whole

CONDITION = record(
    "One aspect of the object's state.",
    {
        "type": text("The aspect, in CamelCase.", max_length=316),
        "status": text("Whether it holds.", enum=("True", "False", "Unknown")),
        "observedGeneration": whole("The generation of the object that this was said of.", minimum=0),
        "lastTransitionTime": text("When `status` changed last.", format="date-time"),
        "reason": text("Why, in one CamelCase word, for programs.", min_length=1, max_length=1024),
        "message": text("Why, in a sentence, for people.", max_length=32768),
    },
    "type",
    "status",
    "lastTransitionTime",
    "reason",
    "message",
)

STATUS_OF_CONDITIONS = record(
    "What is seen of the object; written by those who look after it.",
    {
        "observedGeneration": whole("The generation of the object that this status is of."),
        "conditions": series("What holds of the object, one entry for each aspect.", CONDITION, "type"),
    },
)
