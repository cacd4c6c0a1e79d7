"""A new version as a canary: watched by steps, taken back when it is not well."""

from pathlib import Path

from controller.orchestration.control.apps import read_app
from controller.orchestration.objects.pod import POD
from overlayd.protocol.workload import Outcome, Outcomes
from tests.controller.orchestration.stage import Stage
from tests.controller.orchestration.test_steered import route

CANARY = {"strategy": "canary", "canary": {"steps": [10, 50], "analysisSeconds": 20}}


def begun(folder: Path) -> tuple[Stage, str, str]:
    stage = Stage(folder, "a", "b", "c", "d")
    stage.apply("qc", replicas={"min": 4}, update=CANARY)
    stage.run(3)
    old = stage.app("qc")["status"]["revision"]
    stage.apply("qc", source={"image": "qc:v2"}, replicas={"min": 4}, update=CANARY)
    stage.run(3)
    return stage, old, stage.app("qc")["status"]["revision"]


def counts(stage: Stage, *revisions: str) -> list[int]:
    return [len(stage.pods(revision=one)) for one in revisions]


def test_a_canary_comes_by_steps_beside_the_old_version(tmp_path: Path) -> None:
    stage, old, new = begun(tmp_path)
    assert counts(stage, old, new) == [4, 1]
    rollout = read_app(stage.app("qc")).status.rollout
    assert rollout is not None and (rollout.step, rollout.weight, rollout.stable) == (0, 10, old)
    stage.wait(30)
    assert counts(stage, old, new) == [4, 2]
    stage.wait(40)
    assert counts(stage, old, new) == [0, 4]
    reasons = [reason for reason, _ in stage.events()]
    assert reasons.count("CanaryPassed") == 2 and "RolledOut" in reasons


def test_a_canary_that_is_started_again_is_taken_back_and_stays_so(tmp_path: Path) -> None:
    stage, old, new = begun(tmp_path)
    (canary,) = stage.pods(revision=new)
    stage.say(canary["metadata"]["name"], ready=True, restarts=1)
    stage.wait(100)
    assert counts(stage, old, new) == [4, 0]
    assert stage.condition("qc", "Progressing") == ("False", "RolloutFailed")
    for pod in stage.pods()[:1]:  # what ends meanwhile is replaced by the old version
        stage.delete(POD, pod["metadata"]["name"])
    stage.run(5)
    assert counts(stage, old, new) == [4, 0]


def test_a_canary_that_is_not_ready_gets_no_further(tmp_path: Path) -> None:
    stage, old, new = begun(tmp_path)
    (canary,) = stage.pods(revision=new)
    stage.say(canary["metadata"]["name"], ready=False)
    stage.wait(100)
    assert counts(stage, old, new) == [4, 1]
    stage.wait(700)
    assert counts(stage, old, new) == [4, 0]


def test_a_pause_holds_a_canary_at_its_step(tmp_path: Path) -> None:
    stage, old, new = begun(tmp_path)
    stage.patch_app("qc", {"spec": {"paused": True}})
    stage.wait(100)
    assert counts(stage, old, new) == [4, 1]
    stage.patch_app("qc", {"spec": {"paused": False}})
    stage.wait(100)
    assert counts(stage, old, new) == [0, 4]


def met(stage: Stage, old: tuple[str, int, int], new: tuple[str, int, int]) -> None:
    """A node says what users met: (revision, requests, failed) of both."""
    told = tuple(Outcome("default/web", *one) for one in (old, new))
    stage.loops.told("a", Outcomes(told))


def test_a_canary_whose_users_fare_worse_is_taken_back(tmp_path: Path) -> None:
    stage, old, new = begun(tmp_path)
    route(stage, "web", app="qc")
    stage.run(3)
    met(stage, (old, 900, 2), (new, 60, 9))
    stage.run(3)
    assert counts(stage, old, new) == [4, 0]
    assert stage.condition("qc", "Progressing") == ("False", "RolloutFailed")
    assert ("RolloutFailed", "9 of 60 requests failed with it, 2 of 900 with the version before") in [
        (reason, message.partition(": ")[2] or message) for reason, message in stage.events()
    ]


def test_a_canary_whose_users_fare_as_before_goes_on(tmp_path: Path) -> None:
    stage, old, new = begun(tmp_path)
    route(stage, "web", app="qc")
    stage.run(3)
    met(stage, (old, 900, 90), (new, 100, 13))
    stage.wait(80)
    assert counts(stage, old, new) == [0, 4]


def test_what_an_earlier_version_met_is_not_held_against_a_later_one(tmp_path: Path) -> None:
    stage, old, new = begun(tmp_path)
    route(stage, "web", app="qc")
    stage.run(3)
    met(stage, (old, 900, 2), (new, 60, 9))
    stage.run(3)
    stage.apply("qc", source={"image": "qc:v3"}, replicas={"min": 4}, update=CANARY)
    stage.run(3)
    newest = stage.app("qc")["status"]["revision"]
    met(stage, (old, 50, 0), (newest, 50, 0))
    stage.wait(80)
    assert counts(stage, old, newest) == [0, 4]
