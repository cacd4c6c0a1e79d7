"""``make test-kopf``: an unmodified kopf operator on our API for some minutes, through a restart and a kill
of the server; exits 1 where it was not told of a creation, an update or a deletion, or a timer stood still.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.kubernetes.alone import TOKEN, Alone
from tests.kubernetes.oracle import client, kubeconfig

GROUPS = "/apis/overlayd.io/v1/namespaces/default/usergroups"
HANDLERS = Path(__file__).parent / "handlers.py"
STEP_S = 1.0
QUIET_S = 60.0
DOWN_S = 5.0
_TICKS_S = 20.0


class Trial:
    """What was done to objects, and what the operator wrote down of it."""

    def __init__(self, alone: Alone, seen: Path) -> None:
        self._alone = alone
        self._seen = seen
        self._chance = random.Random(8)
        self.texts: dict[str, str] = {}
        self.created: set[str] = set()
        self.updated = 0
        self.deleted: set[str] = set()

    def step(self, number: int) -> None:
        """Make, change or delete one object; a server that is away is asked again."""
        alive = sorted(self.texts)
        what = self._chance.random()
        with client(self._alone.address, TOKEN) as asked:
            if len(alive) < 5 or what < 0.2:
                name, text = f"g{number}", f"made {number}"
                body = {"metadata": {"name": name}, "spec": {"displayName": text}}
                _sure(asked.post(GROUPS, json=body), 201)
                self.created.add(name)
                self.texts[name] = text
            elif what < 0.9 or len(alive) < 10:
                name, text = self._chance.choice(alive), f"changed {number}"
                media = {"content-type": "application/merge-patch+json"}
                body = json.dumps({"spec": {"displayName": text}})
                _sure(asked.patch(f"{GROUPS}/{name}", content=body, headers=media), 200)
                self.texts[name] = text
                self.updated += 1
            else:
                name = self._chance.choice(alive)
                _sure(asked.delete(f"{GROUPS}/{name}"), 200)
                self.deleted.add(name)
                del self.texts[name]

    def missing(self) -> list[str]:
        """Return what the operator does not know yet, in words."""
        seen = [json.loads(line) for line in self._seen.read_text().splitlines()]
        by = {what: [line for line in seen if line["what"] == what] for what in ("create", "delete", "tick")}
        last = {line["name"]: line["text"] for line in seen if line["what"] in ("create", "update")}
        recently = {line["name"] for line in by["tick"] if line["at"] > time.time() - _TICKS_S}
        with client(self._alone.address, TOKEN) as asked:
            left = {one["metadata"]["name"] for one in asked.get(GROUPS).json()["items"]}
        return [
            *(
                f"creation of {name}"
                for name in sorted(self.created - {line["name"] for line in by["create"]})
            ),
            *(
                f"deletion of {name}"
                for name in sorted(self.deleted - {line["name"] for line in by["delete"]})
            ),
            *(f"{name} is {text!r}" for name, text in sorted(self.texts.items()) if last.get(name) != text),
            *(f"tick of {name}" for name in sorted(self.texts.keys() - recently)),
            *(f"{name} is still there" for name in sorted(left - self.texts.keys())),
        ]

    def report(self) -> str:
        """Return what was done and seen, in numbers."""
        seen = Counter(json.loads(line)["what"] for line in self._seen.read_text().splitlines())
        return (
            f"done: {len(self.created)} created, {self.updated} updated, {len(self.deleted)} deleted; seen: "
            + ", ".join(f"{number} {what}" for what, number in sorted(seen.items()))
        )


def _sure(answer: httpx.Response, code: int) -> None:
    if answer.status_code != code:
        raise RuntimeError(f"{answer.request.method} {answer.request.url}: {answer.text}")


def tried(kopf: Path, folder: Path, minutes: float) -> list[str]:
    """Return what the operator missed."""
    alone = Alone(folder / "state")
    alone.start()
    seen = folder / "seen"
    seen.touch()
    config = kubeconfig(alone.address, TOKEN, folder / "kubeconfig")
    environment: dict[str, Any] = {**os.environ, "KUBECONFIG": str(config), "SEEN": str(seen)}
    command = [str(kopf), "run", "--namespace=default", "--standalone", str(HANDLERS)]
    with (folder / "operator.log").open("w") as log:
        operator = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    trial = Trial(alone, seen)
    try:
        steps = int(minutes * 60 / STEP_S)
        for number in range(steps):
            if number in (steps // 3, steps * 2 // 3):
                (alone.stop if number == steps // 3 else alone.kill)()
                time.sleep(DOWN_S)
                alone.start()
            trial.step(number)
            time.sleep(STEP_S)
            if operator.poll() is not None:
                return [f"the operator ended: {(folder / 'operator.log').read_text()[-2000:]}"]
        end = time.monotonic() + QUIET_S
        while (missing := trial.missing()) and time.monotonic() < end:
            time.sleep(1.0)
        print(trial.report())
        return missing
    finally:
        operator.terminate()
        operator.wait(30)
        alone.stop()


def main() -> int:
    """Run it; print and return 1 where something was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.kubernetes.operator", description=__doc__)
    parser.add_argument("--kopf", type=Path, required=True, help="the program")
    parser.add_argument("--minutes", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overlayd-kopf-") as folder:
        missed = tried(given.kopf, Path(folder), given.minutes)
    for one in missed:
        print(f"missed: {one}")
    print("missed nothing" if not missed else f"missed {len(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
