"""kubectl told the same on a real API server and on ours: exit codes and what it prints, side by side."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import yaml

from controller.orchestration.serving.server import Serving
from tests.kubernetes.oracle import free_port, kubeconfig
from tests.kubernetes.trial import KINDS

FOLDER = Path(__file__).parent
TABLES = ("kubectl.yaml", "kubectl-apps.yaml")
TOKEN = "t" * 32
_LARGE = "x" * (10 << 20)
_WAIT_S = 30
_CHANGING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?"), "<time>"),
    (re.compile(r'(resourceVersion: "?|Resource Version: +)\d+'), r"\1<version>"),
    (re.compile(r"/tmp/\S+|\b(LIVE|MERGED)-\d+\S*"), "<file>"),
    (re.compile(r"https?://[\w.:]+"), "<server>"),
    (re.compile(r"(?<=\s)\d+[smh](\d+s)?(?=\s|$)"), "<age>"),
    (re.compile(r"\b[IEW]\d{4} \S+ +\d+ "), "<log> "),
    (re.compile(r" +"), " "),
)


@contextmanager
def ours(folder: Path) -> Iterator[tuple[str, str]]:
    """Serve our API, with the kinds of the tests, on a loopback port; yield address and token."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
            "-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]  # fmt: skip
    subprocess.run(make, check=True, capture_output=True)
    started, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        serving = Serving(folder / "objects.db", TOKEN, KINDS)
        config = uvicorn.Config(
            serving.api, port=port, lifespan="off", log_level="error", ws="none",
            ssl_certfile=folder / "certificate.pem", ssl_keyfile=folder / "key.pem",
        )  # fmt: skip
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        started.set()
        await asyncio.to_thread(stop.wait)
        serving.hub.close()
        server.should_exit = True
        await task
        serving.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait(_WAIT_S)
    try:
        yield f"https://127.0.0.1:{port}", TOKEN
    finally:
        stop.set()
        thread.join(_WAIT_S)


def told(kubectl: Path, address: str, token: str, folder: Path) -> list[dict[str, Any]]:
    """Return what kubectl answers to each line of the table."""
    folder.mkdir(parents=True)
    editor = folder / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/title: def/title: ghi/; s/image: qc:v4/image: qc:v5/' \"$1\"\n")
    editor.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "KUBECONFIG": str(kubeconfig(address, token, folder / "kubeconfig")),
        "KUBE_EDITOR": str(editor),
    }
    answers: list[dict[str, Any]] = []
    for line in [line for name in TABLES for line in yaml.safe_load((FOLDER / name).read_text())]:
        words = line["run"].split(" ") if "{" in line["run"] else shlex.split(line["run"])
        done = subprocess.run(
            [str(kubectl), *words],
            input=json.dumps(line["stdin"]).replace("{10MB}", _LARGE) if "stdin" in line else None,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_WAIT_S,
            check=False,
        )
        answer = {"run": line["run"], "code": done.returncode, "out": _normal(done.stdout)}
        answers.append(answer | {"err": _normal(done.stderr), "differs": line.get("differs", "")})
    return answers


def report(name: str, real: list[dict[str, Any]], own: list[dict[str, Any]]) -> int:
    """Print where answers differ and the table does not say why; return how many."""
    unexplained = 0
    for wanted, found in zip(real, own, strict=True):
        if wanted != found and not wanted["differs"]:
            unexplained += 1
            print(f"{name} {wanted['run']}")
            for key in ("code", "out", "err"):
                if wanted[key] != found[key]:
                    print(f"  Kubernetes {key}: {wanted[key]}\n  ours       {key}: {found[key]}")
    same = sum(wanted == found for wanted, found in zip(real, own, strict=True))
    explained = len(real) - same - unexplained
    print(f"{name}: {len(real)} calls, {same} the same, {explained} explained, {unexplained} not")
    return unexplained


def _normal(text: str) -> str:
    """What kubectl prints without what differs from run to run; of a diff the lines that changed."""
    for pattern, replacement in _CHANGING:
        text = pattern.sub(replacement, text)
    lines = [line.rstrip() for line in text.strip().splitlines()]
    if any(line.startswith("+++ ") for line in lines):
        lines = [line for line in lines if line.startswith(("+ ", "- ")) and "time:" not in line]
    return "\n".join(lines)
