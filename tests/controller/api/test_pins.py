"""Pins over HTTP, and over a restart."""

import asyncio
from pathlib import Path

import pytest

from tests.controller.api.test_api import client
from tests.controller.running import controller


def test_a_pin_is_set_listed_kept_over_a_restart_and_let_go(tmp_path: Path) -> None:
    async def story() -> None:
        wanted = {"source": "paris", "destination": "rome", "via": ["oslo"], "class": "bulk"}
        async with controller(tmp_path) as mesh, client(mesh) as api:
            for name in ("paris", "rome"):
                await mesh.join(name)
            await mesh.join("oslo", relay=True)
            answer = await api.put("/v1/pins", json=wanted)
            assert answer.status_code == 200
            (item,) = answer.json()["items"]
            assert item["via"] == ["oslo"] and item["class"] == "bulk" and item["inForce"] is False
            await api.put("/v1/pins", json={"source": "rome", "destination": "paris"})
        async with controller(tmp_path) as mesh, client(mesh) as api:
            items = (await api.get("/v1/pins")).json()["items"]
            assert [(i["source"], i["class"], i["via"]) for i in items] == [
                ("paris", "bulk", ["oslo"]),
                ("rome", None, []),
            ]
            gone = await api.delete("/v1/pins", params={"src": "rome", "dst": "paris"})
            assert gone.json()["pins"] == 1
            again = await api.delete("/v1/pins", params={"src": "rome", "dst": "paris"})
            assert again.status_code == 404
            await api.delete("/v1/nodes/oslo")
            assert (await api.get("/v1/pins")).json()["items"] == [], "its relay is gone"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("wanted", "status", "said"),
    [
        ({"destination": "berlin"}, 404, "no node named 'berlin'"),
        ({"via": ["nobody"]}, 404, "no node named 'nobody'"),
        ({"class": "golden"}, 404, "there is no class 'golden'"),
        ({"via": ["rome"]}, 422, "a path passes each node once"),
        ({"destination": "paris"}, 422, "a path passes each node once"),
        ({"via": ["edge"]}, 422, "edge is no relay: it would need a token with --relay"),
        ({"via": ["oslo", "edge", "paris"]}, 422, "at most 2 relays, not 3"),
    ],
)
def test_a_path_that_cannot_be_is_refused(
    tmp_path: Path, wanted: dict[str, object], status: int, said: str
) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            for name in ("paris", "rome", "edge"):
                await mesh.join(name)
            await mesh.join("oslo", relay=True)
            body: dict[str, object] = {"source": "paris", "destination": "rome", "via": [], **wanted}
            answer = await api.put("/v1/pins", json=body)
            assert answer.status_code == status
            assert said in answer.json()["problem"]
            assert (await api.get("/v1/pins")).json()["items"] == []

    asyncio.run(story())
