"""Files that survive a crash: replaced at once, or checked and kept in two generations.

A checked file is one line of JSON (schema, SHA-256 of what follows) and the body. Called by the state of
engine and agent. I/O: files.
"""

import contextlib
import hashlib
import logging
import os
from pathlib import Path

import msgspec

from overlayd.daemon.log import fields

LOG = logging.getLogger(__name__)
_PROBE_BYTES = 4096


class _Header(msgspec.Struct):
    schema: int
    sha256: str


def write_checked(file: Path, schema: int, body: bytes) -> None:
    """Write a checked file and keep the one before as ``*.previous.*``.

    At every moment one of the two is whole.
    """
    header = msgspec.json.encode(_Header(schema, hashlib.sha256(body).hexdigest()))
    fresh = _write_aside(file, header + b"\n" + body)
    with contextlib.suppress(FileNotFoundError):
        os.replace(file, previous_of(file))
    os.replace(fresh, file)
    _sync_directory(file.parent)


def read_checked(file: Path, schema: int) -> bytes | None:
    """Return the body of a checked file, or of the one before it; None if neither is whole.

    A file from a newer version is put aside as ``*.newer`` so that it can be gone back to, and is not used.
    """
    for candidate in (file, previous_of(file)):
        try:
            head, _, body = candidate.read_bytes().partition(b"\n")
        except FileNotFoundError:
            continue
        except OSError as error:
            LOG.error("state file cannot be read", extra=fields(file=candidate, problem=error.strerror))
            continue
        try:
            header = msgspec.json.decode(head, type=_Header)
        except msgspec.DecodeError:
            LOG.error("state file is damaged", extra=fields(file=candidate))
            continue
        if header.schema > schema:
            aside = candidate.with_name(candidate.name + ".newer")
            LOG.error("state file is of a newer version", extra=fields(file=candidate, kept_as=aside))
            with contextlib.suppress(OSError):
                os.replace(candidate, aside)
            continue
        if header.sha256 == hashlib.sha256(body).hexdigest():
            return body
        LOG.error("state file is damaged", extra=fields(file=candidate))
    return None


def problem_of(directory: Path) -> str | None:
    """Try whether ``directory`` takes a file; return why it does not. A disk that fails tells nobody else."""
    probe = directory / ".probe"
    try:
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return error.strerror
    return None


def write_atomic(file: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace ``file``: after a crash it holds the old bytes or the new."""
    os.replace(_write_aside(file, data, mode), file)
    _sync_directory(file.parent)


def _write_aside(file: Path, data: bytes, mode: int = 0o600) -> Path:
    aside = file.with_name(f".{file.name}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return aside


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def previous_of(file: Path) -> Path:
    """Return the name of the checked file before ``file``."""
    return file.with_name(f"{file.stem}.previous{file.suffix}")
