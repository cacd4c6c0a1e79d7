"""What a dry run says of placement: the answer, the nodes in order, why others not."""

from typing import Any

import pytest

from controller.orchestration.control.explaining import explanation
from controller.orchestration.control.placing import apart_from
from controller.orchestration.objects.reading import AppSpec
from controller.orchestration.placement.choose import choose
from controller.orchestration.placement.wanted import NOWHERE, Held, Wanted
from overlayd.cli.ctl_apps_placing import lines_of, split
from tests.controller.orchestration.placement.making import host, line, web, within


def told(wanted: Wanted, held: Held = NOWHERE) -> dict[str, Any]:
    small = {"cpu": 300.0, "memory": 2.0**30}
    world = line(
        host("paris"), host("oslo", price=0.2), host("tokyo", free=small), host("rome", alive=False),
        all={0: 1.0, 1: 1.0, 2: 0.5},
    )  # fmt: skip
    return explanation(wanted, choose(wanted, world, held), held)


def test_the_answer_comes_with_its_uncertainty_and_how_far_it_is_from_the_best() -> None:
    made = told(web(bounds=within(30.0)))
    assert made["nodes"] == ["oslo"] and made["gapPct"] == 0.0
    assert made["expected"]["withinPct"] == pytest.approx(100.0, abs=0.1)
    assert made["expected"]["likelyPct"] > 99.0 and made["expected"]["strayMs"] > 0.0
    assert made["summary"].startswith("on oslo; 13.0 ms ± 1.2") and "no choice is better" in made["summary"]


def test_candidates_stand_in_order_and_the_refused_with_amounts() -> None:
    made = told(web(bounds=within(30.0)), Held(("paris",)))
    assert [one["node"] for one in made["candidates"]] == ["oslo", "paris"]
    first, second = made["candidates"]
    assert first["chosen"] and second["runs"] and first["cost"] < second["cost"] and first["price"] == 0.2
    assert made["refused"] == [
        {"node": "rome", "reason": "alive: it is not there"},
        {"node": "tokyo", "reason": "cpu: 500m asked, 300m free, 200m short"},
    ]
    assert made["summary"].startswith("on oslo, now on paris;")


def test_bounds_that_fall_short_and_places_that_lack_are_said_with_amounts() -> None:
    assert " % short (asked: 95 % of the users within 5 ms" in told(web(bounds=within(5.0)))["summary"]
    assert "2 of 3 replicas have a place" in told(web(least=3, most=3))["summary"]
    nowhere = told(web(requests={"cpu": 9000.0}))
    assert nowhere["summary"] == (
        "nowhere: cpu excludes all 4 nodes, least paris: 9000m asked, 4000m free, 5000m short"
    )
    assert "gapPct" not in nowhere and nowhere["candidates"] == []


def test_people_read_it_as_a_table() -> None:
    placing, rest = split({"kind": "App", "status": {"placement": told(web(bounds=within(30.0)))}})
    assert rest == {"kind": "App"}
    lines = list(lines_of(placing))
    assert lines[0].startswith("  placement: on oslo;")
    assert lines[1].split() == ["NODE", "COST", "WITHIN", "MEAN", "PRICE", "FULL"]
    assert lines[2].split()[:2] == ["*", "oslo"]
    assert lines[4:] == [
        "  refused:", "    rome: alive: it is not there", "    tokyo: cpu: 500m asked, 300m free, 200m short",
    ]  # fmt: skip


def test_who_keeps_apart_from_an_app_is_found_by_what_others_say() -> None:
    def named(name: str, *apart: str) -> AppSpec:
        placement = {"affinity": {"apart": list(apart)}}
        spec = {"source": {"image": "qc:v1"}, "placement": placement}
        return AppSpec.of({"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec})

    apps = [named("db"), named("noisy", "db"), named("calm", "other/db")]
    assert apart_from("default/db", apps) == ("default/noisy",)
