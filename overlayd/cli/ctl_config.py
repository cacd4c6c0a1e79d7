"""``overlayctl config``: checks, compares and tries this host's configuration. I/O: files, the agent, stdout.

The agent has a configuration on trial in force without touching the file; the file is root's, and is written
here once the trial is confirmed. What is tried lies beside it as ``*.next``, what it replaced as
``*.previous`` (ADR 27).
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from overlayd.cli.ctl_client import Document, ask
from overlayd.cli.ctl_failure import CONFLICT, DENIED, FAILED, NOT_FOUND, OK, USAGE, Failure
from overlayd.cli.ctl_output import NOTHING, emit, emit_lines, say, table

APPLY_TIMEOUT_S = 20.0
_AT_ONCE_S = 60.0
"""How long what is applied for good may be on trial between the two steps of it."""


def check(arguments: argparse.Namespace) -> int:
    """Tell whether a file, with this environment over it, is a configuration; exit code 1 if not."""
    from overlayd.daemon.config import parse
    from overlayd.daemon.errors import ConfigurationError
    from overlayd.protocol.documents import ConfigCheck, document

    name = arguments.file
    try:
        parse(_read(name), name, os.environ, arguments.set)
        found = ConfigCheck(name, ok=True)
    except ConfigurationError as error:
        found = ConfigCheck(name, ok=False, source=error.source, key=error.key, problem=error.problem)
    if arguments.output != "table":
        emit(document(found))
    elif found.ok:
        say(f"{name} is a configuration")
    else:
        place = f"{found.source}: {found.key}" if found.key else found.source
        print(f"overlayctl: {place}: {found.problem}", file=sys.stderr)
    return OK if found.ok else FAILED


def diff(arguments: argparse.Namespace) -> int:
    """Show what a file would change."""
    result = ask(arguments.socket, "config-diff", {"text": _read(arguments.file)})
    if arguments.output == "jsonl":
        emit_lines(result["changes"], result["schema"])
    elif arguments.output == "json":
        emit(result)
    elif result["changes"]:
        _show_changes(result)
    else:
        say(f"{arguments.file} changes nothing")
    return OK


def apply(arguments: argparse.Namespace) -> int:
    """Put a file in force; with ``--confirm-within``, until it is not confirmed in time."""
    file, text = Path(arguments.config), _read(arguments.file)
    now = ask(arguments.socket, "config-trial")
    _same_file(now, file)
    _stage(file, text)
    wish = {"text": text, "within_s": arguments.confirm_within or _AT_ONCE_S, "restart": arguments.restart}
    try:
        result = ask(arguments.socket, "config-try", wish, APPLY_TIMEOUT_S)
    except Failure:
        if not now["on_trial"]:
            _next(file).unlink(missing_ok=True)
        raise
    if arguments.confirm_within is None:
        return _keep(arguments, file, result)
    if arguments.output != "table":
        emit(result)
        return OK
    _show_changes(result)
    say(f"on trial for {result['left_s']:.0f} s; `overlayctl config confirm` keeps it")
    return OK


def confirm(arguments: argparse.Namespace) -> int:
    """Write what is on trial to the file, and end the trial."""
    now = ask(arguments.socket, "config-trial")
    if not now["on_trial"]:
        raise Failure(NOT_FOUND, "nothing is on trial; what was is gone, and the last good one in force")
    file = Path(arguments.config)
    _same_file(now, file)
    return _keep(arguments, file, now)


def rollback(arguments: argparse.Namespace) -> int:
    """End a trial now."""
    if not ask(arguments.socket, "config-trial")["on_trial"]:
        raise Failure(NOT_FOUND, "nothing is on trial")
    result = ask(arguments.socket, "config-end", timeout_s=APPLY_TIMEOUT_S)
    if arguments.output != "table":
        emit(result)
    else:
        say(f"{result['file']} is in force again")
    return OK


def _keep(arguments: argparse.Namespace, file: Path, tried: Document) -> int:
    """Have the file hold what is on trial; whenever this is broken off, file and trial are each whole."""
    from overlayd.daemon.trial import digest

    staged = _next(file)
    try:
        text = staged.read_text("utf-8")
    except OSError as error:
        raise Failure(CONFLICT, f"{staged}: {error.strerror}; apply the configuration again") from error
    if digest(text) != tried["sha256"]:
        raise Failure(CONFLICT, f"{staged} is not what is on trial; apply the configuration again")
    try:
        if file.exists():
            shutil.copyfile(file, _beside(file, "previous"))
        os.replace(staged, file)
    except OSError as error:
        raise Failure(_code(error), f"{file}: {error.strerror}") from error
    result = ask(arguments.socket, "config-end", timeout_s=APPLY_TIMEOUT_S)
    result["changes"] = tried["changes"] or result["changes"]
    if arguments.output != "table":
        emit(result)
        return OK
    if tried["changes"]:
        _show_changes(tried)
    say(f"{file} is kept; the one before is {_beside(file, 'previous')}")
    return OK


def _stage(file: Path, text: str) -> None:
    from overlayd.daemon.files import write_atomic

    try:
        write_atomic(_next(file), text.encode(), mode=0o644)
    except OSError as error:
        raise Failure(_code(error), f"{_next(file)}: {error.strerror}") from error


def _same_file(now: Document, file: Path) -> None:
    if Path(now["file"]).resolve() != file.resolve():
        raise Failure(USAGE, f"the agent reads {now['file']}; name it with --config")


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except OSError as error:
        raise Failure(_code(error), f"{name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failure(FAILED, f"{name}: is not TOML: {error}") from error


def _code(error: OSError) -> int:
    if isinstance(error, FileNotFoundError):
        return NOT_FOUND
    return DENIED if isinstance(error, PermissionError) else FAILED


def _next(file: Path) -> Path:
    return _beside(file, "next")


def _beside(file: Path, kind: str) -> Path:
    return file.with_name(f"{file.name}.{kind}")


def _show_changes(known: Document) -> None:
    rows = [
        (
            change["key"],
            _value(change["before"]),
            _value(change["after"]),
            "at once" if change["live"] else "restart",
        )
        for change in known["changes"]
    ]
    say(table(("KEY", "NOW", "THEN", "TAKES"), rows))


def _value(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value)) or '""'  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return str(value) or '""'
