"""The programs that are measured and measure: had once by their ordinary package names, kept in one folder.

Nothing is installed on the machine: Debian packages are unpacked, not configured, so none of their services
starts; Go modules and crates are built into the folder. What cannot be had is told, not fatal. I/O; called by
`run`.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BUILD_S = 1800.0
Tell = Callable[[str], None]

DEBIAN = {
    "fastd": ("fastd",),
    "iperf3": ("iperf3",),
    "n2n": ("edge", "supernode"),
    "srt-tools": ("srt-live-transmit",),
    "tinc": ("tincd",),
    "wireguard-tools": ("wg",),
    "yggdrasil": ("yggdrasil",),
}
GO = {
    "golang.zx2c4.com/wireguard@latest": ("wireguard",),
    "github.com/slackhq/nebula/cmd/nebula@v1.11.0": ("nebula",),
    "github.com/slackhq/nebula/cmd/nebula-cert@v1.11.0": ("nebula-cert",),
}
CRATES = {
    ("gotatun-cli", "0.10.2"): ("gotatun",),
    ("boringtun-cli", "0.7.1"): ("boringtun-cli",),
}
OURS = ("bare_loop", "udp_load")


class Missing(Exception):
    """A program could not be had; the text says why."""


@dataclass(slots=True)
class Programs:
    """Programs in ``folder`` (their cache) and ours, built from ``root``, the repository."""

    root: Path
    folder: Path
    tell: Tell
    _failures: dict[str, str] = field(default_factory=dict[str, str])

    def find(self, name: str) -> str:
        """Path of a program. Raises :class:`Missing`, with what its installer said."""
        for place in (self.folder / "bin" / name, self._examples / name):
            if place.exists():
                return str(place)
        if found := shutil.which(name):
            return found
        raise Missing(self._failures.get(name, f"{name} is not installed"))

    def install_tools(self) -> None:
        """Bring what measures, not what is measured. Raises :class:`Missing` only for our own programs."""
        (self.folder / "bin").mkdir(parents=True, exist_ok=True)
        cargo = [
            "cargo",
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--package",
            "overlayd-io",
            "--examples",
        ]
        _run(cargo, cwd=self.root / "engine")
        if self._lacking({"iperf3": ("iperf3",)}):
            self.install_debian()

    def install_debian(self) -> None:
        """Bring the Debian packages that are not there yet."""
        (self.folder / "bin").mkdir(parents=True, exist_ok=True)
        self._attempt("Debian packages", self._lacking(DEBIAN), self._unpack_debian)

    def install(self) -> None:
        """Bring everything that is not there yet. Raises :class:`Missing` only for our own programs."""
        self.install_tools()
        self.install_debian()
        for module, names in GO.items():
            if self._lacking({module: names}):
                go = {"GOBIN": str(self.folder / "bin")}
                self._attempt(module, names, lambda module=module, go=go: _run(["go", "install", module], go))
        for (crate, version), names in CRATES.items():
            if self._lacking({crate: names}):
                place = ("--root", str(self.folder), "--target-dir", str(self.folder / "target"))
                command = ["cargo", "install", "--locked", *place, crate, "--version", version]
                self._attempt(crate, names, lambda command=command: _run(command))

    @property
    def _examples(self) -> Path:
        return self.root / "engine" / "target" / "release" / "examples"

    def _lacking(self, packages: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """Programs of packages that are neither in the cache nor on the machine."""
        names = [name for group in packages.values() for name in group]
        return tuple(
            name for name in names if not (self.folder / "bin" / name).exists() and not shutil.which(name)
        )

    def _attempt(self, what: str, names: tuple[str, ...], build: Callable[[], None]) -> None:
        if not names:
            return
        self.tell(f"installing {what}: {', '.join(names)}")
        try:
            build()
        except Missing as error:
            self.tell(f"  failed: {error}")
            self._failures |= dict.fromkeys(names, f"{what}: {error}")

    def _unpack_debian(self) -> None:
        """Fetch the packages with what they depend on and this machine lacks, and unpack all of it."""
        packages, tree = self.folder / "debian-packages", self.folder / "debian"
        (packages / "partial").mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "update", "--quiet"])
        fetch = ["apt-get", "install", "--download-only", "--yes", "--quiet", "--no-install-recommends"]
        _run([*fetch, "--option", f"Dir::Cache::archives={packages}", *DEBIAN])
        for package in sorted(packages.glob("*.deb")):
            _run(["dpkg", "--extract", str(package), str(tree)])
        # By path, not by the compiler's triplet: which is whatever machine this is.
        libraries = ":".join(sorted({str(file.parent) for file in tree.rglob("*.so.*")}))
        for name in (name for names in DEBIAN.values() for name in names):
            for place in ("usr/bin", "usr/sbin"):
                if (program := tree / place / name).exists():
                    script = self.folder / "bin" / name
                    script.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{libraries}" exec "{program}" "$@"\n')
                    script.chmod(0o755)


def _run(command: list[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    """Run to the end. Raises :class:`Missing` with the tail of what it said."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
    except FileNotFoundError:
        raise Missing(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"{' '.join(command[:3])}: no end after {BUILD_S:g} s") from None
    if done.returncode:
        tail = " / ".join(done.stdout.strip().splitlines()[-3:])
        raise Missing(f"{' '.join(command[:3])}: {tail or f'exit code {done.returncode}'}")
