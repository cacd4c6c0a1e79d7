"""Why traffic goes where it goes while a path is bad: as a person, a script and the controller see it."""

from collections.abc import Iterator
from typing import Any

import pytest

from sim.lab import runner
from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import Mesh, candidate, wait_until

VIA, TARGET, SOURCE = SITES
"""Not the pair that other tests use: its direct path stays held down for a minute."""
LINK = f"{SOURCE}:{TARGET}"
CALM_MS = 60
"""More than the path over the relay takes when all is well."""
LEAST_MS = 30
"""Of the direct path, which takes 170 ms by then, and took 10 in a part of what the decision was made on."""


@pytest.fixture(scope="module")
def moved(triangle: Mesh) -> Iterator[Mesh]:
    """A mesh whose direct path is so bad that agent and controller agree on the relay."""
    direct = (SOURCE, TARGET)
    wait_until(lambda: triangle.path(*direct) == direct)
    before = triangle.document(SOURCE, "explain", TARGET)
    assert candidate(before, TARGET)["in_use"]

    def calm() -> bool:
        """What other tests did to a leg of the relay's path is in the forecasts for a while."""
        said = triangle.document(SOURCE, "explain", TARGET)
        relayed = [row for row in said["candidates"] if row["path"] == [VIA, TARGET]]
        return bool(relayed) and (relayed[0]["forecast_rtt_ms"] or CALM_MS) < CALM_MS

    wait_until(calm)
    runner.impair(triangle.name, LINK, {"delay": "85ms", "loss": "8%"})

    def agreed() -> bool:
        """Look while there is traffic: nobody moves what nobody uses."""
        triangle.probe(SOURCE, TARGET, count=100)
        said = triangle.document(SOURCE, "explain", TARGET)
        best = [answer["candidates"][0]["path"] for answer in (said, _of_controller(triangle))]
        agreed = said["decider"] == "controller" and best == [[VIA, TARGET]] * 2
        return agreed and candidate(said, VIA, TARGET)["in_use"]  # of which the engine tells each second

    try:
        wait_until(agreed)
        yield triangle
    finally:
        runner.impair(triangle.name, LINK, {"delay": "5ms", "loss": "0%"})


def test_the_chosen_and_the_rejected_path_have_forecast_measurement_and_reason(moved: Mesh) -> None:
    said = moved.document(SOURCE, "explain", TARGET)
    assert (said["source"], said["destination"]) == (SOURCE, TARGET)
    assert said["reason"]
    relay, direct = candidate(said, VIA, TARGET), candidate(said, TARGET)
    assert (relay["in_use"], relay["verdict"], relay["rank"]) == (True, "primary", 0)
    assert not direct["in_use"]
    assert direct["verdict"] != "primary"
    for row, least_ms, most_ms, most_loss in ((relay, 20, CALM_MS, 0.02), (direct, LEAST_MS, 300, 0.3)):
        assert row["reason"]
        assert row["cost"] > 0
        for figure in ("forecast_rtt_ms", "measured_rtt_ms"):
            assert least_ms <= row[figure] < most_ms, (figure, row)
        for figure in ("forecast_loss_ratio", "measured_loss_ratio"):
            assert 0 <= row[figure] < most_loss, (figure, row)
    assert direct["measured_loss_ratio"] > 0.01


def test_a_person_reads_the_same(moved: Mesh) -> None:
    done = moved.ctl(SOURCE, "explain", TARGET)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{SOURCE} → {TARGET}, class ")
    (chosen,) = (line for line in lines if line.startswith("→"))
    assert f"via {VIA}" in chosen
    assert "primary" in chosen
    (rejected,) = (line for line in lines if line.split()[:1] == ["direct"])
    assert rejected.count(" ms") >= 2 and rejected.count(" %") >= 2, "forecast and measured"
    assert not moved.ctl(SOURCE, "explain", "nowhere").stdout
    assert "there is no peer 'nowhere'" in moved.ctl(SOURCE, "explain", "nowhere").stderr
    assert moved.ctl(SOURCE, "explain", "nowhere").returncode == 4


def test_the_controller_explains_the_same_route(moved: Mesh) -> None:
    said = _of_controller(moved)
    assert said["reason"]
    relay, direct = candidate(said, VIA, TARGET), candidate(said, TARGET)
    assert relay["verdict"] == "primary"
    for row, least_ms, most_ms in ((relay, 20, CALM_MS), (direct, LEAST_MS, 300)):
        assert row["reason"]
        assert least_ms <= row["forecastRttMs"] < most_ms
        assert least_ms <= row["measuredRttMs"] < most_ms


def _of_controller(mesh: Mesh) -> dict[str, Any]:
    token = mesh.place.node("cloud") / "controller/admin.token"
    where = ["--controller", "http://127.0.0.1:7480", "--token-file", str(token)]
    return mesh.document("cloud", "explain", SOURCE, TARGET, *where)
