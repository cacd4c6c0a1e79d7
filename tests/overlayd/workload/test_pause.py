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


def test_it_waits_without_taking_time_and_ends_when_killed(tmp_path: Path) -> None:
    process = subprocess.Popen([program(tmp_path)])
    try:
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGCONT)  # a signal wakes it, and it waits again
        time.sleep(0.1)
        assert process.poll() is None
        stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        assert stat[0] == "S" and int(stat[11]) + int(stat[12]) <= 1
    finally:
        process.kill()
    assert process.wait(10) == -signal.SIGKILL


def test_processors_that_are_not_known_are_told() -> None:
    assert pause.image("aarch64") != pause.image("x86_64")
    with pytest.raises(ValueError, match="not possible on riscv64"):
        pause.image("riscv64")
