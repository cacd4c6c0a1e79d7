"""Both sides of leases in worlds whose links are cut at random: never two of what may be only once.

Clocks run up to 4 % off, messages come late and in any order, controllers, hosts and their units begin anew,
ending a process takes its time.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random

import pytest

from controller.orchestration.control.leases import Leases as Given
from overlayd.model.lease import ALIVE_S, KILL_S, LEASE_S, wait_s
from overlayd.workload.leases import Leases as Held

S = 1_000_000_000
STOP_S = 3
DRIFT = 0.04
NODES = 3
SECONDS = 900


class Late(Held):
    """The mistake that must be seen: a lease that counts from when the answer arrives."""

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__()
        self._arrived = clock

    def answered(self, sequence: int, pods: Iterable[str]) -> None:
        self.send(self._arrived())
        super().answered(self._sequence, pods)


@dataclass
class Clock:
    """Runs at ``rate``, from an origin that nobody knows."""

    rate: float
    origin: int

    def at(self, true_ns: int) -> int:
        return self.origin + int(true_ns * self.rate)


@dataclass
class Host:
    """Knows the pods that it was told last, runs those that its leases let it. ``running`` [uid]: until when,
    in true time, the process lives that has been asked to end; None: not asked.
    """

    name: str
    clock: Clock
    leases: Held
    pods: frozenset[str] = frozenset()
    running: dict[str, int | None] = field(default_factory=dict[str, int | None])
    life: int = 0
    cut_until: int = 0


@dataclass
class World:
    """True time, and everything in it. ``pods`` is what the controller's store has: uid and node."""

    chance: Random
    make: Callable[["World", Host], Held]
    now: int = 0
    pods: dict[str, str] = field(default_factory=dict[str, str])
    started: int = 0
    both: int = 0
    replaced: int = 0

    def __post_init__(self) -> None:
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self.clock = self._clock()
        self.hosts: dict[str, Host] = {}
        for number in range(NODES):
            host = Host(f"n{number}", self._clock(), Held())
            host.leases = self.make(self, host)
            self.hosts[host.name] = host
        self.given = self._given()
        self.up = True
        for host in self.hosts.values():
            self.after(self.chance.uniform(0, ALIVE_S), partial(self.shows, host))
            self.after(self.chance.uniform(5, 200), partial(self.cuts, host))
            self.after(self.chance.uniform(5, 600), partial(self.begins_anew, host))
            self.after(0.5, partial(self.looks, host))
        self.after(1, self.decides)
        self.after(self.chance.uniform(20, 400), self.falls)

    def _clock(self) -> Clock:
        return Clock(1 + self.chance.uniform(-DRIFT, DRIFT), self.chance.randrange(10**15))

    def _given(self) -> Given:
        def pods(node: str) -> list[str]:
            return [uid for uid, holder in self.pods.items() if holder == node]

        return Given(self.clock.at(self.now), pods)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + int(seconds * S), next(self._count), what))

    def run(self) -> "World":
        while self._queue and self.now < SECONDS * S:
            self.now, _, what = heapq.heappop(self._queue)
            what()
            self._watch()
        return self

    def _watch(self) -> None:
        alive = 0
        for host in self.hosts.values():
            for uid, ends in tuple(host.running.items()):
                if ends is not None and ends <= self.now:
                    del host.running[uid]
            alive += len(host.running)
        self.both += alive > 1

    # Links: a message is lost where its host is cut off when it is sent, and late otherwise

    def sends(self, host: Host, what: Callable[[], None]) -> None:
        if self.now >= host.cut_until:
            slow = self.chance.random() < 0.1
            self.after(self.chance.uniform(0, 25) if slow else self.chance.uniform(0.01, 0.3), what)

    def cuts(self, host: Host) -> None:
        host.cut_until = self.now + int(self.chance.choice([3, 20, 45, 120, 300]) * S)
        self.after(self.chance.uniform(30, 300), lambda: self.cuts(host))

    # Hosts

    def shows(self, host: Host) -> None:
        sequence, life = host.leases.send(host.clock.at(self.now)), host.life
        self.sends(host, lambda: self.hears(host, sequence, life))
        self.after(ALIVE_S, lambda: self.goes_on(host, life))

    def goes_on(self, host: Host, life: int) -> None:
        if host.life == life:
            self.shows(host)

    def answered(self, host: Host, sequence: int, life: int, named: tuple[str, ...]) -> None:
        if host.life == life:
            host.leases.answered(sequence, named)

    def told(self, host: Host, pods: frozenset[str]) -> None:
        """A list of its pods reaches a host, however old."""
        host.pods |= pods
        host.pods -= {uid for uid in host.pods if uid not in self.pods and self.chance.random() < 0.5}

    def looks(self, host: Host) -> None:
        """What the host's unit does each half second, by its leases alone."""
        now = host.clock.at(self.now)
        for uid in host.pods | set(host.running):
            duty = host.leases.duty(uid, LEASE_S, STOP_S, now) if uid in host.pods else "stop"
            if duty == "run":
                host.running.setdefault(uid, None)
            elif uid in host.running:
                takes = self.chance.uniform(0, KILL_S) if duty == "kill" else self.chance.uniform(1, 60)
                ends, known = self.now + int(takes * S), host.running[uid]
                host.running[uid] = ends if known is None else min(known, ends)
        self.after(0.5, lambda: self.looks(host))

    def begins_anew(self, host: Host) -> None:
        """The unit begins anew beside what runs, or the whole host does; then its clock is another."""
        host.life += 1
        kept = host.leases.named
        if self.chance.random() < 0.5:
            host.running, kept = {}, {}
            host.clock = self._clock()
        host.leases = self.make(self, host)
        host.leases.named = dict(kept)
        self.shows(host)
        self.after(self.chance.uniform(60, 600), lambda: self.begins_anew(host))

    # The controller

    def hears(self, host: Host, sequence: int, life: int) -> None:
        if self.up:
            named = self.given.answer(host.name, self.clock.at(self.now))
            pods = frozenset(uid for uid, node in self.pods.items() if node == host.name)
            self.sends(host, lambda: self.answered(host, sequence, life, named))
            self.sends(host, lambda: self.told(host, pods))

    def decides(self) -> None:
        now = self.clock.at(self.now)
        for uid, node in tuple(self.pods.items()):
            if self.up and self.given.give_up(uid, node, LEASE_S, now):
                del self.pods[uid]
                self.replaced += 1
        heard = [name for name in self.hosts if self.given.silent_ns(name, now) < 2 * ALIVE_S * S]
        if self.up and not self.pods and heard:
            self.started += 1
            self.pods[f"p{self.started}"] = self.chance.choice(heard)
        self.after(1, self.decides)

    def falls(self) -> None:
        self.up = False
        self.after(self.chance.choice([0.1, 5, 60]), self.rises)

    def rises(self) -> None:
        self.up, self.clock = True, self._clock()
        self.given = self._given()
        self.after(self.chance.uniform(20, 400), self.falls)


def shipped(world: World, host: Host) -> Held:
    return Held()


def late(world: World, host: Host) -> Held:
    return Late(lambda: host.clock.at(world.now))


def test_a_singleton_never_runs_twice_in_two_hundred_partitions() -> None:
    worlds = [World(Random(seed), shipped).run() for seed in range(200)]
    assert [seed for seed, world in enumerate(worlds) if world.both] == []
    assert sum(world.replaced for world in worlds) > 400, "there were cuts that lasted"


def test_a_lease_that_counted_from_the_answers_arrival_would_run_it_twice() -> None:
    assert any(World(Random(seed), late).run().both for seed in range(200))


@pytest.mark.parametrize("lease_s", [30, 100, 1000])
def test_the_wait_covers_clocks_of_both_ends(lease_s: int) -> None:
    assert lease_s / (1 - DRIFT) + 0.5 < wait_s(lease_s) / (1 + DRIFT)
