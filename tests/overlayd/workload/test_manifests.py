"""A folder of manifests is what runs; what is faulty in it harms nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from overlayd.workload.manifests import Manifests, is_static


def manifest(name: str, **more: Any) -> str:
    spec = {"containers": [{"name": "main", "command": ["true"]}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec, **more})


def test_json_and_yaml_are_read_and_other_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(manifest("a"))
    (tmp_path / "b.yaml").write_text(
        "metadata: {name: b}\nspec: {containers: [{name: main, command: [x]}]}\n"
    )
    (tmp_path / ".c.json").write_text(manifest("c"))
    (tmp_path / "d.txt").write_text(manifest("d"))
    pods = Manifests(tmp_path, "paris").pods()
    assert [one.metadata.name for one in pods] == ["a", "b"]
    assert all(is_static(one) and one.spec.node_name == "paris" for one in pods)


def test_a_pod_keeps_its_uid_when_its_manifest_changes(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(manifest("a"))
    manifests = Manifests(tmp_path, "paris")
    (before,) = manifests.pods()
    file.write_text(manifest("a", spec={"containers": [{"name": "main", "command": ["false"]}]}))
    (after,) = manifests.pods()
    assert before.metadata.uid == after.metadata.uid and before.spec != after.spec
    file.unlink()
    assert manifests.pods() == ()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"kind": "Pod"}',
        manifest("x", kind="App"),
        manifest("x", spec={"containers": []}),
        "x" * 2_000_000,
    ],
)
def test_a_faulty_file_keeps_what_it_last_said_and_harms_no_other(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.json").write_text(manifest("a"))
    (tmp_path / "b.json").write_text(manifest("b"))
    manifests = Manifests(tmp_path, "paris")
    before = manifests.pods()
    (tmp_path / "a.json").write_text(text)
    assert manifests.pods() == before
    assert "manifest not taken" in caplog.text
    (tmp_path / "new.json").write_text(text)
    assert manifests.pods() == before


def test_a_folder_that_is_not_there_has_no_pods(tmp_path: Path) -> None:
    assert Manifests(tmp_path / "nosuch", "paris").pods() == ()
