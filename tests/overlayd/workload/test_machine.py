"""What a node does with its pods: told as a dialogue with a runtime that obeys, in virtual time."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from overlayd.model.lease import LEASE_S
from overlayd.protocol.pod import digest_of
from overlayd.workload.leases import Leases
from overlayd.workload.messages import (
    LEASE,
    Command,
    Ended,
    Event,
    Found,
    Happened,
    Leased,
    Lost,
    NotStarted,
    Release,
    Remove,
    Report,
    Run,
    Start,
    Stop,
    begun,
)
from tests.overlayd.workload.pods import WALL_NS, S, World, main_of, pod, released

DIGEST = digest_of(pod().spec)
HTTP = {"httpGet": {"port": 80}, "periodSeconds": 10}


def running(attempt: int = 0, digest: str = DIGEST, name: str = "web") -> Run:
    return Run(main_of(name), attempt, digest, "process", WALL_NS)


def with_probe(**probe: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", "command": ["x"], **probe}]}


def test_what_is_wanted_is_started_once_and_told() -> None:
    world = World()
    world.want(pod())
    world.passes(60)
    world.want(pod())
    assert world.starts() == [("main", 0)]
    status = world.status()
    assert (status["phase"], status["hostIP"]) == ("Running", "100.127.0.1")
    assert {one["type"]: one["status"] for one in status["conditions"]} == dict.fromkeys(
        ("Initialized", "Ready", "ContainersReady", "PodScheduled"), "True"
    )


def test_what_runs_already_with_the_same_digest_is_never_started_anew() -> None:
    world = World(found=(running(attempt=3),))
    commands = world.want(pod())
    assert not [one for one in commands if isinstance(one, Start | Stop)]
    assert world.status()["containerStatuses"][0]["restartCount"] == 3


def test_another_digest_stops_the_old_and_starts_the_new() -> None:
    world = World(found=(running(digest="old"),))
    commands = [one for one in world.want(pod()) if isinstance(one, Start | Stop)]
    assert [type(one) for one in commands] == [Stop, Start]
    assert world.running[main_of()].digest == DIGEST


def test_nothing_is_stopped_before_it_is_known_what_is_wanted() -> None:
    world = World(found=(running(name="other"),))
    world.want(pod(), whole=False)
    world.passes(120)
    assert main_of("other") in world.running
    world.want(pod())
    assert main_of("other") not in world.running
    assert [one.uid for one in world.done if isinstance(one, Remove)] == ["uid-other"]


def test_what_ends_is_started_again_later_and_later() -> None:
    world = World()
    world.want(pod())
    at: list[float] = []
    for _ in range(5):
        ended_ns = world.now_ns
        world.ends(main_of(), 1)
        while main_of() not in world.running:
            world.passes(0.1)
        at.append((world.now_ns - ended_ns) / S)
    assert [round(one) for one in at] == pytest.approx([1, 2, 4, 8, 16], rel=0.15)
    assert world.starts()[-1] == ("main", 5)


def test_what_ends_before_it_was_watched_is_started_again_later_and_later_too() -> None:
    world = World()
    at: list[float] = []

    def ends_at_once(command: Command) -> list[Event]:
        if not isinstance(command, Start):
            return []
        at.append(world.now_ns / S)
        assert len(at) < 100, "it is started again and again without a pause"
        ended = Ended(1, finished_ns=world.now.wall_ns)
        return list(begun(Run(command.id, command.attempt, command.digest, "process", WALL_NS, ended=ended)))

    world.carry_out = ends_at_once
    world.want(pod())
    world.passes(40)
    waits = [later - earlier for earlier, later in pairwise(at)]
    assert [round(one) for one in waits] == pytest.approx([1, 2, 4, 8, 16], rel=0.15)
    assert world.starts() == [("main", attempt) for attempt in range(6)]
    (container,) = world.status()["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert (container["restartCount"], container["lastState"]["terminated"]["exitCode"]) == (5, 1)


def test_the_status_of_what_crashes_says_so_and_how_it_ended() -> None:
    world = World()
    world.want(pod())
    world.ends(main_of(), 3)
    (container,) = world.status()["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["exitCode"] == 3
    world.passes(5)
    (container,) = world.status()["containerStatuses"]
    assert "running" in container["state"] and container["restartCount"] == 1


def test_a_long_run_is_forgiven() -> None:
    world = World()
    world.want(pod())
    for _ in range(4):
        world.ends(main_of(), 1)
        world.passes(60)
    world.passes(700)
    world.ends(main_of(), 1)
    world.passes(1.2)
    assert main_of() in world.running


@pytest.mark.parametrize(
    ("policy", "code", "again", "phase"),
    [
        ("Always", 0, True, "Running"),
        ("OnFailure", 1, True, "Running"),
        ("OnFailure", 0, False, "Succeeded"),
        ("Never", 0, False, "Succeeded"),
        ("Never", 2, False, "Failed"),
    ],
)
def test_the_restart_policy_is_kept(policy: str, code: int, again: bool, phase: str) -> None:
    world = World()
    world.want(pod(restartPolicy=policy))
    world.ends(main_of(), code)
    world.passes(10)
    assert (len(world.starts()) == 2) == again
    assert world.status()["phase"] == phase


def test_a_pod_that_is_deleted_is_stopped_told_of_removed_and_then_released() -> None:
    world = World()
    world.want(pod())
    meta = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5}
    commands = world.want(pod(meta=meta))
    order = [one for one in commands if isinstance(one, Stop | Report | Remove | Release)]
    assert [type(one) for one in order if not isinstance(one, Report)] == [Stop, Remove, Release]
    assert next(one.grace_s for one in order if isinstance(one, Stop)) == 5
    assert isinstance(order[-3], Report) and order[-3].status.phase == "Failed"
    assert world.machine.pods() == []


def test_a_pod_whose_name_is_gone_is_ended_and_nobody_is_asked_to_release_it() -> None:
    world = World()
    world.want(pod())
    commands = world.want()
    assert [type(one) for one in commands if isinstance(one, Stop | Remove | Release)] == [Stop, Remove]
    assert world.running == {}


def test_a_deleted_pod_waits_for_its_runtime_and_not_for_one_that_is_not_here() -> None:
    image = [{"name": "main", "image": "a"}]
    gone = pod(meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}, containers=image)
    for absent in (False, True):
        world = World()
        world.tell(Lost("docker", "no answer", absent=absent))
        assert released(world.want(gone)) == (["web"] if absent else [])


def test_containers_say_why_not_where_there_is_no_docker_and_start_when_there_is() -> None:
    world = World()
    world.tell(Lost("docker", "/run/docker.sock: No such file or directory", absent=True))
    world.want(pod(containers=[{"name": "main", "image": "a"}]), pod("plain"))
    waiting = world.status()["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "RuntimeUnavailable" and "docker.sock" in waiting["message"]
    assert world.status("plain")["phase"] == "Running"
    world.tell(Found("docker", ()))
    assert world.status()["phase"] == "Running"


def test_what_a_runtime_that_comes_back_does_not_know_any_more_is_started_anew() -> None:
    world = World()
    world.want(pod())
    world.tell(Lost("process", "away"))
    world.passes(60)
    assert world.starts() == [("main", 0)]
    world.tell(Found("process", ()))
    assert world.starts() == [("main", 0), ("main", 0)]


def test_a_start_that_fails_is_tried_again_and_the_reason_is_told() -> None:
    world = World()
    obeys = world.carry_out
    world.carry_out = lambda _: []
    world.want(pod())
    world.carry_out = obeys
    world.tell(NotStarted(main_of(), 0, "StartError", "no-such-program: No such file or directory"))
    assert "no-such-program" in world.status()["containerStatuses"][0]["state"]["waiting"]["message"]
    assert [one.reason for one in world.done if isinstance(one, Happened)] == ["StartError"]
    world.passes(1.2)
    assert world.starts()[-1] == ("main", 0) and main_of() in world.running


def test_users_come_only_once_the_readiness_probe_succeeds_and_leave_when_it_fails() -> None:
    world = World()
    up = False
    world.answers = lambda _: up
    world.want(pod(**with_probe(readinessProbe=HTTP)))
    world.passes(1)
    assert not world.status()["containerStatuses"][0]["ready"]
    up = True
    world.passes(2.1)
    assert world.status()["containerStatuses"][0]["ready"], "it is looked at more often until it is up"
    up = False
    world.passes(15)
    assert world.status()["containerStatuses"][0]["ready"], "one failure is none"
    world.passes(20)
    assert not world.status()["containerStatuses"][0]["ready"]
    assert world.starts() == [("main", 0)]


def test_a_failing_liveness_probe_starts_anew() -> None:
    world = World()
    well = True
    world.answers = lambda _: well
    world.want(pod(**with_probe(livenessProbe=HTTP)))
    world.passes(20)
    well = False
    world.passes(31)
    assert ("main", 1) in world.starts()
    assert "Unhealthy" in [one.reason for one in world.done if isinstance(one, Happened)]


def test_the_startup_probe_gives_time_that_liveness_would_not() -> None:
    world = World()
    slow = with_probe(startupProbe={**HTTP, "failureThreshold": 30}, livenessProbe=HTTP)
    up = False
    world.answers = lambda _: up
    world.want(pod(**slow))
    world.passes(200)
    assert world.starts() == [("main", 0)]
    up = True
    world.passes(10)
    assert world.status()["containerStatuses"][0]["started"]


def test_who_was_ready_before_this_unit_started_anew_stays_ready() -> None:
    told = pod(**with_probe(readinessProbe=HTTP))
    before = World()
    before.want(told)
    before.passes(1)
    again = msgspec.structs.replace(told, status=next(s for _, s in before.machine.pods()))
    world = World(found=tuple(before.running.values()))
    world.answers = lambda _: False
    world.want(again)
    assert not [one for one in world.done if isinstance(one, Report)], "nothing has changed"
    world.passes(35)
    assert not world.status()["containerStatuses"][0]["ready"]


def test_a_singleton_runs_only_by_a_lease_and_has_ended_before_it_ends() -> None:
    leases = Leases()
    world = World(leases)
    world.want(pod(meta={"annotations": {LEASE: str(LEASE_S)}}, terminationGracePeriodSeconds=3))
    assert world.starts() == []
    assert world.status()["reason"] == "NoLease"

    sent_ns = world.now_ns
    leases.answered(leases.send(sent_ns), ["uid-web"])
    world.tell(Leased())
    assert world.starts() == [("main", 0)]

    stopped_ns = None
    while stopped_ns is None:
        world.passes(0.5)
        stopped_ns = None if world.running else world.now_ns
    assert sent_ns + (LEASE_S / 2) * S < stopped_ns < sent_ns + LEASE_S * S
    assert world.status()["conditions"][1]["status"] == "False"

    leases.answered(leases.send(world.now_ns), ["uid-web"])
    world.tell(Leased())
    assert world.starts() == [("main", 0), ("main", 1)], "a lease that comes back lets it start again"


def test_a_singleton_that_does_not_end_when_asked_is_killed_before_its_lease_ends() -> None:
    leases = Leases()
    world = World(leases)
    leases.answered(leases.send(world.now_ns), ["uid-web"])
    ends_ns = world.now_ns + LEASE_S * S
    world.want(pod(meta={"annotations": {LEASE: str(LEASE_S)}}, terminationGracePeriodSeconds=8))
    obeys = world.carry_out
    world.carry_out = lambda command: [] if isinstance(command, Stop) else obeys(command)
    asked: list[tuple[float, int]] = []
    for _ in range(LEASE_S):
        asked += [
            (one.grace_s, (ends_ns - world.now_ns) // S) for one in world.passes(1) if isinstance(one, Stop)
        ]
    assert [grace for grace, _ in asked] == [8, 0]
    assert asked[-1][1] >= 1


def test_a_singleton_that_was_found_running_goes_on_by_the_lease_of_the_life_before() -> None:
    ours = pod(meta={"annotations": {LEASE: str(LEASE_S)}})
    kept = World(Leases({"uid-web": 95 * S}), found=(running(digest=digest_of(ours.spec)),))
    assert not [one for one in kept.want(ours) if isinstance(one, Stop)]
    lost = World(Leases(), found=(running(digest=digest_of(ours.spec)),))
    (stop,) = [one for one in lost.want(ours) if isinstance(one, Stop)]
    assert stop.grace_s == 0


def test_what_ended_while_this_unit_was_away_is_started_again() -> None:
    ended = Run(main_of(), 4, DIGEST, "process", WALL_NS, Ended(137, "Rebooted", finished_ns=WALL_NS))
    world = World(found=(ended,))
    world.want(pod())
    assert world.starts() == [("main", 5)]
    assert world.status()["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "Rebooted"


def test_a_pod_of_images_and_processes_together_is_refused_with_the_reason() -> None:
    world = World()
    world.tell(Found("docker", ()))
    world.want(pod(containers=[{"name": "a", "image": "x"}, {"name": "b", "command": ["y"]}]))
    assert world.starts() == [] and world.status()["reason"] == "InvalidPod"


def test_a_new_specification_does_not_wait_for_what_the_old_one_did_wrong() -> None:
    world = World()
    world.want(pod())
    for _ in range(6):
        world.ends(main_of(), 1)
        world.passes(40)
    world.ends(main_of(), 1)
    world.want(pod(containers=[{"name": "main", "command": ["right"]}]))
    assert main_of() in world.running
