"""Volumes are where the pod expects them, and what is not there is told by name."""

from pathlib import Path
from typing import Any

import pytest

from overlayd.workload.messages import PodUid
from overlayd.workload.volumes import VolumeProblem, Volumes
from tests.overlayd.workload.pods import pod


def prepared(tmp_path: Path, **volume: Any) -> Path:
    volumes = Volumes(tmp_path / "disk", tmp_path / "memory")
    return Path(volumes.prepare(pod(volumes=[{"name": "v", **volume}]))["v"])


def test_an_empty_folder_is_the_pods_own_and_goes_with_it(tmp_path: Path) -> None:
    on_disk = prepared(tmp_path, emptyDir={})
    in_memory = prepared(tmp_path, emptyDir={"medium": "Memory"})
    (on_disk / "kept").touch()
    assert prepared(tmp_path, emptyDir={}) == on_disk and (on_disk / "kept").exists()
    assert in_memory.is_relative_to(tmp_path / "memory")
    Volumes(tmp_path / "disk", tmp_path / "memory").remove(PodUid("uid-web"))
    assert not on_disk.exists() and not in_memory.exists()


def test_folders_of_the_host_stay(tmp_path: Path) -> None:
    place = prepared(tmp_path, hostPath={"path": str(tmp_path / "data"), "type": "DirectoryOrCreate"})
    Volumes(tmp_path / "disk", tmp_path / "memory").remove(PodUid("uid-web"))
    assert place.is_dir()


@pytest.mark.parametrize(
    ("volume", "problem"),
    [
        ({"hostPath": {"path": "/nosuch"}}, "there is no /nosuch"),
        ({"hostPath": {"path": "/nosuch", "type": "Directory"}}, "there is no folder /nosuch"),
        ({"hostPath": {"path": "/etc", "type": "File"}}, "there is no file /etc"),
        ({"hostPath": {"path": "etc"}}, "not an absolute path"),
        ({"secretFile": {"path": "/nosuch"}}, "there is no file /nosuch on this node"),
        ({"secretFile": {"path": "/etc/hostname"}}, "can be read by everybody"),
    ],
)
def test_what_cannot_be_had_is_told(tmp_path: Path, volume: dict[str, Any], problem: str) -> None:
    with pytest.raises(VolumeProblem, match=problem):
        prepared(tmp_path, **volume)


def test_a_secret_that_only_root_reads_is_handed_over(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.touch(mode=0o600)
    assert prepared(tmp_path, secretFile={"path": str(secret)}) == secret
