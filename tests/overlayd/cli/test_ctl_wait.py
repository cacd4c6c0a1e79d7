"""``overlayctl wait``: what each goal asks for."""

from typing import Any

import pytest

from overlayd.cli.ctl_wait import missing_for

WELL: dict[str, Any] = {
    "state": "online",
    "engine": {"connected": True, "generation": 3, "problem": None},
    "degraded": (),
}


@pytest.mark.parametrize("state", ["online", "offline"])
def test_a_member_with_tables_in_force_is_online_with_or_without_a_controller(state: str) -> None:
    assert missing_for("online", WELL | {"state": state}) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state": "not-joined"}, "not-joined"),
        (
            {"engine": {"connected": False, "generation": 0, "problem": "no engine answers"}},
            "no engine answers",
        ),
        ({"engine": {"connected": True, "generation": 0, "problem": None}}, "no tables"),
    ],
)
def test_what_is_missing_is_said(change: dict[str, Any], said: str) -> None:
    assert said in (missing_for("online", WELL | change) or "")


def test_whole_asks_for_everything() -> None:
    assert missing_for("whole", WELL) is None
    assert missing_for("whole", WELL | {"degraded": ["peer rome is dead", "…"]}) == "peer rome is dead"
