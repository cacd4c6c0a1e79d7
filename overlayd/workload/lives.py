"""What is known of one container of a pod: its runs, its probes, when it may start again. Pure.

Called by `overlayd.workload.machine`, which decides, and read by `overlayd.workload.status`.
"""

from dataclasses import dataclass, field, replace

from overlayd.protocol.pod import Container, ContainerStatus
from overlayd.workload.backoff import BackOff, S, Uniform
from overlayd.workload.messages import Ended, NotStarted, Now, Run, RunId
from overlayd.workload.probes import Probes

PULL_LAST_NS = 300 * S
"""An image that is not there is asked for this seldom in the end."""


@dataclass(slots=True)
class Life:
    """``run`` is the newest, ``before`` the one before it. ``waiting``: why there is none, in one word and in
    many. ``stopping``: it was told to end.
    """

    id: RunId
    back_off: BackOff
    run: Run | None = None
    before: Run | None = None
    starting: bool = False
    stopping: bool = False
    killing: bool = False
    not_before_ns: int = 0
    waiting: tuple[str, str] = ("ContainerCreating", "")
    probes: Probes = field(default_factory=Probes)
    _began_ns: int = 0

    @classmethod
    def of(cls, id: RunId, uniform: Uniform) -> "Life":
        return cls(id, BackOff(uniform))

    @property
    def running(self) -> bool:
        return self.run is not None and self.run.ended is None

    @property
    def quiet(self) -> bool:
        """Nothing of it runs or is about to."""
        return not (self.starting or self.running)

    @property
    def next_attempt(self) -> int:
        return 0 if self.run is None else self.run.attempt + 1

    def found(self, run: Run, now: Now) -> None:
        """Take over a run of an earlier life of this unit, or one that a runtime knows better."""
        if self.run is not None and self.run.attempt > run.attempt:
            self.before = run
            return
        if self.run is not None and self.run.attempt < run.attempt:
            self.before = self.run
        if (
            self.running
            and run.ended is not None
            and self.run is not None
            and self.run.attempt == run.attempt
        ):
            self.stopped(run.attempt, run.ended, now)
            return
        self.run = run
        self.starting = False
        self._began_ns = now.boot_ns - max(0, now.wall_ns - run.started_ns)

    def vanished(self) -> None:
        """What its runtime knows nothing of any more is no run."""
        self.run = self.before = None
        self.stopping = self.killing = False

    def watched(self, container: Container, told: ContainerStatus | None, now: Now) -> None:
        """Begin to probe what was found running; ``told`` is what was last said of it."""
        known_up = (
            self.run is not None
            and told is not None
            and told.ready
            and told.restart_count == self.run.attempt
        )
        self.probes = Probes.of(container, min(self._began_ns, now.boot_ns), known_up=known_up)

    def started(self, run: Run, container: Container | None, now: Now) -> None:
        """A start has worked."""
        if self.run is not None and self.run.attempt != run.attempt:
            self.before = self.run
        self.run = run
        self.starting = self.stopping = self.killing = False
        self._began_ns = now.boot_ns
        self.probes = Probes() if container is None else Probes.of(container, now.boot_ns)

    def not_started(self, event: NotStarted, now: Now) -> None:
        """A start has failed; the next comes later."""
        self.starting = False
        self.waiting = (event.reason, event.message)
        longest = {"longest_ns": PULL_LAST_NS} if "Image" in event.reason else {}
        self.not_before_ns = now.boot_ns + self.back_off.after_failed_start(**longest)

    def stopped(self, attempt: int, ended: Ended, now: Now) -> None:
        """A run has ended, by itself or as told."""
        if self.run is None or self.run.attempt != attempt or self.run.ended is not None:
            return
        told = self.stopping
        self.run = replace(self.run, ended=ended)
        self.stopping = self.killing = False
        self.probes = Probes()
        if told:
            self.back_off.reset()
            self.not_before_ns = now.boot_ns
            self.waiting = ("ContainerCreating", "")
            return
        wait_ns = self.back_off.after_run(now.boot_ns - self._began_ns)
        self.not_before_ns = now.boot_ns + wait_ns
        self.waiting = ("CrashLoopBackOff", f"waits {wait_ns / S:.0f} s before the next start")
