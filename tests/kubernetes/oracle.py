"""A real kube-apiserver on etcd, with our kinds as CRDs: built from the Go module proxy, run on loopback
ports.
"""

import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from controller.orchestration.objects.crd import manifest
from tests.kubernetes.trial import KINDS

MODULE = Path(__file__).parent / "program"
BUILT = Path(__file__).parents[2] / "build/kubernetes"
VERSION = "v1.35.3"
PROGRAMS = ("kubectl", "kube-apiserver")
START_S = 120


class OracleError(Exception):
    """The real API server could not be built or started."""


def build() -> Path:
    """Build kubectl and kube-apiserver, unless they are there; return their folder. Some 8 minutes of a
    core.
    """
    stamp = BUILT / "built"
    key = hashlib.sha256((MODULE / "go.mod").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == key:
        return BUILT
    if shutil.which("go") is None:
        raise OracleError("kube-apiserver is built from its Go module: install Go 1.25 or newer")
    work = BUILT / "module"
    shutil.copytree(MODULE, work, dirs_exist_ok=True)
    major, minor, _ = VERSION.removeprefix("v").split(".")
    of = "k8s.io/component-base/version"
    flags = f"-s -w -X {of}.gitVersion={VERSION} -X {of}.gitMajor={major} -X {of}.gitMinor={minor}"
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -modcacherw"}
    for program in PROGRAMS:
        command = [
            "go",
            "build",
            "-ldflags",
            flags,
            "-o",
            f"{BUILT}/{program}",
            f"k8s.io/kubernetes/cmd/{program}",
        ]
        subprocess.run(command, cwd=work, env=environment, check=True)
    stamp.write_text(key)
    return BUILT


@contextmanager
def running(programs: Path, etcd: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Run etcd and the API server with state in ``folder``; yield address and token once our kinds are
    served.
    """
    store, peer, port = (free_port() for _ in range(3))
    token = secrets.token_hex(16)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    key = folder / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    where = f"http://127.0.0.1:{store}"
    between = f"http://127.0.0.1:{peer}"
    keeps = [etcd, "--data-dir", str(folder / "etcd"), "--listen-client-urls", where,
    "--advertise-client-urls", where, "--listen-peer-urls", between, "--initial-advertise-peer-urls", between,
             "--initial-cluster", f"default={between}"]  # fmt: skip
    serves = [
        str(programs / "kube-apiserver"),
        f"--etcd-servers={where}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={folder}/certificates",
        f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=AlwaysAllow",
        "--service-account-issuer=https://oracle",
        f"--service-account-signing-key-file={key}",
        f"--service-account-key-file={key}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--disable-admission-plugins=ServiceAccount",
    ]
    with _process(keeps, folder / "etcd.log"), _process(serves, folder / "apiserver.log"):
        address = f"https://127.0.0.1:{port}"
        with client(address, token) as asked:
            _wait(lambda: asked.get("/readyz").status_code == 200, "the API server is ready")
            load(asked)
        yield address, token


def client(address: str, token: str) -> httpx.Client:
    """Return a client; the server's certificate is its own."""
    headers = {"authorization": f"Bearer {token}"}
    return httpx.Client(base_url=address, headers=headers, verify=False, timeout=30)


def load(asked: httpx.Client) -> None:
    """Load the CRDs of our kinds and wait until they are served."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for kind in KINDS:
        if kind.custom:
            answer = asked.post(definitions, json=manifest(kind))
            if answer.status_code != 201:
                raise OracleError(f"the CRD of {kind.name} is refused: {answer.text}")
            path = f"/apis/{kind.group}/{kind.version}/{kind.plural}"
            _wait(lambda path=path: asked.get(path).status_code == 200, f"{kind.resource} are served")
    mine = [f'"{kind.plural}"' for kind in KINDS if kind.custom]

    def discovered() -> bool:
        listed = asked.get("/apis/overlayd.io/v1").text
        return all(name in listed for name in mine)

    _wait(discovered, "all kinds are discovered")
    asked.get("/openapi/v2")


def kubeconfig(address: str, token: str, path: Path) -> Path:
    """Write a kubeconfig for kubectl."""
    cluster = {"server": address, "insecure-skip-tls-verify": True}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "one", "cluster": cluster}],
        "users": [{"name": "one", "user": {"token": token}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }
    path.write_text(json.dumps(content))
    return path


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            if done():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise OracleError(f"not within {START_S} s: {what}")


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    with (
        log.open("w") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
