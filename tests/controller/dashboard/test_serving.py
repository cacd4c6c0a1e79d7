"""The dashboard's files as browsers get them: packed, with a strict policy, and only what was built."""

import asyncio
import gzip
from pathlib import Path
from typing import cast

import httpx
import pytest

from controller.api.app import create_app
from controller.dashboard.serving import GUARDS
from controller.server.service import Service


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "built"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><script src=/assets/a-1.js></script>")
    (folder / "assets" / "a-1.js").write_text("console.log(1)\n" * 100)
    (folder / "assets" / "a-1.js.map").write_text("{}")
    (tmp_path / "secret.js").write_text("not yours")
    return folder


def ask(folder: Path, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    async def story() -> httpx.Response:
        app = create_app(cast("Service", None), folder)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.request(method, path, headers={"accept-encoding": "identity"} | headers)

    return asyncio.run(story())


def test_every_file_comes_with_a_policy_that_allows_nothing_inline_and_nothing_from_elsewhere(
    built: Path,
) -> None:
    for path in ("/", "/assets/a-1.js"):
        answer = ask(built, path)
        assert answer.status_code == 200
        assert {name: answer.headers[name] for name in GUARDS} == GUARDS
        directives = dict(
            part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; ")
        )
        assert directives["default-src"] == "'none'" and directives["frame-ancestors"] == "'none'"
        assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == "'self'"
        assert not [text for text in directives.values() if "unsafe" in text or "http" in text or "*" in text]


def test_files_are_packed_for_who_can_unpack_them_and_named_files_may_be_kept(built: Path) -> None:
    plain = ask(built, "/assets/a-1.js")
    packed = ask(built, "/assets/a-1.js", **{"accept-encoding": "gzip, br"})
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert packed.headers["content-encoding"] == "gzip" and packed.content == plain.content
    assert int(packed.headers["content-length"]) == len(gzip.compress(plain.content, 9, mtime=0))
    assert "immutable" in plain.headers["cache-control"]
    page = ask(built, "/")
    assert page.headers["cache-control"] == "no-cache"
    again = ask(built, "/", **{"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/secret.js", "/../secret.js", "/assets/..%2f..%2fsecret.js", "/assets/a-1.js.map"]
)
def test_only_what_was_built_for_browsers_is_served(built: Path, path: str) -> None:
    assert ask(built, path).status_code == 404


def test_without_built_files_the_page_says_how_to_get_them(tmp_path: Path) -> None:
    answer = ask(tmp_path / "nothing", "/")
    assert answer.status_code == 404 and "make dashboard" in answer.text
    assert answer.headers["content-type"].startswith("text/plain")


def test_nothing_but_reading_is_answered(built: Path) -> None:
    assert ask(built, "/", "HEAD").status_code == 200
    assert ask(built, "/", "POST").status_code == 405
