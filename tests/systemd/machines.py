"""Hosts to install on: containers with a real systemd as PID 1, of an image that debootstrap makes.

Needs root. Where no Docker daemon answers, one is started in a folder of its own and ended with the run. A
container is not privileged: it has CAP_SYS_ADMIN (systemd's mounts), CAP_NET_ADMIN and /dev/net/tun. Called
by `tests.systemd`. I/O: Docker.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path("/var/tmp/overlayd-systemd")
NETWORK = "overlayd-test-systemd"
SUITE = "bookworm"
INCLUDED = "systemd,systemd-sysv,dbus,python3,iproute2,nftables,iputils-ping,procps,ca-certificates"
"""What a Debian 12 server has anyway; the packages find all they depend on in it."""
CARRIERS = "/root/carriers"
"""Packages that lie in the image, not installed: those that lead users to apps, with what they depend on."""
BOOT_S = 60.0


@dataclass(frozen=True, slots=True)
class Image:
    """What hosts boot: a Debian with packages. ``options``: more of `docker run` for them."""

    name: str = "overlayd-test-systemd:bookworm"
    included: str = INCLUDED
    options: tuple[str, ...] = ()


PLAIN = Image()


def run(*command: str, timeout_s: float = 300, quiet: bool = False) -> str:
    """Run a command on this machine and return its stdout. Raises :class:`subprocess.CalledProcessError`."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode and not quiet:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def daemon(image: Image = PLAIN, folder: Path = FOLDER) -> Generator[None]:
    """A Docker daemon, ours, in ``folder``, if there is none; what this run made is removed at its end."""
    own: subprocess.Popen[bytes] | None = None
    folder.mkdir(exist_ok=True)
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        socket = f"unix://{folder}/docker.sock"
        with (folder / "dockerd.log").open("wb") as log:
            own = subprocess.Popen(
                [
                    *("dockerd", "--host", socket, "--data-root", str(folder / "data")),
                    *("--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")),
                    *("--iptables=false", "--ip6tables=false", "--bridge=none"),
                ],
                stdout=log,
                stderr=log,
            )
        os.environ["DOCKER_HOST"] = socket
        deadline = time.monotonic() + 30
        while subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
            if time.monotonic() > deadline or own.poll() is not None:
                raise SystemExit(f"dockerd did not start: {folder}/dockerd.log")
            time.sleep(0.5)
    try:
        yield
    finally:
        run("docker", "network", "rm", NETWORK, quiet=True)
        if "OVERLAYD_SYSTEMD_KEEP" not in os.environ:
            run("docker", "image", "rm", "--force", image.name, quiet=True)
        if own is not None:
            own.terminate()
            own.wait(30)
            if "OVERLAYD_SYSTEMD_KEEP" not in os.environ:
                shutil.rmtree(folder, ignore_errors=True)


def make_image(image: Image = PLAIN, folder: Path = FOLDER) -> None:
    """A minimal Debian with systemd, made in ``folder``, unless it is there from a run that kept it."""
    if run("docker", "image", "ls", "--quiet", image.name).strip():
        return
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    included = f"--include={image.included}"
    run("debootstrap", "--variant=minbase", included, SUITE, str(root), mirror(), timeout_s=900)
    for step in (
        "apt-get update --quiet",
        f"mkdir -p {CARRIERS}/partial",
        f"apt-get install --quiet --yes --no-install-recommends --download-only"
        f" -o Dir::Cache::archives={CARRIERS} haproxy dnsmasq-base",
    ):
        run("chroot", str(root), "sh", "-c", step, timeout_s=900)
    for emptied in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / emptied)
        (root / emptied / "partial").mkdir(parents=True)
    packed = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
    made = ["docker", "import", "-", image.name]
    subprocess.run(made, stdin=packed.stdout, check=True, capture_output=True)
    packed.wait()
    shutil.rmtree(root)


def mirror() -> str:
    """The mirror of Debian that this machine's apt uses."""
    told = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
    lines = told.splitlines()
    return next(uri for uri, release in (line.split() for line in lines) if release == SUITE)


class Machine:
    """A host. ``shell`` runs in it as root would type it."""

    def __init__(self, name: str, address: str, image: Image = PLAIN) -> None:
        self.name = name
        self.address = address
        self._image = image
        self._container = f"overlayd-test-{name}"

    def start(self) -> None:
        """Make it and boot it."""
        self.remove()
        run(
            *("docker", "run", "--detach", "--name", self._container, "--hostname", self.name),
            *("--network", NETWORK, "--ip", self.address, "--stop-signal", "SIGRTMIN+3"),
            *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined"),
            *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup"),
            *(
                "--sysctl",
                "net.ipv6.conf.all.disable_ipv6=0",
                "--device",
                "/dev/net/tun",
                "--env",
                "container=docker",
            ),
            *self._image.options,
            *(self._image.name, "/lib/systemd/systemd"),
        )
        self.booted()

    def booted(self) -> None:
        """Wait until systemd has started what is to be started."""
        deadline = time.monotonic() + BOOT_S
        while (state := self.shell("systemctl is-system-running", check=False).strip()) != "running":
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.name} is {state}\n{self.shell('systemctl --failed', check=False)}")
            time.sleep(0.2)

    def copy(self, file: Path, to: str = "/root/") -> None:
        run("docker", "cp", str(file), f"{self._container}:{to}")

    def shell(self, line: str, *, check: bool = True, timeout_s: float = 300) -> str:
        """Return stdout of ``line``."""
        return run(*self._exec(line), timeout_s=timeout_s, quiet=not check)

    def spawn(self, line: str) -> "subprocess.Popen[str]":
        """Start ``line`` and return its client; the process ends by :meth:`end`."""
        return subprocess.Popen(self._exec(line), stdout=subprocess.PIPE, text=True)

    def end(self, pattern: str, client: "subprocess.Popen[str]") -> Any:
        """End what :meth:`spawn` started, found by ``pattern``, and return the JSON that it prints."""
        self.shell(f"pkill -TERM -f '^python3 {pattern}'", check=False)
        out, _ = client.communicate(timeout=60)
        return json.loads(out.splitlines()[-1]) if out.strip() else None

    def mounting(self, *command: str) -> str:
        """Run a program of this machine among the container's mounts, with rights that it lacks."""
        pid = run("docker", "inspect", "--format", "{{.State.Pid}}", self._container).strip()
        return run("nsenter", "--mount", "--target", pid, "--", *command)

    def reboot(self) -> None:
        run("docker", "restart", "--time", "30", self._container)

    def remove(self) -> None:
        run("docker", "rm", "--force", "--volumes", self._container, quiet=True)

    def _exec(self, line: str) -> Sequence[str]:
        return ("docker", "exec", "--workdir", "/root", self._container, "sh", "-c", line)


@contextlib.contextmanager
def machines(names: Sequence[str], image: Image = PLAIN) -> Generator[dict[str, Machine]]:
    """Fresh hosts 192.0.2.1, .2, … of these names, which reach each other."""
    run("docker", "network", "rm", NETWORK, quiet=True)
    run(*("docker", "network", "create", "--subnet", "192.0.2.0/24", "--gateway", "192.0.2.254", NETWORK))
    made = {name: Machine(name, f"192.0.2.{number}", image) for number, name in enumerate(names, 1)}
    try:
        for machine in made.values():
            machine.start()
        yield made
    finally:
        for machine in made.values():
            machine.remove()
