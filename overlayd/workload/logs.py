"""Output of containers as people ask for it: from a time on, the last lines, with times, as it comes. I/O:
files.

A line on disk is ``TIME stream F text``; ``P`` instead of ``F`` is a part of a long one
(`overlayd.workload.keeper`).
"""

import asyncio
import datetime
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 64 * 1024
LOOK_S = 0.2
_FULL = b"F"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """``since_ns``: Unix time; ``tail_lines``: so many of the last ones, None: all. ``previous``: of the
    run before.
    """

    follow: bool = False
    tail_lines: int | None = None
    since_ns: int | None = None
    timestamps: bool = False
    previous: bool = False


async def read_files(
    files: Sequence[Path], options: LogOptions, goes_on: Callable[[], bool]
) -> AsyncGenerator[bytes]:
    """Yield what ``files``, oldest first, have of it, and go on with the last while ``goes_on``."""
    *older, newest = files
    descriptor = _opened(newest)
    try:
        before = [await asyncio.to_thread(one.read_bytes) for one in older if one.exists()]
        start = await asyncio.to_thread(_rest_of, descriptor)
        whole = start[: start.rfind(b"\n") + 1]
        text = await asyncio.to_thread(_chosen, b"".join(before) + whole, options)
        for place in range(0, len(text), CHUNK_BYTES):
            yield text[place : place + CHUNK_BYTES]
        left = start[len(whole) :]
        while options.follow:
            last = not goes_on()
            left += _rest_of(descriptor)
            if left:
                whole = left[: left.rfind(b"\n") + 1]
                left = left[len(whole) :]
                if whole:
                    yield _shown(_lines(whole), options.timestamps)
            elif _replaced(descriptor, newest):
                if descriptor is not None:
                    os.close(descriptor)
                descriptor = _opened(newest)
                continue
            if last:
                return
            await asyncio.sleep(LOOK_S)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _chosen(data: bytes, options: LogOptions) -> bytes:
    lines = _lines(data)
    if options.since_ns is not None:
        since = _as_text(options.since_ns)
        lines = [line for line in lines if line[0] >= since]
    if options.tail_lines is not None:
        ends = [place for place, line in enumerate(lines) if line[1] == _FULL]
        if options.tail_lines == 0:
            lines = []
        elif len(ends) > options.tail_lines:
            lines = lines[ends[-options.tail_lines - 1] + 1 :]
    return _shown(lines, options.timestamps)


def _lines(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """(time, kind, text) of each line; what is none is left out."""
    parts = (line.split(b" ", 3) for line in data.split(b"\n") if line)
    return [(part[0], part[2], part[3]) for part in parts if len(part) == 4]


def _shown(lines: Iterable[tuple[bytes, bytes, bytes]], timestamps: bool) -> bytes:
    out: list[bytes] = []
    begins = True
    for time, kind, text in lines:
        if timestamps and begins:
            out += (time, b" ")
        out.append(text)
        begins = kind == _FULL
        if begins:
            out.append(b"\n")
    return b"".join(out)


def _as_text(unix_ns: int) -> bytes:
    seconds, ns = divmod(unix_ns, 1_000_000_000)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns:09d}Z".encode()


def _opened(file: Path) -> int | None:
    try:
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _rest_of(descriptor: int | None) -> bytes:
    if descriptor is None:
        return b""
    found: list[bytes] = []
    while data := os.read(descriptor, 1 << 20):
        found.append(data)
    return b"".join(found)


def _replaced(descriptor: int | None, file: Path) -> bool:
    """Whether ``file`` is another one than what was opened."""
    try:
        now = file.stat().st_ino
    except FileNotFoundError:
        return False
    return descriptor is None or os.fstat(descriptor).st_ino != now
