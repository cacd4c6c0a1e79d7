"""What-if questions over HTTP."""

import asyncio
from pathlib import Path

import pytest

from tests.controller.api.test_api import client
from tests.controller.running import controller


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 200),
        ({"without_node": "nobody"}, 404),
        ({"without_link": "paris"}, 422),
        ({"without_link": "paris:paris"}, 422),
        ({"degrade": "a:b=loss:5"}, 422),
        ({"degrade": "a:b=loss:500%"}, 422),
        ({"degrade": "a:b=rtt:5%"}, 422),
    ],
)
def test_questions_are_checked(tmp_path: Path, query: dict[str, str], status: int) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            answer = await api.get("/v1/plan", params=query)
            assert answer.status_code == status
            if status == 200:
                assert answer.json()["schema"] == "overlayd.plan/1"
                assert answer.json()["consequences"] == []

    asyncio.run(story())
