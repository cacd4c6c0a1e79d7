"""Command line and agent: requests and answers as length-prefixed JSON frames over the agent's Unix socket.

Every request is one frame ``Request``; the answer is one frame ``Answer``, or for ``follow`` requests a
series of them until the client closes.
"""

from typing import Any

import msgspec

PROTOCOL = 1


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``verb`` names the question (``status``, ``links``, ``routes``, ``explain``, ``trace``, ``ping``,
    ``join``, ``leave``, ``nodes``), ``arguments`` its parameters.
    """

    verb: str
    arguments: dict[str, Any] = {}
    protocol: int = PROTOCOL


class Problem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``code`` maps to an exit code: ``usage`` 2, ``not-found`` 4, ``denied`` 5, ``degraded`` 6,
    ``conflict`` 7, ``timeout`` 124, else 1.
    """

    code: str
    message: str


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either ``result`` or ``problem``. ``result`` carries its own ``schema`` name and version."""

    result: dict[str, Any] | None = None
    problem: Problem | None = None
