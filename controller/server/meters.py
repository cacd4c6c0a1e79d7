"""What the controller counts as it happens, for Prometheus: written by the service, read by the API."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from controller.core.messages import Command, Persist

_DECISION_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

disable_created_metrics()  # a second series for each counter, which nothing here asks for


class Meters:
    """Counters of one service since its start, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._decisions = Histogram(
            "overlayd_controller_decision_seconds",
            "Time to forecast and plan all routes.",
            buckets=_DECISION_SECONDS,
            registry=self.registry,
        )
        self._failed = Counter(
            "overlayd_controller_decisions_failed",
            "Decisions that ended in an error; the routes before them stayed.",
            registry=self.registry,
        )
        self._changes = Counter(
            "overlayd_controller_route_changes",
            "Changes of a primary path, by who decided: controller, agent or engine.",
            ("decider",),
            registry=self.registry,
        )
        for decider in ("controller", "agent", "engine"):
            self._changes.labels(decider)  # a counter that begins above 0 hides its first step

    @contextmanager
    def deciding(self) -> Generator[None]:
        """Time a decision; one that raises counts as failed."""
        with self._decisions.time(), self._failed.count_exceptions():
            yield

    def note(self, commands: Iterable[Command]) -> None:
        """Count the route changes that are about to be written down."""
        for command in commands:
            if isinstance(command, Persist):
                if command.changes is not None:
                    self._changes.labels("controller").inc(len(command.changes))
                for event in command.events:
                    self._changes.labels(event.decider).inc()
