"""Pods in a real Docker: networks, limits, images, probes, kills of the unit, leases, removal.

The command line of `make test-workload`. Each trial is a manifest and what has to become of it; the unit is
a process as on a host. Images and containers are removed at the end. I/O: Docker, processes, files.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overlayd.workload import keeper

IMAGE = "overlayd-test-workload:1"
PATIENCE_S = 90.0
PORT, TAKEN = 21871, 21872
SERVES = "echo hello > /w/index.html; echo serving at $PORT; exec httpd -f -h /w -p 8080"


def main() -> int:
    parser = argparse.ArgumentParser(prog="workload", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("build/workload.json"))
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("starts containers: run as root")
    make_image()
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder))
        try:
            for trial in (shared, probed, killed, cut_off, limited, missing, taken, leased, removed):
                began = time.monotonic()
                problem = _problem_of(trial, host)
                took_s = round(time.monotonic() - began, 1)
                report[trial.__name__] = {"ok": not problem, "problem": problem, "seconds": took_s}
                said = (trial.__doc__ or "").strip()
                print(f"{'ok  ' if not problem else 'FAIL'} {took_s:5.1f} s  {said} {problem}", flush=True)
        finally:
            host.clean_up()
            docker("image", "rm", "--force", IMAGE)
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0 if all(one["ok"] for one in report.values()) else 1


# Trials


def shared(host: "Host") -> None:
    """Two containers of a pod share localhost and a volume; one is reached at the host's port."""
    volume = {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}
    web = container(
        "web", SERVES, port=PORT, readinessProbe={"httpGet": {"port": 8080, "path": "/index.html"}}
    )
    side = container("side", "while :; do wget -q -O - http://127.0.0.1:8080/index.html; sleep 0.2; done")
    host.want("two", [web | volume, side | volume], volumes=[{"name": "w", "emptyDir": {}}])
    with host.unit():
        soon(lambda: host.ready("two"))
        assert fetched(PORT) == b"hello\n"
        soon(lambda: b"hello" in host.logs("two", "side"))
        assert b"serving at 8080" in host.logs("two", "web")
        assert len(host.containers("two")) == 3


def probed(host: "Host") -> None:
    """A command as liveness probe that fails starts the container anew, and its output before is kept."""
    liveness = {"exec": {"command": ["test", "!", "-e", "/sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    host.want(
        "sick", [container("main", "echo run; sleep 2; touch /sick; sleep 1000", livenessProbe=liveness)]
    )
    with host.unit():
        soon(lambda: host.shown("sick")[0]["restartCount"] >= 1)
        assert len(host.containers("sick")) == 2, "this run and the one before"
        assert "terminated" in host.shown("sick")[0]["lastState"]
    host.forget("sick")


def killed(host: "Host") -> None:
    """Containers outlive kill -9 of the unit, are found again, and are not started anew."""
    before = host.containers("two")
    assert fetched(PORT) == b"hello\n"
    with host.unit():
        soon(lambda: host.ready("two"))
        time.sleep(2)
        assert host.containers("two") == before
        assert [one["restartCount"] for one in host.shown("two")] == [0, 0]


def cut_off(host: "Host") -> None:
    """When what holds a pod's network ends, its containers are started anew together, with another."""
    with host.unit():
        soon(lambda: host.ready("two"))
        before = host.containers("two")
        docker(
            "kill",
            *docker(
                "ps",
                "--quiet",
                "--filter",
                "label=overlayd.io/pod=default/two",
                "--filter",
                "ancestor=overlayd-pod:1",
            ).split(),
        )
        soon(lambda: [one["restartCount"] for one in host.shown("two")] == [1, 1])
        soon(lambda: host.ready("two") and fetched(PORT) == b"hello\n")
        running = docker("ps", "--quiet", "--filter", "label=overlayd.io/pod=default/two").split()
        assert len(running) == 3 and not before & set(running)


def limited(host: "Host") -> None:
    """Who takes more memory than its limit is ended, and told why."""
    hog = container("main", "x=x; while :; do x=$x$x; done")
    host.want("hog", [hog | {"resources": {"limits": {"memory": "16Mi"}}}])
    with host.unit():
        soon(lambda: "OOMKilled" in json.dumps(host.shown("hog")))
    host.forget("hog")


def missing(host: "Host") -> None:
    """An image that is nowhere is told of by name, and harms no other pod."""
    host.want("noimage", [{"name": "main", "image": "overlayd-test.invalid/nosuch:1"}])
    with host.unit():
        soon(lambda: "ErrImagePull" in json.dumps(host.shown("noimage")))
        assert "nosuch" in host.shown("noimage")[0]["state"]["waiting"]["message"]
        soon(lambda: host.ready("two"))
    host.forget("noimage")


def taken(host: "Host") -> None:
    """A port that is taken is told of, and used once it is free."""
    blocker = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(TAKEN)], stderr=subprocess.DEVNULL
    )
    try:
        soon(lambda: fetched(TAKEN) is not None)
        host.want("port", [container("main", SERVES.replace("/w", "/tmp"), port=TAKEN)])
        with host.unit():
            soon(lambda: "address already in use" in json.dumps(host.shown("port")))
            blocker.kill()
            soon(lambda: fetched(TAKEN) == b"hello\n")
    finally:
        blocker.kill()
    host.forget("port")


