"""The committed vector files are what the code computes: a change of either shows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fec import vectors


@pytest.mark.parametrize("compute", [vectors.field, vectors.matrix, vectors.block, vectors.sliding])
def test_vector_files_are_up_to_date(compute: Callable[[], dict[str, Any]]) -> None:
    path = Path(vectors.__file__).with_name(f"{compute.__name__}.json")
    assert json.loads(path.read_text()) == compute(), "run python -m fec.vectors"


def test_streams_exercise_what_they_are_for() -> None:
    streams = {stream["name"]: stream["steps"] for stream in vectors.sliding()["streams"]}
    recovered = {name: sum(len(step["recovered"]) for step in steps) for name, steps in streams.items()}
    assert recovered.pop("clean") == 0
    assert all(count >= 3 for count in recovered.values()), recovered
    heavy = streams["heavy loss"]
    assert any(len(step["recovered"]) > 1 for step in heavy)
    assert any("late" in step for step in heavy)
    assert max(step["repair"]["span"] for step in streams["largest window"] if "repair" in step) == 128
