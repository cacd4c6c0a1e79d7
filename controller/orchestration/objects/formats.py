"""Fields that several kinds have: quantities, times, names, ports, as schemas with their rules. Pure.

What a text has to be is said by a rule and not by a pattern, because a rule says it in words.
"""

from typing import Any

from controller.orchestration.objects.schema import Rule, Schema, text, whole
from overlayd.model.quantity import LONGEST

LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SPAN = "^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h))+$"
_LONGEST_SPAN = 16


def is_span(value: str) -> str:
    """Return CEL that tells whether ``value``, CEL for a text, is a time."""
    return f"{value}.matches('{_SPAN}')"


def quantity(description: str, example: str) -> Schema:
    """Return the schema of a quantity as Kubernetes has them: ``example`` is told where it is none."""
    not_below = "!quantity(self).isLessThan(quantity('0'))"
    whether = f"type(self) == int ? self >= 0 : isQuantity(self) && {not_below}"
    rule = Rule(whether, f"must be a quantity, such as {example}")
    return Schema(type="int-or-string", description=description, max_length=LONGEST, rules=(rule,))


def span(description: str, least: str, most: str, default: str | None = None) -> Schema:
    """Return the schema of a time between ``least`` and ``most``."""
    within = f"duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
    rule = Rule(
        f"{is_span('self')} && {within}",
        f"must be a time from {least} to {most}, such as 90s, 10m or 1h30m",
    )
    return text(description, max_length=_LONGEST_SPAN, rules=(rule,), default=default)


def name(description: str, **more: Any) -> Schema:
    """Return the schema of a name like those that objects have."""
    said = "must be lower case letters, digits and '-', with a letter or digit at both ends"
    return text(description, max_length=63, rules=(Rule(f"self.matches('{LABEL}')", said),), **more)


def path(description: str, **more: Any) -> Schema:
    """Return the schema of an absolute path."""
    rule = Rule("self.startsWith('/')", "must be an absolute path")
    return text(description, max_length=1024, rules=(rule,), **more)


def port(description: str, **more: Any) -> Schema:
    """Return the schema of a port's number."""
    return whole(description, format="int32", minimum=1, maximum=65535, **more)


def port_or_name(description: str) -> Schema:
    """Return the schema of a port by its number or its name."""
    rule = Rule(
        f"type(self) == int ? self >= 1 && self <= 65535 : self.matches('{LABEL}')",
        "must be a port from 1 to 65535, or the name of a port",
    )
    return Schema(type="int-or-string", description=description, max_length=63, rules=(rule,))
