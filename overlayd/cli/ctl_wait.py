"""``overlayctl wait``: returns when this node has come to a state; `overlayd-online.target` waits by it.

I/O.
"""

import argparse
import time

from overlayd.cli.ctl_client import Document, ask
from overlayd.cli.ctl_failure import OK, TIMEOUT, UNREACHABLE, Failure
from overlayd.cli.ctl_output import emit, say

ASKED_EVERY_S = 0.2


def wait(arguments: argparse.Namespace) -> int:
    """Ask until the goal is reached. Raises :class:`Failure` (124) that says what is missing."""
    deadline = time.monotonic() + arguments.timeout
    while True:
        try:
            status = ask(arguments.socket, "status")
            missing = missing_for(arguments.goal, status)
        except Failure as failure:
            if failure.exit_code not in (UNREACHABLE, TIMEOUT):
                raise
            status, missing = {}, str(failure)
        if missing is None:
            break
        if time.monotonic() >= deadline:
            raise Failure(TIMEOUT, f"not {arguments.goal} after {arguments.timeout} s: {missing}")
        time.sleep(ASKED_EVERY_S)
    if arguments.output == "table":
        say(f"{status['node']} is {arguments.goal}")
    else:
        emit(status)
    return OK


def missing_for(goal: str, status: Document) -> str | None:
    """Return why ``status`` is not yet what ``goal`` names; None: it is.

    Without a controller a member goes on with the mesh that it holds, and is online.
    """
    if goal == "whole":
        return next(iter(status["degraded"]), None)
    if status["state"] not in ("online", "offline"):
        return f"this node is {status['state']}"
    if not status["engine"]["connected"]:
        return str(status["engine"]["problem"])
    return None if status["engine"]["generation"] else "the engine has no tables yet"
