"""Sessions of browsers: begun with the admin token, good for reading alone."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from controller.api.access import COOKIE, SESSION_S, end_of, seal
from controller.config import Config
from controller.state import METRICS_TOKEN, create_state, keep_metrics_token, open_state
from tests.controller.running import RunningController, controller

TOKEN = "5" * 64
NOW = 1_700_000_000.0


def stranger(mesh: RunningController) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=mesh.api, trust_env=False, timeout=60)


def test_a_cookie_is_good_until_it_ends_and_for_the_token_it_was_made_with() -> None:
    cookie = seal(TOKEN, int(NOW) + 10)
    assert end_of(TOKEN, cookie, NOW) == NOW + 10
    assert end_of(TOKEN, cookie, NOW + 10) is None
    assert end_of("6" * 64, cookie, NOW) is None


@pytest.mark.parametrize("forged", ["", ".", "9999999999.", "x.y", "²." + "0" * 64, "-1.0", "9" * 40 + ".0"])
def test_what_is_no_cookie_of_ours_opens_nothing(forged: str) -> None:
    assert end_of(TOKEN, forged, NOW) is None


def test_the_end_of_a_cookie_cannot_be_moved() -> None:
    _, _, mac = seal(TOKEN, int(NOW) + 10).partition(".")
    assert end_of(TOKEN, f"{int(NOW) + 99}.{mac}", NOW) is None


def test_a_session_reads_and_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, stranger(mesh) as browser:
            assert (await browser.post("/v1/session")).status_code == 401
            bearer = {"Authorization": f"Bearer {mesh.state.admin_token}"}
            begun = await browser.post("/v1/session", headers=bearer)
            assert begun.json()["network"] == "test" and "interactive" in begun.json()["classes"]
            (cookie,) = begun.headers.get_list("set-cookie")
            assert cookie.startswith(f"{COOKIE}=") and mesh.state.admin_token not in cookie
            assert {"HttpOnly", "SameSite=strict", "Path=/v1", f"Max-Age={SESSION_S}"} <= set(
                cookie.split("; ")
            )
            for path in ("/v1/nodes", "/v1/links/matrix", "/v1/events", "/v1/session"):
                assert (await browser.get(path)).status_code == 200, path
            for method, path in (
                ("POST", "/v1/session"),
                ("POST", "/v1/tokens"),
                ("PUT", "/v1/pins"),
                ("DELETE", "/v1/nodes/paris"),
                ("DELETE", "/v1/pins?src=a&dst=b"),
                ("GET", "/metrics"),
            ):
                assert (await browser.request(method, path, json={})).status_code == 401, (method, path)
            assert (await browser.delete("/v1/session")).status_code == 204
            assert (await browser.get("/v1/nodes")).status_code == 401

    asyncio.run(story())


def test_a_session_that_has_ended_is_none(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, stranger(mesh) as browser:
            over = seal(mesh.state.admin_token, int(time.time()) - 1)
            answer = await browser.get("/v1/nodes", headers={"cookie": f"{COOKIE}={over}"})
            assert (answer.status_code, answer.json()["code"]) == (401, "denied")

    asyncio.run(story())


def test_who_comes_through_tls_gets_a_cookie_for_tls_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, stranger(mesh) as browser:
            bearer = {"Authorization": f"Bearer {mesh.state.admin_token}", "X-Forwarded-Proto": "https"}
            begun = await browser.post("/v1/session", headers=bearer)
            assert "Secure" in begun.headers["set-cookie"].split("; ")

    asyncio.run(story())


def test_the_metrics_token_opens_what_prometheus_reads_and_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, stranger(mesh) as prometheus:
            token = (mesh.state.directory / METRICS_TOKEN).read_text().strip()
            assert (mesh.state.directory / METRICS_TOKEN).stat().st_mode & 0o777 == 0o600
            bearer = {"Authorization": f"Bearer {token}"}
            for path in ("/metrics", "/v1/prometheus/targets"):
                assert (await prometheus.get(path, headers=bearer)).status_code == 200, path
                assert (await prometheus.get(path)).status_code == 401, path
            for method, path in (
                ("GET", "/v1/nodes"),
                ("GET", "/v1/session"),
                ("GET", "/v1/tokens"),
                ("POST", "/v1/session"),
                ("POST", "/v1/tokens"),
                ("DELETE", "/v1/nodes/paris"),
            ):
                refused = await prometheus.request(method, path, json={}, headers=bearer)
                assert refused.status_code == 401, (method, path)

    asyncio.run(story())


def test_the_metrics_token_is_written_anew_where_it_is_missing_or_of_another_admin_token(
    tmp_path: Path,
) -> None:
    with create_state(tmp_path, "test", Config("127.0.0.1:1", ("wss://127.0.0.1:1",))) as state:
        file = tmp_path / METRICS_TOKEN
        known = file.read_text()
        file.unlink()
        keep_metrics_token(state)
        assert file.read_text() == known, "as before an upgrade"
        (tmp_path / "admin.token").write_text("5" * 64)
    with open_state(tmp_path) as state:
        keep_metrics_token(state)
        assert file.read_text() == state.metrics_token + "\n" != known
