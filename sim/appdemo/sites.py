"""The lab of applications while it stands, and kubectl on its controller. I/O, needs root."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from sim.lab import netns, process, runner
from sim.lab.errors import LabError
from sim.lab.runners import nodes_of
from sim.lab.state import LabState, folder

LAB = Path(__file__).parents[2] / "containerlab" / "labs" / "applications" / "topo.clab.yml"
CONTROLLER = "cloud"
USERS = "qingdao"
"""Where the users are; nothing but what serves them runs there."""
_KUBECTL_S = 90.0


class Sites:
    """The lab called ``name``; ``home`` is a folder for what is written beside it."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self._home = home
        self._kubeconfig = home / "kubeconfig"

    @property
    def state(self) -> LabState:
        return folder(self.name).read()

    def prepare(self) -> None:
        """Write down how the controller's API is reached. Raises :class:`LabError`."""
        kept = folder(self.name).node(CONTROLLER) / "controller"
        words = ["kubeconfig", "--state", str(kept)]
        command = [nodes_of("netns").program("overlayd-controller"), *words]
        made = process.run(self.state.namespaces[CONTROLLER], command)
        self._kubeconfig.touch(mode=0o600)
        self._kubeconfig.write_text(made)

    def kubectl(self, *words: str, told: str = "") -> str:
        """One command of kubectl, beside the controller. Raises :class:`LabError`."""
        command = ["ip", "netns", "exec", self.state.namespaces[CONTROLLER], "kubectl", *words]
        try:
            done = subprocess.run(
                command,
                input=told,
                capture_output=True,
                text=True,
                timeout=_KUBECTL_S,
                env={**os.environ, "KUBECONFIG": str(self._kubeconfig), "HOME": str(self._home)},
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"kubectl {' '.join(words)}: no answer in {_KUBECTL_S:g} s") from None
        if done.returncode != 0:
            raise LabError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def objects(self, kind: str) -> list[dict[str, Any]]:
        return json.loads(self.kubectl("get", kind, "-o", "json"))["items"]

    def impair(self, site: str, **words: object) -> None:
        """Change all lines of a site."""
        for link in self.state.links:
            ends = (link.impairments.a, link.impairments.b)
            if site in ends:
                runner.impair(self.name, ":".join(ends), words)

    def end(self, site: str) -> None:
        """The host of a site is gone: its lines, and all that ran there."""
        self.impair(site, blackhole=True)
        for pid in netns.processes(self.state.namespaces[site]):
            os.kill(pid, signal.SIGKILL)
