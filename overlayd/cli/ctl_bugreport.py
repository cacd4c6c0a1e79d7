"""``overlayctl bugreport``: what helps to understand this host from afar, without what is secret. I/O: the
agent's socket, files, stdout.

Every text goes through :func:`redacted` on its way into the archive, whatever it is of: what is not asked for
by name cannot come out by accident.
"""

import argparse
import io
import json
import os
import platform
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from overlayd.cli.ctl_client import ask
from overlayd.cli.ctl_failure import DENIED, FAILED, OK, Failure
from overlayd.cli.ctl_output import emit, say

QUESTIONS = ("status", "nodes", "links", "routes", "config-trial")
REMOVED = "[removed]"
_SECRETS = (
    re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL),
    re.compile(r"\bovl\d+_[A-Za-z0-9_=-]+"),  # join tokens
    re.compile(r"(?<=://)[^/\s@\"]+(?=@)"),  # user and password of an address
    re.compile(r"(?i)(?<=bearer )\S+"),
    re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{2}){16,}(?![0-9A-Za-z])"),  # keys and digests, in hex
    re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{43,}={0,2}(?![A-Za-z0-9+/_-])"),  # and in base64
)
_NAMED = re.compile(
    r"(?i)([\"']?[\w-]*(?:secret|password|passphrase|psk|token|private_?key|api_?key)[\w-]*[\"']?\s*[=:]\s*)"
    r"(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,}\]]+)"
)
_ADDRESS = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|(?<![\w:.])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:])"
)


def bugreport(arguments: argparse.Namespace) -> int:
    """Write the archive; what cannot be had is told in it."""
    from overlayd.protocol.documents import BugReport, document

    hide = Pseudonyms().hide if arguments.hide_addresses else None
    file = Path(arguments.file or f"overlayd-bugreport-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    texts = {name: redacted(text, hide) for name, text in _texts(arguments)}
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            _pack(stream, texts)
    except OSError as error:
        code = DENIED if isinstance(error, PermissionError) else FAILED
        raise Failure(code, f"{file}: {error.strerror}") from error
    found = BugReport(str(file), file.stat().st_size, tuple(texts), arguments.hide_addresses)
    if arguments.output == "table":
        say(f"{file}: {', '.join(texts)}")
    else:
        emit(document(found))
    return OK


def redacted(text: str, hide: Callable[[str], str] | None = None) -> str:
    """Return ``text`` without keys, tokens and passwords; ``hide``: with something else for addresses."""
    for pattern in _SECRETS:
        text = pattern.sub(REMOVED, text)
    text = _NAMED.sub(lambda found: f'{found[1]}"{REMOVED}"', text)
    return _ADDRESS.sub(lambda found: hide(found[0]), text) if hide else text


class Pseudonyms:
    """A name for each address, the same for the same one."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def hide(self, address: str) -> str:
        """Return what stands for ``address``; what is nobody's stays."""
        if address in ("0.0.0.0", "::", "127.0.0.1", "::1"):
            return address
        return self._names.setdefault(address, f"address-{len(self._names) + 1}")


def _texts(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    from overlayd._engine import version

    yield "host.txt", _lines(version=version(), python=platform.python_version(), kernel=platform.release())
    for verb in QUESTIONS:
        try:
            yield f"{verb}.json", json.dumps(ask(arguments.socket, verb), indent=2, ensure_ascii=False)
        except Failure as failure:
            yield f"{verb}.txt", f"{failure}\n"
    for name in (arguments.config, *arguments.log):
        try:
            yield Path(name).name, Path(name).read_text("utf-8", errors="replace")
        except OSError as error:
            yield f"{Path(name).name}.txt", f"{name}: {error.strerror}\n"


def _lines(**facts: str) -> str:
    return "".join(f"{name}: {value}\n" for name, value in facts.items())


def _pack(stream: io.BufferedIOBase, texts: dict[str, str]) -> None:
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:  # pyright: ignore[reportUnknownMemberType]
        for name, text in texts.items():
            data = text.encode()
            entry = tarfile.TarInfo(f"bugreport/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
            archive.addfile(entry, io.BytesIO(data))