def leased(host: "Host") -> None:
    """A container's guard ends it when its lease runs out, with nobody else there."""
    name = "overlayd-test-leased"
    docker("run", "--detach", "--name", name, IMAGE, "sleep", "1000")
    try:
        pid = int(docker("inspect", "--format", "{{.State.Pid}}", name))
        lease = host.folder / "lease"
        ends_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 4 * 10**9
        lease.write_text(str(ends_ns))
        command = [sys.executable, "-I", "-S", keeper.__file__, "--guard", str(lease), str(pid)]
        subprocess.run([*command, str(keeper.start_of(pid))], check=True, timeout=20)
        time.sleep(1)
        assert keeper.start_of(pid) is not None, "not before"
        soon(lambda: keeper.start_of(pid) is None)
        assert time.clock_gettime_ns(time.CLOCK_BOOTTIME) < ends_ns + 10**9
    finally:
        docker("rm", "--force", name)


def removed(host: "Host") -> None:
    """A pod that is not wanted any more leaves nothing: no container, no volume."""
    volumes = host.folder / "state/workload/volumes"
    assert list(volumes.glob("*/w"))
    host.forget("two")
    assert docker("ps", "--all", "--quiet", "--filter", f"volume={volumes}") == ""
    assert fetched(PORT) is None and list(volumes.iterdir()) == []


# How


class Host:
    """A host that is no member of a network: what runs is what its folder of manifests says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifests = folder / "manifests"
        self._manifests.mkdir()
        self._file = folder / "overlayd.toml"
        self._file.write_text(
            f'[node]\nstate_dir = "{folder}/state"\nruntime_dir = "{folder}/run"\n'
            '[[uplink]]\nname = "u"\naddress = "127.0.0.1"\n'
            f'[workload]\nmanifests = "{self._manifests}"\n'
        )

    @contextmanager
    def unit(self) -> Generator[None]:
        """One life, which ends with kill -9."""
        command = [sys.executable, "-m", "overlayd.cli.daemon", "workload", "--config", str(self._file)]
        (self.folder / "run/workload/pods.json").unlink(missing_ok=True)  # of the life before
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log)
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def want(self, name: str, containers: list[dict[str, Any]], **spec: Any) -> None:
        whole = {"terminationGracePeriodSeconds": 1, "containers": containers, **spec}
        text = json.dumps({"kind": "Pod", "metadata": {"name": name}, "spec": whole})
        (self._manifests / f"{name}.json").write_text(text)

    def forget(self, name: str) -> None:
        """Want it no more, and wait until it is gone."""
        with self.unit():
            soon(lambda: self._pod(name) is not None)
            (self._manifests / f"{name}.json").unlink()
            soon(lambda: self._pod(name) is None and not self.containers(name))
            time.sleep(0.5)

    def shown(self, name: str) -> list[Any]:
        found = self._pod(name)
        return (found or {"status": {}})["status"].get("containerStatuses") or [
            {"state": {}, "restartCount": -1}
        ]

    def ready(self, name: str) -> bool:
        found = self._pod(name)
        return found is not None and all(one.get("ready") for one in self.shown(name))

    def containers(self, name: str) -> set[str]:
        """Ids of a pod's containers."""
        return set(
            docker("ps", "--all", "--quiet", "--filter", f"label=overlayd.io/pod=default/{name}").split()
        )

    def logs(self, name: str, container: str) -> bytes:
        filters = ("--filter", f"label=overlayd.io/pod=default/{name}")
        (id,) = docker(
            "ps", "--quiet", *filters, "--filter", f"label=overlayd.io/container={container}"
        ).split()
        return subprocess.run(["docker", "logs", id], capture_output=True, check=True).stdout

    def clean_up(self) -> None:
        for file in self._manifests.iterdir():
            for id in self.containers(file.stem):
                docker("rm", "--force", id)

    def _pod(self, name: str) -> Any:
        try:
            pods = json.loads((self.folder / "run/workload/pods.json").read_bytes())
        except FileNotFoundError:
            return None
        return next((one for one in pods if one["name"] == name), None)


def container(name: str, script: str, port: int = 0, **more: Any) -> dict[str, Any]:
    ports = [{"containerPort": 8080, "hostPort": port}] if port else []
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], "ports": ports, **more}


def make_image() -> None:
    """An image of a static busybox alone."""
    busybox = Path(shutil.which("busybox") or "/bin/busybox")
    with tempfile.TemporaryDirectory() as folder:
        programs = Path(folder, "bin")
        programs.mkdir()
        Path(folder, "tmp").mkdir()
        (programs / "busybox").write_bytes(busybox.read_bytes())
        (programs / "busybox").chmod(0o755)
        for name in ("sh", "sleep", "httpd", "wget", "echo", "test", "touch", "cat"):
            (programs / name).symlink_to("busybox")
        packed = subprocess.run(["tar", "-C", folder, "-c", "."], capture_output=True, check=True).stdout
    subprocess.run(["docker", "import", "-", IMAGE], input=packed, capture_output=True, check=True)


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False).stdout.strip()


def fetched(port: int) -> bytes | None:
    command = ["curl", "--silent", "--max-time", "2", f"http://127.0.0.1:{port}/index.html"]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def soon(what: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < until, f"it has not come within {PATIENCE_S:.0f} s"
        time.sleep(0.1)


def _problem_of(trial: Callable[[Host], None], host: Host) -> str:
    try:
        trial(host)
    except (AssertionError, subprocess.SubprocessError, ValueError) as error:
        line = (
            error.__traceback__.tb_next.tb_lineno
            if error.__traceback__ and error.__traceback__.tb_next
            else 0
        )
        return f"line {line}: {error or 'not so'}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
