"""Both sides of leases in worlds whose links are cut at random: never two of what may be only once."""

from collections.abc import Iterable

import pytest

from controller.orchestration.control.leases import Leases as Given
from overlayd.model.lease import wait_s
from overlayd.workload.leases import Leases as Held
from tests.controller.orchestration.control.partitions import DRIFT, Host, S, World


class Late(Held):
    """The mistake that must be seen: a lease that counts from when the answer arrives."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host

    def answered(self, sequence: int, pods: Iterable[str]) -> None:
        self.send(self._host.clock.at(self._host.world.now))
        super().answered(self._sequence, pods)


class Forgetful(Given):
    """Another: a controller that begins anew and takes whom it has not heard for long gone."""

    def silent_ns(self, node: str, now_ns: int) -> int:
        return super().silent_ns(node, now_ns) if self.heard(node) else 1_000 * S


class Hasty(Given):
    """Another: a wait that allows for no drift."""

    def give_up(self, uid: str, node: str, lease_s: int, now_ns: int) -> bool:
        if self.silent_ns(node, now_ns) < lease_s * S:
            return False
        self._given_up.add(uid)
        return True


def test_a_singleton_never_runs_twice_in_two_hundred_partitions() -> None:
    worlds = [World(seed).run() for seed in range(200)]
    assert [seed for seed, world in enumerate(worlds) if world.double] == []
    assert sum(world.replaced for world in worlds) > 400, "there were cuts that lasted"
    assert sum(world.moved for world in worlds) > 300, "it moved while there were cuts"


def test_a_lease_that_counted_from_the_answers_arrival_would_run_it_twice() -> None:
    assert any(World(seed, held=Late).run().double for seed in range(200))


def test_a_controller_that_did_not_wait_anew_after_its_restart_would_run_it_twice() -> None:
    assert any(World(seed, given=Forgetful).run().double for seed in range(200))


@pytest.mark.parametrize("lease_s", [30, 100, 1000])
def test_the_wait_covers_clocks_of_both_ends(lease_s: int) -> None:
    assert lease_s / (1 - DRIFT) + 0.5 < wait_s(lease_s) / (1 + DRIFT)
