"""Labs of the project that are quick to try, in namespaces; `make test-labs` tries all. Needs root."""

import pytest

from sim.lab import state
from tests.labs.trial import trial


@pytest.mark.parametrize("lab", ["two-nodes", "nat-and-relay"])
def test_what_a_lab_expects_holds_and_fails_once_the_lab_is_broken(
    lab: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "ROOT", tmp_path_factory.mktemp("labs"))
    report = trial(lab, "netns", print, tries=10)
    assert report.problem == ""
    assert [finding for finding in report.findings if not finding.ok] == []
    assert [way for way, failed in report.broken.items() if failed is None] == []
    assert report.ok
