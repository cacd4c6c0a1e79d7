"""``overlayctl`` on a controller that serves applications, as it really does: what it prints, how it ends."""

import asyncio
import io
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from controller.orchestration.serving.controlling import Controlling
from controller.orchestration.serving.kubeconfig import kubeconfig
from overlayd.cli import ctl
from tests.controller.orchestration.a_node import Node, node
from tests.controller.orchestration.pods import World, until, world
from tests.controller.orchestration.test_server import new_state
from tests.packaging.json_schema import violations
from tools import schemas

APP = """\
apiVersion: overlayd.io/v1
kind: App
metadata: {name: qc, labels: {tier: web}}
spec:
  source: {image: "qc:v3"}
  replicas: {min: 2, max: 4}
"""
_T = TypeVar("_T")


class Site:
    """A controller in a thread of its own, with a node that has joined."""

    def __init__(self, folder: Path, here: World, it: Node, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self.here = here
        self.node = it
        self._loop = loop
        state = here.running.service.state
        self.config = folder / "kubeconfig"
        self.config.write_text(kubeconfig(state, f"127.0.0.1:{here.port}"))
        self.token = state.directory / "admin.token"

    def run(self, *words: str) -> int:
        return ctl.main([*words, "--kubeconfig", str(self.config)])

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Run it as a process, whose output is read as it comes."""
        command = [sys.executable, "-m", "overlayd.cli.ctl", *words, "--kubeconfig", str(self.config)]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    async def is_connected(self) -> None:
        await until(lambda: self.here.nodes.presence.session("paris"))

    async def lose_the_node(self) -> None:
        """Its channel breaks off, and opens again."""
        session = self.here.nodes.presence.session("paris")
        assert session is not None
        session.close(1001, "for a moment")
        await until(lambda: self.here.nodes.presence.session("paris") is not session)

    def file(self, text: str) -> str:
        path = self.folder / "objects.yaml"
        path.write_text(text)
        return str(path)

    def patch_status(self, app: str, status: dict[str, Any]) -> None:
        path = f"/apis/overlayd.io/v1/namespaces/default/apps/{app}/status"
        headers = {"content-type": "application/merge-patch+json"}
        answer = self.do(self.here.admin.patch(path, json={"status": status}, headers=headers))
        assert answer.status_code == 200, answer.text

    def app(self, name: str = "qc") -> dict[str, Any]:
        return self.do(self.here.admin.get(f"/apis/overlayd.io/v1/namespaces/default/apps/{name}")).json()


@asynccontextmanager
async def _site(folder: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(world(folder))
        await here.join("paris")
        it = await stack.enter_async_context(node(here, "paris"))
        yield Site(folder, here, it, asyncio.get_running_loop())


async def _stand_still(_: Controlling) -> None:
    """The control loops do nothing: a test says itself how it stands with an app."""
    await asyncio.Event().wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    ready: list[Site] = []
    started, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Controlling, "run", _stand_still)
            async with _site(tmp_path_factory.mktemp("apps")) as site:
                ready.append(site)
                started.set()
                await over.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(120)
    yield ready[0]
    loop.call_soon_threadsafe(over.set)
    thread.join(120)
    loop.close()


@pytest.fixture
def site(served: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("KUBECONFIG", "OVERLAYD_SERVER", "OVERLAYD_ADMIN_TOKEN_FILE", "OVERLAYD_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    served.do(served.is_connected())
    yield served
    for path in ("/apis/overlayd.io/v1/namespaces/default/apps", "/api/v1/namespaces/default/events"):
        served.do(served.here.admin.delete(path))
    pods = "/api/v1/namespaces/default/pods"
    for pod in served.do(served.here.admin.get(pods)).json()["items"]:
        gone = {"metadata": {"finalizers": None}}
        headers = {"content-type": "application/merge-patch+json"}
        name = pod["metadata"]["name"]
        served.do(served.here.admin.patch(f"{pods}/{name}", json=gone, headers=headers))
        served.do(served.here.admin.delete(f"{pods}/{name}"))


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    """What was said, which is as its published schema says."""
    document = json.loads(capsys.readouterr().out)
    schema = json.loads((schemas.FOLDER / schemas.file_of(document["schema"])).read_text("utf-8"))
    assert violations(document, schema, strict=True) == []
    return document


def test_an_app_is_applied_shown_and_deleted(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    file = site.file(APP)
    assert site.run("apply", "-f", file, "--dry-run") == 0
    assert capsys.readouterr().out == "app/qc created (dry run)\n  placement: nowhere: there is no node\n"
    assert site.run("get", "apps") == 0
    assert capsys.readouterr().err == "no apps in namespace default\n"
    assert site.run("apply", "-f", file) == 0
    assert site.run("apply", "-f", file) == 0
    assert site.run("apply", "-f", site.file(APP.replace("min: 2", "min: 3"))) == 0
    assert capsys.readouterr().out == "app/qc created\napp/qc unchanged\napp/qc configured\n"
    assert site.run("get", "app", "qc") == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["NAME", "WANTED"] and row.split()[:2] == ["qc", "3"] and "IMAGE" not in head
    assert site.run("get", "apps", "-o", "wide", "-A") == 0
    assert "NAMESPACE" in (wide := capsys.readouterr().out) and "qc:v3" in wide
    assert site.run("get", "apps", "-l", "tier=web", "-o", "json") == 0
    document = answer(capsys)
    assert document["schema"] == "overlayd.objects/1" and document["items"][0]["spec"]["replicas"]["min"] == 3
    assert site.run("get", "apps", "-l", "tier!=web", "-o", "json") == 0
    assert answer(capsys)["items"] == []
    assert site.run("get", "app", "qc", "-o", "yaml") == 0
    assert "kind: App" in capsys.readouterr().out
    assert site.run("delete", "-f", file) == 0
    assert capsys.readouterr().out == "app/qc deleted\n"


def test_what_was_applied_is_told_to_programs(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.run("apply", "-f", site.file(APP), "-o", "json") == 0
    document = answer(capsys)
    (item,) = document["items"]
    assert document["schema"] == "overlayd.applied/1" and document["dryRun"] is False
    assert (item["kind"], item["namespace"], item["name"], item["result"]) == (
        "App",
        "default",
        "qc",
        "created",
    )
    assert item["object"]["metadata"]["managedFields"][0]["manager"] == "overlayctl"
    assert site.run("delete", "app", "qc", "-o", "json") == 0
    assert answer(capsys)["items"] == [{"kind": "App", "namespace": "default", "name": "qc", "gone": True}]


def test_several_objects_of_a_file_and_of_stdin_are_applied(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = json.dumps(
        {"apiVersion": "overlayd.io/v1", "kind": "UserGroup", "metadata": {"name": "here"}, "spec": {}}
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(other))
    assert site.run("apply", "-f", site.file(f"---\n{APP}---\n{APP.replace('qc,', 'qd,')}"), "-f", "-") == 0
    assert capsys.readouterr().out == "app/qc created\napp/qd created\nusergroup/here created\n"
    assert site.run("delete", "ug", "here") == 0


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("- 1", 2, "no object"),
        ("{", 2, "neither JSON nor YAML"),
        ("", 2, "holds no object"),
        (
            "kind: App\napiVersion: overlayd.io/v2\nmetadata: {name: a}",
            2,
            "no kind 'App' in version 'overlayd.io/v2'",
        ),
        ("kind: App\napiVersion: overlayd.io/v1", 2, "no metadata.name"),
        (APP.replace("min: 2", "most: 2"), 2, "unknown field"),
        (APP.replace("min: 2", "min: -2"), 2, "spec.replicas.min"),
        (APP.replace("name: qc", "name: qc, namespace: nowhere"), 4, 'namespaces "nowhere" not found'),
    ],
)
def test_what_cannot_be_applied_is_told(
    site: Site, capsys: pytest.CaptureFixture[str], text: str, code: int, said: str
) -> None:
    assert site.run("apply", "-f", site.file(text)) == code
    told = capsys.readouterr()
    assert said in told.err and told.out == ""


def test_fields_of_others_are_a_conflict_unless_taken_over(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.run("apply", "-f", site.file(APP)) == 0
    path = "/apis/overlayd.io/v1/namespaces/default/apps/qc?fieldManager=other"
    headers = {"content-type": "application/merge-patch+json"}
    changed = {"spec": {"replicas": {"min": 1}}}
    assert site.do(site.here.admin.patch(path, json=changed, headers=headers)).status_code == 200
    assert site.run("apply", "-f", site.file(APP)) == 7
    assert "conflict" in capsys.readouterr().err
    assert site.run("apply", "-f", site.file(APP), "--force") == 0
    assert site.app()["spec"]["replicas"]["min"] == 2


def test_how_a_question_fails_shows_in_the_exit_code(
    site: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url = site.here.url
    assert site.run("get", "app", "none") == 4
    assert site.run("get", "nonsense") == 2
    assert "there are approutes, apps, events, " in capsys.readouterr().err
    assert ctl.main(["get", "apps", "--server", "https://127.0.0.1:1", "--token-file", str(site.token)]) == 3
    wrong = tmp_path / "token"
    wrong.write_text("nobody")
    ca = str(site.token.parent / "ca" / "root.pem")
    assert ctl.main(["get", "apps", "--server", url, "--token-file", str(wrong), "--ca-file", ca]) == 5
    assert ctl.main(["get", "apps", "--server", url, "--token-file", str(tmp_path / "absent")]) == 2
    assert ctl.main(["get", "apps", "--server", "http://x", "--token-file", str(site.token)]) == 2
    with new_state(tmp_path / "other") as other:
        foreign = str(other.directory / "ca" / "root.pem")
        said = ["get", "apps", "--server", url, "--token-file", str(site.token), "--ca-file", foreign]
        assert ctl.main(said) == 5
    assert "certificate of this network's" in capsys.readouterr().err


def test_the_token_of_the_controllers_own_directory_is_enough(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ctl.main(["get", "ns", "--server", site.here.url, "--token-file", str(site.token)]) == 0
    assert "default" in capsys.readouterr().out
    monkeypatch.setenv("OVERLAYD_SERVER", site.here.url)
    monkeypatch.setenv("OVERLAYD_ADMIN_TOKEN_FILE", str(site.token))
    assert ctl.main(["get", "ns", "default"]) == 0
    monkeypatch.setenv("KUBECONFIG", str(site.config))
    monkeypatch.setenv("OVERLAYD_SERVER", "https://127.0.0.1:1")
    assert ctl.main(["get", "ns", "default"]) == 0


def test_an_object_is_described_with_its_events(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.run("apply", "-f", site.file(APP)) == 0
    condition = {"type": "Placed", "status": "False", "reason": "NoRoom", "message": "no node has 2 GPUs",
                 "lastTransitionTime": "2026-05-04T12:00:00Z"}  # fmt: skip
    site.patch_status("qc", {"conditions": [condition]})
    about = {"kind": "App", "name": "qc", "namespace": "default", "uid": site.app()["metadata"]["uid"]}
    event = {
        "metadata": {"generateName": "qc."},
        "involvedObject": about,
        "type": "Warning",
        "reason": "NoRoom",
        "message": "nowhere to go",
        "lastTimestamp": "2026-05-04T12:00:01Z",
    }
    made = site.do(site.here.admin.post("/api/v1/namespaces/default/events", json=event))
    assert made.status_code == 201, made.text
    capsys.readouterr()
    assert site.run("describe", "app", "qc") == 0
    text = capsys.readouterr().out
    for said in ("App qc in default", "image: qc:v3", "no node has 2 GPUs", "nowhere to go", "tier: web"):
        assert said in text
    assert "managedFields" not in text
    assert site.run("describe", "app", "qc", "--json") == 0
    document = answer(capsys)
    assert document["schema"] == "overlayd.description/1" and document["events"][0]["reason"] == "NoRoom"


def test_an_object_that_is_held_is_waited_for(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.do(site.here.make_pod("web", "paris"))
    assert site.run("delete", "pod", "web", "--timeout", "1s") == 124
    assert "held by overlayd.io/workload" in capsys.readouterr().err
    assert site.run("delete", "pod", "web", "--no-wait") == 0
    assert capsys.readouterr().out == "pod/web is being deleted\n"
    assert site.run("delete") == 2


def test_logs_of_a_pod_and_of_an_app_are_read(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    label = {"labels": {"overlayd.io/app": "qc"}}
    site.node.logs["main"] = [b"one\ntw", b"o\n"]
    site.do(site.here.make_pod("qc-a", "paris", **label))
    site.do(site.here.make_pod("qc-b", "paris", **label))
    assert site.run("logs", "qc-a", "--tail", "5", "--since", "90s", "--timestamps", "--previous") == 0
    assert capsys.readouterr().out == "one\ntwo\n"
    asked = site.node.asked[-1]
    assert (asked.tail_lines, asked.since_seconds, asked.timestamps, asked.previous) == (5, 90, True, True)
    assert site.run("logs", "app/qc") == 0
    assert capsys.readouterr().out == "qc-a  one\nqc-a  two\nqc-b  one\nqc-b  two\n"
    assert site.node.asked[-1].tail_lines == 10
    assert site.run("logs", "qc-a", "-o", "jsonl") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == {"pod": "qc-a", "line": "two", "schema": "overlayd.log/1"}
    assert site.run("logs", "qc-a", "--json") == 0
    assert [one["line"] for one in answer(capsys)["items"]] == ["one", "two"]
    assert site.run("logs", "none") == 4
    assert site.run("logs", "app/none") == 4
    assert site.run("logs", "qc-a", "-c", "x") == 2
    site.do(site.here.make_pod("far", "oslo"))
    capsys.readouterr()
    assert site.run("logs", "far") == 3
    assert 'node "oslo" is not connected' in capsys.readouterr().err


def test_logs_of_several_pods_are_followed_at_once(site: Site) -> None:
    label = {"labels": {"overlayd.io/app": "qc"}}
    site.node.logs["main"] = [b"one\n"]
    for name in ("qc-a", "qc-b"):
        site.do(site.here.make_pod(name, "paris", **label))
    with site.start("logs", "app/qc", "--follow") as process:
        assert process.stdout is not None
        first = {process.stdout.readline() for _ in range(2)}
        assert first == {b"qc-a  one\n", b"qc-b  one\n"}
        site.do(site.lose_the_node())
        rest = process.stdout.read().splitlines()
        assert sum(b"breaks off" in line for line in rest) == 2
    assert process.returncode == 0


def test_a_rollout_is_watched_paused_undone_and_restarted(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.run("apply", "-f", site.file(APP)) == 0
    past = [
        {
            "revision": revision,
            "number": number,
            "time": "2026-05-04T12:00:00Z",
            "image": "qc",
            "template": "{}",
        }
        for number, revision in ((2, "bbb"), (1, "aaa"))
    ]
    rollout = {"revision": "bbb", "phase": "Progressing", "weight": 10}
    site.patch_status("qc", {"observedGeneration": 1, "rollout": rollout, "history": past, "replicas": 3,
                             "updatedReplicas": 1, "readyReplicas": 2})  # fmt: skip
    capsys.readouterr()
    assert site.run("rollout", "status", "qc", "--no-wait") == 0
    assert capsys.readouterr().out == "progressing (1 of 3 are new, 2 serve, 10 % of the users)\n"
    assert site.run("rollout", "status", "qc", "--timeout", "1s") == 124
    site.patch_status("qc", {"rollout": {"phase": "Failed", "message": "it was started 3 times again"}})
    capsys.readouterr()
    assert site.run("rollout", "status", "qc") == 6
    assert "it was started 3 times again" in capsys.readouterr().out
    site.patch_status("qc", {"rollout": {"phase": "Done", "weight": 100, "message": ""}})
    assert site.run("rollout", "status", "qc", "--json") == 0
    (item,) = answer(capsys)["items"]
    assert (item["phase"], item["revision"], item["readyReplicas"]) == ("Done", "bbb", 2)
    assert site.run("rollout", "history", "qc") == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["2", "bbb"],
        ["1", "aaa"],
    ]
    assert site.run("rollout", "undo", "qc") == 0
    assert site.app()["metadata"]["annotations"]["overlayd.io/rollback-to"] == "aaa"
    assert site.run("rollout", "undo", "qc", "--to", "2") == 0
    assert site.app()["metadata"]["annotations"]["overlayd.io/rollback-to"] == "bbb"
    assert site.run("rollout", "undo", "qc", "--to", "ccc") == 4
    assert site.run("rollout", "pause", "qc") == 0
    assert site.app()["spec"]["paused"] is True
    assert site.run("rollout", "resume", "qc") == 0
    assert site.app()["spec"].get("paused") is False
    assert site.run("rollout", "restart", "qc") == 0
    (variable,) = site.app()["spec"]["env"]
    assert variable["name"] == "OVERLAYD_RESTARTED_AT"
    assert site.run("apply", "-f", site.file(APP)) == 0
    assert site.app()["spec"]["env"] == [variable]
    assert site.run("rollout", "pause", "none") == 4


def test_every_command_answers_as_its_schema_says(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.node.logs["main"] = [b"one\n"]
    site.do(site.here.make_pod("qc-a", "paris", labels={"overlayd.io/app": "qc"}))
    file = site.file(APP)
    assert site.run("apply", "-f", file) == 0
    one = {"revision": "aaa", "number": 1, "time": "2026-05-04T12:00:00Z", "image": "qc", "template": "{}"}
    two = {**one, "revision": "bbb", "number": 2}
    rollout = {"revision": "bbb", "phase": "Done", "weight": 100}
    site.patch_status("qc", {"observedGeneration": 1, "rollout": rollout, "history": [two, one]})
    capsys.readouterr()
    said = {
        f"apply -f {file}": "applied",
        "get app qc": "objects",
        "describe app qc": "description",
        "logs qc-a": "log",
        "rollout status qc --no-wait": "rollout",
        "rollout history qc": "rollout-history",
        "rollout undo qc": "rollout-change",
        "rollout pause qc": "rollout-change",
        "rollout resume qc": "rollout-change",
        "rollout restart qc": "rollout-change",
        "delete app qc --no-wait": "",
    }
    for words, schema in said.items():
        assert site.run(*words.split(), "--json") == 0, words
        document = answer(capsys)
        if schema:
            assert document["schema"] == f"overlayd.{schema}/1", words


def test_changes_are_watched(site: Site) -> None:
    assert site.run("apply", "-f", site.file(APP)) == 0
    with site.start("get", "app", "qc", "--watch") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert (first["schema"], first["type"]) == ("overlayd.object-change/1", "ADDED")
        site.patch_status("qc", {"replicas": 7})
        assert json.loads(process.stdout.readline())["object"]["status"]["replicas"] == 7
        process.terminate()
