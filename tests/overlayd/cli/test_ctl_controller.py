"""`overlayctl --controller` against a scripted HTTP API: what is sent, what is shown, what its refusals
become.
"""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from overlayd.cli import ctl

NODE = {
    "apiVersion": "overlayd.io/v1",
    "kind": "Node",
    "metadata": {"name": "paris"},
    "spec": {"id": 1, "addresses": ["100.64.0.1"], "relay": True},
    "status": {
        "conditions": [{"type": "Connected", "status": "True"}],
        "uplinks": [{"name": "isp1", "endpoint": None}],
        "announced": [],
        "lastSeen": "2024-01-01T00:00:00Z",
    },
}
LINK = {
    "source": "paris",
    "destination": "rome",
    "known": True,
    "confirmed": True,
    "down": False,
    "measuredRttMs": 12.0,
    "measuredLossRatio": 0.08,
    "forecastRttQ80Ms": 13.0,
    "forecastLossRatio": 0.09,
}
ROUTE = {
    "source": "paris",
    "destination": "berlin",
    "class": "interactive",
    "paths": [["rome", "berlin"], ["berlin"]],
    "reason": "32 ms",
    "decider": "controller",
    "decidedAt": "2024-01-01T00:00:00Z",
}
EXPLANATION = {
    "schema": "overlayd.explanation/1",
    "source": "paris",
    "destination": "berlin",
    "class": "interactive",
    "objective": "latency",
    "reason": "32 ms",
    "decider": "controller",
    "decidedAt": "2024-01-01T00:00:00Z",
    "candidates": [
        {
            "path": ["rome", "berlin"],
            "verdict": "primary",
            "reason": "least",
            "cost": 34.0,
            "forecastRttMs": 32.0,
            "measuredRttMs": 31.0,
            "forecastLossRatio": 0.0,
            "measuredLossRatio": 0.0,
            "endToEnd": {"rttMs": 30.5, "lossRatio": 0.0, "active": True, "ageSeconds": 1.0},
        },
        {
            "path": ["berlin"],
            "verdict": "rejected",
            "reason": "8 % loss",
            "cost": None,
            "forecastRttMs": 120.0,
            "measuredRttMs": 118.0,
            "forecastLossRatio": 0.08,
            "measuredLossRatio": 0.081,
            "endToEnd": None,
        },
    ],
    "history": [
        {
            "at": "2024-01-01T00:00:00Z",
            "decider": "agent",
            "before": ["berlin"],
            "after": ["rome", "berlin"],
            "reason": "RTT 110.0 ms",
        },
    ],
}
ANSWERS: dict[str, Any] = {
    "/v1/nodes": {"schema": "overlayd.nodes/1", "items": [NODE]},
    "/v1/links": {"schema": "overlayd.links/1", "items": [LINK]},
    "/v1/routes": {"schema": "overlayd.routes/1", "items": [ROUTE]},
    "/v1/tokens": {"schema": "overlayd.tokens/1", "items": []},
    "/v1/explain": EXPLANATION,
    "/v1/links/matrix": {
        "schema": "overlayd.link-matrix/1",
        "metric": "rtt",
        "at": "2024-01-01T00:00:00Z",
        "spanSeconds": 15.0,
        "nodes": ["paris", "rome"],
        "values": [[None, 12.1], [12.1, None]],
    },
    "/v1/pins": {
        "schema": "overlayd.pins/1",
        "items": [
            {
                "source": "paris",
                "destination": "berlin",
                "class": None,
                "via": ["oslo", "rome"],
                "setAt": "2024-01-01T00:00:00Z",
                "inForce": True,
            }
        ],
    },
    "/v1/routes/history": {
        "schema": "overlayd.route-history/1",
        "source": "paris",
        "destination": "berlin",
        "items": [{**EXPLANATION["history"][0], "class": "interactive"}],
    },
}


