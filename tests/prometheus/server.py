"""A real Prometheus in a namespace: set up by the words of docs/guides/monitoring.md, asked by HTTP. I/O."""

import http.client
import json
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from sim.lab import netns, process
from tests.prometheus.pages import ROOT
from tests.systemd.quickstart import commands

_LISTEN = "127.0.0.1:9090"
_READY_S = 30.0
SCRAPE_S = 5
_GUIDE = "docs/guides/monitoring.md"


class Prometheus:
    """One server; it has its files in ``folder`` and lives in ``namespace`` until :meth:`stop`."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self._folder = folder
        self._namespace = namespace
        self._process: process.Process | None = None
        self._moment: float | None = None

    def start(self) -> None:
        """Start it as a package leaves it: with a configuration that asks nobody."""
        etc = self._folder / "etc" / "prometheus"
        etc.mkdir(parents=True)
        file = etc / "prometheus.yml"
        file.write_text("{}\n")
        command = [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={_LISTEN}",
        ]
        self._process = process.start("prometheus", self._namespace, command, self._folder / "log")
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            with suppress(OSError, ValueError):
                if self._get("/api/v1/status/runtimeinfo", {})["status"] == "success":
                    return
            time.sleep(0.2)
        raise RuntimeError(f"Prometheus does not answer: {self._log()}")

    def set_up(self, controller_state: Path, rules: str) -> None:
        """Run the guide's commands, in a root of its own: what is packaged comes with ``rules`` and is asked
        every :data:`SCRAPE_S` seconds.
        """
        share = self._folder / "share"
        shutil.copytree(ROOT / "packaging" / "prometheus", share / "prometheus")
        shutil.copytree(ROOT / "packaging" / "grafana", share / "grafana")
        (share / "prometheus" / "overlayd.rules.yml").write_text(rules)
        file = share / "prometheus" / "prometheus.yml"
        document = yaml.safe_load(file.read_text())
        document["global"] = {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"}
        for job in document["scrape_configs"]:
            for discovery in job.get("http_sd_configs", ()):
                discovery["refresh_interval"] = f"{SCRAPE_S}s"
        file.write_text(yaml.safe_dump(document))
        assert self._process is not None
        places = {
            "/usr/share/overlayd/": f"{share}/",
            "/etc/": f"{self._folder}/etc/",
            "/var/lib/grafana/": f"{self._folder}/grafana/",
            "/var/lib/overlayd-controller/": f"{controller_state}/",
        }
        # What `systemctl reload prometheus` does on Debian; no Grafana is there to be started anew.
        units = f'systemctl() {{ case "$*" in "reload prometheus") kill -HUP {self._process.pid};; esac; }}'
        for line in commands((ROOT / _GUIDE).read_text("utf-8"))["paris"]:
            for theirs, ours in places.items():
                line = line.replace(theirs, ours)
            process.run(self._namespace, ["bash", "-euc", f"{units}\n{line}"])
        deadline = time.monotonic() + _READY_S
        while not self.query('up{job="overlayd"}'):
            if time.monotonic() > deadline:
                raise RuntimeError(f"Prometheus finds no host: {self._log()}")
            time.sleep(0.5)
        provisioned = list((self._folder / "grafana" / "dashboards" / "overlayd").glob("*.json"))
        if len(provisioned) != len(list((share / "grafana").glob("*.json"))):
            raise RuntimeError("the guide does not bring all dashboards to Grafana")

    def stop(self) -> None:
        if self._process is not None:
            process.stop([self._process])

    def memory(self) -> int:
        """Bytes that it has in memory."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])

    def query(self, expression: str) -> Sequence[Mapping[str, Any]]:
        """The vector that ``expression`` is now, or at the moment that :meth:`stand_still` has set.

        Raises RuntimeError with Prometheus's own words.
        """
        moment = {} if self._moment is None else {"time": str(self._moment)}
        said = self._get("/api/v1/query", {"query": expression, **moment})
        if said["status"] != "success":
            raise RuntimeError(f"{expression}: {said['error']}")
        return said["data"]["result"]

    def stand_still(self) -> None:
        """Have all queries from now on be of this moment: one answer is held against another."""
        self._moment = time.time()

    def names(self) -> set[str]:
        """All names of metrics that were ever scraped."""
        return set(self._get("/api/v1/label/__name__/values", {})["data"])

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """Labels of what fires now, by alert."""
        found: dict[str, list[dict[str, str]]] = {}
        for alert in self._get("/api/v1/alerts", {})["data"]["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found

    def _get(self, path: str, words: Mapping[str, str]) -> Any:
        with netns.inside(self._namespace):
            connection = http.client.HTTPConnection(_LISTEN, timeout=10)
            connection.connect()
        try:
            connection.request("GET", f"{path}?{urllib.parse.urlencode(words)}")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def _log(self) -> str:
        return (self._folder / "log").read_text()[-2000:]


def promtool(*words: str, cwd: Path) -> None:
    """Run ``promtool``; raises CalledProcessError where it finds fault."""
    subprocess.run(["promtool", *words], cwd=cwd, check=True)
