"""What is made of downloads, without a lab."""

import hashlib
from pathlib import Path

from sim.demo.records import End, Record
from sim.demo.traffic import make_file, transfer_of


def ended(code: int, sha256: str) -> Record:
    return Record(end=End(code, 100, sha256))


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
