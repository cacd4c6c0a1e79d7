"""Policies as objects: what the mesh is told of them, and what they show."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.config import ClassSection, Config, NodeSection, PolicySection
from controller.configured import classes_of, policies_of
from controller.orchestration.objects.policy import CLASSES, OBJECTIVES
from controller.orchestration.objects.schema import Object
from controller.orchestration.policies import Ruling, ruled, shown_uid
from controller.orchestration.serving.server import orchestration
from controller.server.serve import Running
from controller.state import State, open_state
from overlayd.model.service import Objective
from tests.controller.orchestration.test_server import client, new_state

POLICIES = "/apis/overlayd.io/v1/policies"
MERGE = {"content-type": "application/merge-patch+json"}
WAIT_S = 60
INTERACTIVE, REALTIME, BULK, RELIABLE = range(4)


def config(**more: Any) -> Config:
    return Config(listen="127.0.0.1:0", advertise=("wss://127.0.0.1:1",), **more)


def policy(name: str, *, made: int = 0, **spec: Any) -> Object:
    meta = {
        "name": name,
        "uid": f"of-{name}",
        "generation": 1,
        "creationTimestamp": f"2026-01-01T00:00:{made:02}Z",
    }
    return {"apiVersion": "overlayd.io/v1", "kind": "Policy", "metadata": meta, "spec": spec}


def ruling(*objects: Object, of: Config | None = None) -> Ruling:
    return ruled(of or config(), objects, "2026-01-01T01:00:00Z")


def in_force(status: Mapping[str, Any]) -> tuple[str, str, str]:
    (condition,) = status["conditions"]
    return condition["status"], condition["reason"], condition["message"]


# What the mesh is told


def test_without_objects_the_mesh_goes_by_its_configuration() -> None:
    assert ruling().config == config()


def test_a_policy_gives_the_classes_that_it_names_an_objective_and_bounds() -> None:
    bounds = {"rttMs": 200, "loss": 0.02, "pricePerGb": 0.5}
    relays = {"most": 1, "regions": ["eu"], "avoidRegions": ["far"]}
    one = policy("near", classes=["bulk"], objective="latency", bounds=bounds, relays=relays)
    told = ruling(one).config
    service, rule = classes_of(told)[BULK], policies_of(told)[BULK]
    assert service.objective is Objective.LATENCY and service.bound.rtt_ms == 200
    assert (rule.loss_ratio, rule.price_per_gb, rule.relays) == (0.02, 0.5, 1)
    assert (rule.regions, rule.avoid_regions) == (("eu",), ("far",))
    assert classes_of(told)[REALTIME] == classes_of(config())[REALTIME], "it names one class"


def test_a_policy_by_weights_is_weighed() -> None:
    told = ruling(policy("frugal", classes=["bulk"], weights={"latency": 1, "cost": 200})).config
    assert classes_of(told)[BULK].objective is Objective.WEIGHTED
    assert dict(policies_of(told)[BULK].weights) == {Objective.LATENCY: 1, Objective.COST: 200}


def test_what_the_file_says_of_a_class_beside_its_paths_stays() -> None:
    section = ClassSection(policy="jitter", max_rtt_ms=50, weight=7, name="copies", dscp=(9,))
    told = ruling(
        policy("p", classes=["bulk"], objective="cost"), of=config(classes={"bulk": section})
    ).config
    service = classes_of(told)[BULK]
    assert (service.name, service.weight, service.dscp) == ("copies", 7, (9,))
    assert service.objective is Objective.COST and service.bound.rtt_ms is None


def test_of_two_policies_for_a_class_the_older_is_followed_and_the_other_says_so() -> None:
    younger = policy("a", made=2, classes=["bulk", "reliable"], objective="latency")
    older = policy("b", made=1, classes=["bulk"], objective="throughput")
    made = ruling(younger, older)
    services = classes_of(made.config)
    assert services[BULK].objective is Objective.THROUGHPUT
    assert services[RELIABLE].objective is Objective.LATENCY
    assert made.statuses["a"]["classes"] == ["reliable"]
    said = "reliable follows it; bulk follows b, which is older"
    assert in_force(made.statuses["a"]) == ("True", "Overruled", said)
    alone = ruling(policy("c", made=3, classes=["bulk"], objective="cost"), older)
    assert in_force(alone.statuses["c"]) == ("False", "Overruled", "bulk follows b, which is older")


def test_a_policy_that_is_being_deleted_is_followed_no_more() -> None:
    one = policy("p", classes=["bulk"], objective="latency")
    one["metadata"]["deletionTimestamp"] = "2026-01-01T00:30:00Z"
    made = ruling(one)
    assert made.config == config() and in_force(made.statuses["p"])[:2] == ("False", "Deleted")


# What is shown


def test_what_is_built_in_is_shown_with_the_classes_that_follow_it() -> None:
    shown = ruling().shown
    assert tuple(shown) == OBJECTIVES
    followed = {name: one["status"].get("classes", []) for name, one in shown.items()}
    assert sorted(one for classes in followed.values() for one in classes) == sorted(CLASSES)
    assert followed["cost"] == ["bulk"] and followed["throughput"] == []
    assert shown["cost"]["spec"] == {"objective": "cost"} and shown["cost"]["status"]["origin"] == "built-in"


def test_what_the_file_says_is_shown_with_its_bounds() -> None:
    section = ClassSection(policy="frugal", max_rtt_ms=200, max_relays=1, avoid_regions=("far",))
    weights = PolicySection(latency=1, cost=200)
    made = ruling(of=config(classes={"bulk": section}, policies={"frugal": weights}))
    shown = made.shown["frugal"]
    assert shown["spec"] == {"weights": {"latency": 1.0, "cost": 200.0}}
    held = {"class": "bulk", "bounds": {"rttMs": 200}, "relays": {"most": 1, "avoidRegions": ["far"]}}
    assert shown["status"] == {"origin": "controller.toml", "classes": ["bulk"], "inForce": [held]}
    assert "classes" not in made.shown["cost"]["status"]


def test_a_class_that_follows_an_object_follows_what_is_built_in_no_more() -> None:
    made = ruling(policy("p", classes=["bulk"], objective="cost"))
    assert "classes" not in made.shown["cost"]["status"]
    assert made.statuses["p"]["classes"] == ["bulk"]


def test_a_policy_for_no_class_a_taken_name_and_an_unknown_region_are_told() -> None:
    of = config(policies={"frugal": PolicySection(cost=1)}, nodes={"n": NodeSection(region="eu")})
    relays = {"regions": ["eu", "mars"]}
    made = ruling(
        policy("idle", objective="latency"),
        policy("frugal", classes=["bulk"], objective="latency"),
        policy("red", classes=["bulk"], objective="latency", relays=relays),
        of=of,
    )
    assert in_force(made.statuses["idle"])[:2] == ("False", "NoClasses")
    assert in_force(made.statuses["frugal"])[:2] == ("False", "NameTaken")
    said = "bulk follows it; no node is in mars ([nodes.NAME] region in controller.toml)"
    assert in_force(made.statuses["red"]) == ("True", "UnknownRegion", said)


def test_a_condition_keeps_the_time_since_when_it_holds() -> None:
    one = policy("p", classes=["bulk"], objective="cost")
    one["status"] = ruled(config(), [one], "2026-01-01T00:10:00Z").statuses["p"]
    assert ruled(config(), [one], "2026-01-01T00:20:00Z").statuses["p"] == one["status"]


# Beside a controller


async def until(told: Any, wanted: Any) -> None:
    end = time.monotonic() + WAIT_S
    while (found := await told()) != wanted:
        assert time.monotonic() < end, f"{found} and never {wanted}"
        await asyncio.sleep(0.02)


def in_file(folder: Path, text: str) -> State:
    state = new_state(folder)
    state.store.close()
    with (folder / "controller.toml").open("a") as file:
        file.write(text)
    return open_state(folder)


def body(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": spec}


def test_a_policy_is_followed_from_the_next_round_on_and_after_a_restart_until_it_goes(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "state"

    async def scenario() -> None:
        state = new_state(folder)
        async with Running(state) as running, orchestration(running.service) as port:
            core = running.service.core
            async with client(state, port) as api:
                one = body("p", classes=["bulk"], objective="latency", bounds={"rttMs": 80})
                assert (await api.post(POLICIES, json=one)).status_code == 201

                async def objective() -> tuple[str, float | None]:
                    return core.services[BULK].objective.value, core.services[BULK].bound.rtt_ms

                await until(objective, ("latency", 80))
                assert core.publication.network.classes == core.services, "agents are told of bounds"

                async def classes() -> list[str]:
                    return (await api.get(f"{POLICIES}/p")).json().get("status", {}).get("classes", [])

                await until(classes, ["bulk"])
                changed = {"spec": {"objective": "throughput", "bounds": None}}
                patched = await api.patch(f"{POLICIES}/p", json=changed, headers=MERGE)
                assert patched.status_code == 200
                await until(objective, ("throughput", None))

    async def again() -> None:
        state = open_state(folder)
        async with Running(state) as running, orchestration(running.service) as port:
            core = running.service.core
            assert core.services[BULK].objective is Objective.THROUGHPUT, "from the first moment on"
            async with client(state, port) as api:
                assert (await api.delete(f"{POLICIES}/p")).status_code == 200

                async def objective() -> Objective:
                    return core.services[BULK].objective

                await until(objective, Objective.COST)

    asyncio.run(scenario())
    asyncio.run(again())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (
            "latency",
            "it is built in and can be read only: make a policy of another name that names the classes",
        ),
        (
            "frugal",
            "it is kept in controller.toml: change [policies.frugal] there and restart the controller",
        ),
    ],
)
def test_what_is_only_shown_can_be_read_and_not_changed(tmp_path: Path, name: str, why: str) -> None:
    async def scenario() -> None:
        state = in_file(tmp_path / "state", "\n[policies.frugal]\ncost = 2.0\n")
        async with Running(state) as running, orchestration(running.service) as port:
            async with client(state, port) as api:
                found = (await api.get(f"{POLICIES}/{name}")).json()
                assert found["metadata"]["uid"] == shown_uid(name)
                taken = await api.post(POLICIES, json=body(name, objective="latency"))
                assert taken.status_code == 409 and taken.json()["reason"] == "AlreadyExists"
                apply = {"content-type": "application/apply-patch+yaml"}
                whole = {"apiVersion": "overlayd.io/v1", "kind": "Policy"} | body(name, objective="cost")
                for answer in (
                    await api.patch(
                        f"{POLICIES}/{name}", json={"spec": {"classes": ["bulk"]}}, headers=MERGE
                    ),
                    await api.patch(f"{POLICIES}/{name}/status", json={"status": {}}, headers=MERGE),
                    await api.patch(f"{POLICIES}/{name}?fieldManager=x", json=whole, headers=apply),
                    await api.put(f"{POLICIES}/{name}", json=found),
                    await api.delete(f"{POLICIES}/{name}"),
                    await api.delete(POLICIES),
                ):
                    assert answer.status_code == 403 and answer.json()["reason"] == "Forbidden", answer.text
                refused: httpx.Response = await api.delete(f"{POLICIES}/{name}")
                said = f'policies.overlayd.io "{name}" is forbidden: {why}'
                assert refused.json()["message"] == said
                assert (await api.get(f"{POLICIES}/{name}")).json() == found

    asyncio.run(scenario())


def test_a_policy_that_left_the_file_is_shown_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "state"

    async def shown(state: State) -> list[str]:
        async with Running(state) as running, orchestration(running.service) as port:
            async with client(state, port) as api:
                listed = (await api.get(POLICIES)).json()["items"]
                return [one["metadata"]["name"] for one in listed]

    state = in_file(folder, "\n[policies.frugal]\ncost = 2.0\n")
    assert asyncio.run(shown(state)) == sorted([*OBJECTIVES, "frugal"])
    path = folder / "controller.toml"
    path.write_text(path.read_text().replace("\n[policies.frugal]\ncost = 2.0\n", ""))
    assert asyncio.run(shown(open_state(folder))) == sorted(OBJECTIVES)
