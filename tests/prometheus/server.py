"""A real Prometheus in a namespace: started with the shipped rules, asked over its own HTTP API. I/O."""

import json
import subprocess
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from sim.lab import netns, process

_LISTEN = "127.0.0.1:9090"
_READY_S = 30.0
SCRAPE_S = 5


class Prometheus:
    """One server; it has its files in ``folder`` and lives in ``namespace`` until :meth:`stop`."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self._folder = folder
        self._namespace = namespace
        self._process: process.Process | None = None

    def start(self, hosts: Mapping[str, str], controller: str, token: str, rules: str) -> None:
        """Scrape ``hosts`` (instance → address:port) and the controller's API; alert by ``rules``."""
        self._folder.mkdir(parents=True)
        (self._folder / "overlayd.rules.yml").write_text(rules)
        (self._folder / "admin.token").write_text(token)
        by_host = [{"targets": [target], "labels": {"instance": name}} for name, target in hosts.items()]
        document = {
            "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
            "rule_files": ["overlayd.rules.yml"],
            "scrape_configs": [
                {"job_name": "overlayd", "static_configs": by_host},
                {
                    "job_name": "overlayd-controller",
                    "authorization": {"credentials_file": "admin.token"},
                    "static_configs": [{"targets": [controller]}],
                },
            ],
        }
        file = self._folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(document))
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
        raise RuntimeError(f"Prometheus does not answer: {(self._folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            process.stop([self._process])

    def query(self, expression: str) -> Sequence[Mapping[str, Any]]:
        """The vector that ``expression`` is now. Raises RuntimeError with Prometheus's own words."""
        said = self._get("/api/v1/query", {"query": expression})
        if said["status"] != "success":
            raise RuntimeError(f"{expression}: {said['error']}")
        return said["data"]["result"]

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
        import http.client

        with netns.inside(self._namespace):
            connection = http.client.HTTPConnection(_LISTEN, timeout=10)
            connection.connect()
        connection.request("GET", f"{path}?{urllib.parse.urlencode(words)}")
        return json.loads(connection.getresponse().read())


def promtool(*words: str, cwd: Path) -> None:
    """Run ``promtool``; raises CalledProcessError where it finds fault."""
    subprocess.run(["promtool", *words], cwd=cwd, check=True)
