"""The command line's end of the agent's socket: one question, one answer, blocking.

Only the standard library is imported, here and by what shows an answer: loading `msgspec` would take
longer than all else that ``overlayctl status`` does. Answers are those of `overlayd.protocol.local`, as
plain documents. I/O.
"""

import json
import socket
from typing import Any, TypeAlias, cast

from overlayd.cli.ctl_failure import DENIED, EXIT_CODES, FAILED, TIMEOUT, UNREACHABLE, Failure
from overlayd.protocol.framing import FrameReader, FrameTooLarge, encode_frame

PROTOCOL = 1

Document: TypeAlias = dict[str, Any]


def ask(path: str, verb: str, arguments: Document | None = None, timeout_s: float = 5.0) -> Document:
    """Return the result of ``verb``. Raises :class:`Failure`."""
    request = {"verb": verb, "arguments": arguments or {}, "protocol": PROTOCOL}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect(path)
            sock.sendall(encode_frame(json.dumps(request).encode()))
            problem, result = _open(json.loads(_receive(sock)))
        except PermissionError as error:
            raise Failure(DENIED, f"{path}: only root and the group overlayd may ask the agent") from error
        except TimeoutError as error:
            raise Failure(TIMEOUT, f"the agent did not answer within {timeout_s:g} s") from error
        except (OSError, EOFError) as error:
            said = getattr(error, "strerror", None) or str(error)
            hint = "is `overlayd agent` running?"
            raise Failure(UNREACHABLE, f"no agent answers on {path} ({said}); {hint}") from error
        except (FrameTooLarge, ValueError) as error:
            raise Failure(FAILED, f"{path} answered something that is not ours: {error}") from error
    if problem is not None:
        raise Failure(EXIT_CODES.get(problem["code"], FAILED), problem["message"])
    return result


def _open(answer: Any) -> tuple[Document | None, Document]:
    """Part an answer into problem and result. Raises :class:`ValueError` for what is no answer."""
    match answer:
        case {"problem": {"code": str(), "message": str()} as problem}:
            return cast("Document", problem), {}
        case {"result": {"schema": str()} as result}:
            return None, cast("Document", result)
        case _:
            raise ValueError("neither a result nor a problem")


def _receive(sock: socket.socket) -> bytes:
    frames = FrameReader()
    while True:
        data = sock.recv(65536)
        if not data:
            raise EOFError("it closed the connection")
        received = frames.feed(data)
        if received:
            return received[0]
