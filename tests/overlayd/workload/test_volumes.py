"""Volumes are where the pod expects them, and what is not there is told by name."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from overlayd.workload.launching import Direct
from overlayd.workload.messages import PodUid
from overlayd.workload.volumes import VolumeProblem, Volumes
from tests.overlayd.workload.pods import pod


def prepared(tmp_path: Path, **volume: Any) -> Path:
    wanted = pod(volumes=[{"name": "v", **volume}])
    return Path(asyncio.run(of(tmp_path).prepare(wanted))["v"])


def of(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path / "disk", tmp_path / "memory", Direct(tmp_path).execute)


def test_an_empty_folder_is_the_pods_own_and_goes_with_it(tmp_path: Path) -> None:
    on_disk = prepared(tmp_path, emptyDir={})
    in_memory = prepared(tmp_path, emptyDir={"medium": "Memory"})
    (on_disk / "kept").touch()
    assert prepared(tmp_path, emptyDir={}) == on_disk and (on_disk / "kept").exists()
    assert in_memory.is_relative_to(tmp_path / "memory")
    of(tmp_path).remove(PodUid("uid-web"))
    assert not on_disk.exists() and not in_memory.exists()


def test_folders_of_the_host_stay(tmp_path: Path) -> None:
    place = prepared(tmp_path, hostPath={"path": str(tmp_path / "data"), "type": "DirectoryOrCreate"})
    of(tmp_path).remove(PodUid("uid-web"))
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


def test_what_is_not_there_is_made_whatever_its_name_is(tmp_path: Path) -> None:
    folder, file = tmp_path / "-p a" / "b $HOME", tmp_path / "-r"
    assert prepared(tmp_path, hostPath={"path": str(folder), "type": "DirectoryOrCreate"}).is_dir()
    assert prepared(tmp_path, hostPath={"path": str(file), "type": "FileOrCreate"}).is_file()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["-p a", "-r"]


def test_what_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VolumeProblem, match="Not a directory"):
        prepared(tmp_path, hostPath={"path": str(tmp_path / "file" / "in"), "type": "DirectoryOrCreate"})


def test_a_host_that_does_not_answer_is_told(tmp_path: Path) -> None:
    async def never(command: tuple[str, ...], env: dict[str, str], timeout_s: float) -> tuple[int, str]:
        raise TimeoutError

    volumes = Volumes(tmp_path / "disk", tmp_path / "memory", never)
    with pytest.raises(VolumeProblem, match="/mnt/far: no answer within 10 s"):
        asyncio.run(volumes.prepare(pod(volumes=[{"name": "v", "hostPath": {"path": "/mnt/far"}}])))
