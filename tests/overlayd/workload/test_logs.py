"""Output is given as it was asked for, also while it is written and put aside."""

import asyncio
from pathlib import Path

from overlayd.workload.logs import LogOptions, read_files

T = b"2026-01-01T00:00:0%d.000000000Z"


def line(second: int, text: bytes, kind: bytes = b"F", stream: bytes = b"stdout") -> bytes:
    return b" ".join((T % second, stream, kind, text)) + b"\n"


def read(folder: Path, options: LogOptions) -> bytes:
    async def collected() -> bytes:
        files = (folder / "log.1", folder / "log")
        return b"".join([data async for data in read_files(files, options, lambda: False)])

    return asyncio.run(collected())


def test_all_of_it_the_last_lines_and_those_from_a_time_on(tmp_path: Path) -> None:
    (tmp_path / "log.1").write_bytes(line(1, b"one") + line(2, b"two", stream=b"stderr"))
    (tmp_path / "log").write_bytes(line(3, b"three with words") + line(4, b""))
    assert read(tmp_path, LogOptions()) == b"one\ntwo\nthree with words\n\n"
    assert read(tmp_path, LogOptions(tail_lines=2)) == b"three with words\n\n"
    assert read(tmp_path, LogOptions(tail_lines=0)) == b""
    since_ns = 1_767_225_603 * 10**9
    assert read(tmp_path, LogOptions(since_ns=since_ns)) == b"three with words\n\n"
    assert read(tmp_path, LogOptions(tail_lines=1, timestamps=True)) == T % 4 + b" \n"


def test_the_parts_of_a_long_line_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(line(1, b"a") + line(2, b"lo", b"P") + line(2, b"ng"))
    assert read(tmp_path, LogOptions(tail_lines=1, timestamps=True)) == T % 2 + b" long\n"


def test_a_line_that_is_not_whole_yet_is_left_for_later(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(line(1, b"a") + b"2026-01-01T00")
    assert read(tmp_path, LogOptions()) == b"a\n"


def test_following_goes_on_in_the_next_file_and_ends_with_the_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    goes_on = True

    async def followed() -> bytes:
        nonlocal goes_on
        said = bytearray()
        files = (tmp_path / "log.1", log)
        async for data in read_files(files, LogOptions(follow=True), lambda: goes_on):  # noqa: B023
            said += data
            if said.endswith(b"a\n"):
                with log.open("ab") as more:
                    more.write(line(2, b"b"))
                log.rename(tmp_path / "log.1")
                log.write_bytes(line(3, b"c"))
            elif said.endswith(b"c\n"):
                goes_on = False
        return bytes(said)

    log.write_bytes(line(1, b"a"))
    assert asyncio.run(asyncio.wait_for(followed(), 120)) == b"a\nb\nc\n"


def test_following_what_has_no_output_yet_waits_for_it(tmp_path: Path) -> None:
    asked = 0

    def goes_on() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:
            (tmp_path / "log").write_bytes(line(1, b"first"))
        return asked < 4

    async def followed() -> bytes:
        files = (tmp_path / "log.1", tmp_path / "log")
        return b"".join([data async for data in read_files(files, LogOptions(follow=True), goes_on)])

    assert asyncio.run(asyncio.wait_for(followed(), 120)) == b"first\n"
