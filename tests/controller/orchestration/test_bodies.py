"""What is sent: JSON or YAML, not too much of it, and nothing that is more than it looks."""

import asyncio
from pathlib import Path

import httpx

from tests.kubernetes.embedded import TOKEN, embedded

GROUPS = "/apis/overlayd.io/v1/namespaces/default/usergroups"


def post(folder: Path, body: bytes, media: str = "application/json") -> httpx.Response:
    async def scenario() -> httpx.Response:
        with embedded(folder) as app:
            transport = httpx.ASGITransport(app)
            headers = {"authorization": f"Bearer {TOKEN}", "content-type": media}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://ours", headers=headers
            ) as client:
                return await client.post(GROUPS, content=body)

    return asyncio.run(scenario())


def test_a_manifest_of_ten_megabytes_is_refused(tmp_path: Path) -> None:
    body = b'{"metadata":{"name":"a","annotations":{"x":"' + b"y" * 10_000_000 + b'"}}}'
    answer = post(tmp_path, body)
    assert (answer.status_code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")


def test_yaml_is_taken(tmp_path: Path) -> None:
    text = b"metadata: {name: a}\nspec:\n  ingress:\n  - node: paris\n    weight: 2\n"
    answer = post(tmp_path, text, "application/yaml")
    assert answer.status_code == 201
    assert answer.json()["spec"]["ingress"] == [{"node": "paris", "weight": 2, "lastMileMs": 0}]


def test_yaml_that_grows_is_refused(tmp_path: Path) -> None:
    text = b"a: &a [x, x]\nb: &b [*a, *a]\nmetadata: {name: a}\n"
    assert post(tmp_path, text, "application/yaml").status_code == 400


def test_what_is_no_json_is_told(tmp_path: Path) -> None:
    answer = post(tmp_path, b"{nonsense")
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
