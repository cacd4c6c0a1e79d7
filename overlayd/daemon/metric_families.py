"""Metrics as they are declared, and samples of them as the library's families. Pure but for that library.

Called by what tells metrics: `overlayd.daemon.metrics`, `overlayd.traffic.metrics`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name (a counter's ends in ``_total``), kind, meaning and labels."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


Buckets: TypeAlias = tuple[tuple[str, float], ...]
"""Of a histogram: upper bounds and how many were up to each, the last bound being +Inf."""
Sample: TypeAlias = tuple[str, tuple[str, ...], float | Buckets | None]
"""Name, values of the labels in the family's order, value; None: not measured, so not told."""

_KINDS = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}


def as_families(samples: Iterable[Sample], declared: Sequence[Family]) -> list[Metric]:
    """Return ``samples`` as the library's families, in the order of ``declared``."""
    by_name = {family.name: family for family in declared}
    made: dict[str, CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily] = {}
    for name, labels, value in samples:
        if value is None:
            continue
        if name not in made:
            family = by_name[name]
            made[name] = _KINDS[family.kind](name, family.help, labels=family.labels)
        match made[name], value:
            case HistogramMetricFamily() as histogram, tuple():
                # The engine counts by bounds only: a sum would be a guess, and +Inf is the count.
                histogram.add_metric(labels, value, sum_value=None)
            case CounterMetricFamily() | GaugeMetricFamily() as family, int() | float():
                family.add_metric(labels, value)
            case _:
                raise TypeError(f"{name}: {value!r} is no value of a {by_name[name].kind}")
    return [made[family.name] for family in declared if family.name in made]
