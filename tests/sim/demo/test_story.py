"""The parts of the story that need no lab."""

import hashlib
from pathlib import Path

from overlayd.protocol.local import CandidateRow, Explanation
from sim.demo.records import End, Record
from sim.demo.story import controllers_path, make_file, transfer_of

PRIMARY = CandidateRow(("frankfurt", "madrid"), "primary", True, 0, "")
DIRECT = CandidateRow(("madrid",), "rejected", False, None, "")


def explained(decider: str, *candidates: CandidateRow) -> Explanation:
    return Explanation("paris", "madrid", "interactive", decider, "a reason", 0.0, candidates)


def ended(code: int, sha256: str) -> Record:
    return Record(end=End(code, 100, sha256))


def test_the_controllers_path_is_its_primary_from_the_source_on() -> None:
    assert controllers_path(explained("controller", DIRECT, PRIMARY)) == ("paris", "frankfurt", "madrid")


def test_a_path_that_the_agent_chose_is_not_the_controllers() -> None:
    assert controllers_path(explained("agent", PRIMARY)) is None
    assert controllers_path(explained("controller", DIRECT)) is None


def test_no_two_blocks_of_a_served_file_are_alike(tmp_path: Path) -> None:
    size = (3 << 20) + 17
    digest = make_file(tmp_path / "file", size)
    content = (tmp_path / "file").read_bytes()
    assert len(content) == size
    assert hashlib.sha256(content).hexdigest() == digest
    blocks = {content[at : at + (1 << 20)] for at in range(0, size, 1 << 20)}
    assert len(blocks) == 4


def test_a_download_counts_only_if_it_is_the_file_and_whole() -> None:
    good = transfer_of([(ended(0, "aa"), "aa"), (ended(0, "bb"), "bb")])
    assert (good.bytes, good.sha256_equal, good.broken_connections) == (200, True, 0)
    assert not transfer_of([(ended(0, "aa"), "aa"), (ended(0, "cc"), "bb")]).sha256_equal
    assert transfer_of([(ended(18, "aa"), "bb")]).broken_connections == 1


def test_a_download_that_never_ended_is_broken() -> None:
    found = transfer_of([(Record(), "aa")])
    assert (found.sha256_equal, found.broken_connections) == (False, 1)


def test_no_download_is_no_success() -> None:
    found = transfer_of([])
    assert (found.sha256_equal, found.broken_connections) == (False, None)
