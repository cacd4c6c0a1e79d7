"""The program that holds a pod's network: it starts here, does nothing, and ends when it is killed."""

import io
import json
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from overlayd.workload import pause


def program(tmp_path: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(pause.image())) as outer:
        manifest = json.load(outer.extractfile("manifest.json") or io.BytesIO())
        assert manifest[0]["RepoTags"] == [pause.NAME]
        with tarfile.open(fileobj=outer.extractfile("layer.tar")) as layer:
            (entry,) = layer.getmembers()
            assert entry.size < 200 and entry.mode & 0o111
            file = tmp_path / entry.name
            file.write_bytes((layer.extractfile(entry) or io.BytesIO()).read())
            file.chmod(entry.mode)
    return file


def stat(process: subprocess.Popen[bytes]) -> list[str]:
    """What the kernel says of a process from its state on (proc(5))."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()


def ticks(process: subprocess.Popen[bytes]) -> int:
    return int(stat(process)[11]) + int(stat(process)[12])


def sleeps(process: subprocess.Popen[bytes]) -> None:
    """Wait until it does."""
    end = time.monotonic() + 60
    while stat(process)[0] != "S":
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_waits_without_taking_time_and_ends_when_killed(tmp_path: Path) -> None:
    process = subprocess.Popen([program(tmp_path)])
    try:
        sleeps(process)
        os.kill(process.pid, signal.SIGCONT)  # a signal wakes it, and it waits again
        sleeps(process)
        taken = ticks(process)
        time.sleep(0.2)
        assert process.poll() is None
        assert ticks(process) == taken
    finally:
        process.kill()
    assert process.wait(60) == -signal.SIGKILL


def test_processors_that_are_not_known_are_told() -> None:
    assert pause.image("aarch64") != pause.image("x86_64")
    with pytest.raises(ValueError, match="not possible on riscv64"):
        pause.image("riscv64")
