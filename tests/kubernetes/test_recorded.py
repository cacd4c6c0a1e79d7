"""Our API's answers beside those that were recorded from a real kube-apiserver with the same kinds."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.asking import RECORDED, Call, calls, unexplained
from tests.kubernetes.embedded import answered, embedded

CALLS = calls()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("objects")
    with embedded(folder) as app:
        return asyncio.run(answered(app, CALLS))


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return json.loads(RECORDED.read_text())


def test_every_call_was_recorded(recorded: dict[str, Any]) -> None:
    assert list(recorded) == [call.name for call in CALLS]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name.replace(" ", "-"))
def test_answers_as_kubernetes_does(call: Call, answers: dict[str, Any], recorded: dict[str, Any]) -> None:
    places = unexplained(call, recorded[call.name], answers[call.name])
    assert places == [], f"\nKubernetes: {recorded[call.name]}\nours:       {answers[call.name]}"