class Api(http.server.ThreadingHTTPServer):
    """Answers from `ANSWERS` to whoever has the token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self._answer(None)

    def do_DELETE(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def do_PUT(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, body: Any) -> None:
        self.server.asked.append((self.command, self.path, body))
        path = self.path.partition("?")[0]
        if self.headers.get("Authorization") != "Bearer secret":
            self._send(401, {"code": "denied", "problem": "the admin token is needed"})
        elif self.command == "POST" and body["name"] == "taken":
            self._send(409, {"code": "name-taken", "problem": "a node named 'taken' exists"})
        elif self.command == "POST":
            self._send(
                201, {"schema": "overlayd.token/1", "token": "ovl1_new", "name": body["name"], "expires": "…"}
            )
        elif self.command == "DELETE":
            self._send(200, {"schema": "overlayd.unpinned/1", "pins": 1})
        elif path in ANSWERS:
            self._send(200, ANSWERS[path])
        else:
            self._send(404, {"code": "not-found", "problem": "no such thing"})

    def _send(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def api() -> Iterator[Api]:
    served = Api()
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join(timeout=60)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "admin.token"
    file.write_text("secret\n")
    return file


def run(api: Api, token: Path, *words: str) -> int:
    return ctl.main([*words, "--controller", api.url, "--token-file", str(token)])


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("node list", ["paris", "connected", "behind a NAT"]),
        ("link list", ["paris → rome", "up", "12.0 ms", "8.0 %"]),
        ("route list", ["paris → berlin", "via rome", "direct", "32 ms"]),
        ("link matrix", ["paris", "rome", "12.1", "ms, from row to column, at 2024"]),
        ("route history paris berlin", ["interactive", "direct → via rome", "agent", "RTT 110.0 ms"]),
        ("explain paris berlin", ["via rome", "30.5 ms", "8 % loss", "by the agent: RTT 110.0 ms"]),
    ],
)
def test_what_the_controller_knows_is_shown(
    api: Api, token: Path, capsys: pytest.CaptureFixture[str], words: str, shown: list[str]
) -> None:
    assert run(api, token, *words.split()) == 0
    output = capsys.readouterr().out
    assert [text for text in shown if text not in output] == []


def test_json_is_the_controllers_own_document(
    api: Api, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(api, token, "node", "list", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == ANSWERS["/v1/nodes"]
    assert run(api, token, "link", "matrix", "--json") == 0
    assert json.loads(capsys.readouterr().out) == ANSWERS["/v1/links/matrix"]


def test_questions_carry_their_parameters(api: Api, token: Path) -> None:
    run(api, token, "explain", "paris", "berlin", "--class", "realtime")
    run(api, token, "explain", "paris", "berlin", "--at", "2024-01-01T00:00:00Z")
    run(api, token, "route", "list", "--source", "paris")
    run(api, token, "link", "matrix", "--metric", "loss", "--at", "2024-01-01T00:00:00Z")
    run(api, token, "route", "history", "paris", "berlin", "--class", "bulk", "--limit", "5")
    assert [path for _, path, _ in api.asked] == [
        "/v1/explain?src=paris&dst=berlin&class=realtime",
        "/v1/explain?src=paris&dst=berlin&at=2024-01-01T00%3A00%3A00Z",
        "/v1/routes?src=paris",
        "/v1/links/matrix?metric=loss&at=2024-01-01T00%3A00%3A00Z",
        "/v1/routes/history?src=paris&dst=berlin&limit=5&class=bulk",
    ]


def test_a_moment_is_also_told_by_how_long_ago_it_is(api: Api, token: Path) -> None:
    before = time.time()
    run(api, token, "link", "matrix", "--at", "2h")
    asked = float(parse_qs(urlsplit(api.asked[0][1]).query)["at"][0])
    assert before - 7200 - 1 < asked < time.time() - 7200 + 1


def test_a_matrix_as_lines_leaves_out_what_is_not_known(
    api: Api, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(api, token, "link", "matrix", "-o", "jsonl") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["source"], line["destination"], line["rtt"]) for line in lines] == [
        ("paris", "rome", 12.1),
        ("rome", "paris", 12.1),
    ]


def test_a_new_token_stands_alone_on_stdout(
    api: Api, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(api, token, "token", "create", "--name", "oslo", "--relay", "--prefix", "10.1.0.0/16") == 0
    assert capsys.readouterr().out == "ovl1_new\n"
    wanted = {"name": "oslo", "relay": True, "prefixes": ["10.1.0.0/16"], "ttlSeconds": 900}
    assert api.asked == [("POST", "/v1/tokens", wanted)]


def test_the_life_of_a_token_is_a_time_with_a_unit(api: Api, token: Path) -> None:
    assert run(api, token, "token", "create", "--name", "oslo", "--ttl", "90s") == 0
    assert api.asked[0][2]["ttlSeconds"] == 90
    for wrong in ("900", "15min"):
        with pytest.raises(SystemExit) as error:
            run(api, token, "token", "create", "--name", "oslo", "--ttl", wrong)
        assert error.value.code == 2


def test_refusals_become_exit_codes(api: Api, token: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(api, token, "token", "create", "--name", "taken") == 7
    assert ctl.main(["node", "list", "--controller", api.url]) == 5
    assert "--token-file" in capsys.readouterr().err
    assert ctl.main(["token", "list"]) == 2
    assert ctl.main(["node", "list", "--controller", "http://127.0.0.1:1"]) == 3


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://127.0.0.1:port", "http://[::1"])
def test_what_is_no_url_is_a_usage_error(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert ctl.main(["node", "list", "--controller", url]) == 2
    assert "is not of the form" in capsys.readouterr().err


def test_a_missing_token_file_is_named_once(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["token", "list", "--controller", api.url, "--token-file", "/nowhere/admin.token"]
    assert ctl.main(words) == 2
    assert capsys.readouterr().err == "overlayctl: /nowhere/admin.token: No such file or directory\n"


def test_the_admin_token_is_not_sent_to_another_host_in_the_clear(token: Path) -> None:
    for url in ("http://192.0.2.1:7480", "http://example.org", "https://127.0.0.1", "nonsense"):
        assert ctl.main(["node", "list", "--controller", url, "--token-file", str(token)]) == 2


def test_a_pin_tells_the_controller_relays_in_order(
    api: Api, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(api, token, "route", "pin", "paris", "berlin", "--via", "oslo,rome", "--class", "bulk") == 0
    assert "via oslo, rome" in capsys.readouterr().out
    assert run(api, token, "route", "pin", "paris", "berlin", "--direct") == 0
    assert run(api, token, "route", "unpin", "paris", "berlin") == 0
    assert capsys.readouterr().out.endswith("1 let go\n")
    assert run(api, token, "route", "pins", "-o", "json") == 0
    assert api.asked == [
        (
            "PUT",
            "/v1/pins",
            {"source": "paris", "destination": "berlin", "via": ["oslo", "rome"], "class": "bulk"},
        ),
        ("PUT", "/v1/pins", {"source": "paris", "destination": "berlin", "via": []}),
        ("DELETE", "/v1/pins?src=paris&dst=berlin", None),
        ("GET", "/v1/pins", None),
    ]


@pytest.mark.parametrize("words", [(), ("--via", "oslo", "--direct")])
def test_a_pin_says_which_path(api: Api, token: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as refused:
        run(api, token, "route", "pin", "paris", "berlin", *words)
    assert refused.value.code == 2
    assert api.asked == []
