"""An agent as far as its local socket goes: answers what it was given, and remembers what it was asked."""

import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from overlayd.protocol.framing import FrameReader, encode_frame
from overlayd.protocol.local import Answer, Problem, Request, Result


class FakeAgent:
    """Serves in a thread while entered; ``results`` are by verb."""

    def __init__(self, path: Path, **results: Result | Problem | bytes) -> None:
        self.path = str(path)
        self.asked: list[Request] = []
        self._results = results
        self._listener = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "FakeAgent":
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=60)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                frames = FrameReader()
                received: list[bytes] = []
                while not received and (data := connection.recv(65536)):
                    received = frames.feed(data)
                if received:
                    connection.sendall(self._answer(received[0]))

    def _answer(self, frame: bytes) -> bytes:
        request = msgspec.json.decode(frame, type=Request)
        self.asked.append(request)
        result = self._results.get(request.verb, Problem("usage", f"there is no verb {request.verb!r}"))
        if isinstance(result, bytes):
            return result
        known: dict[str, Any] = msgspec.to_builtins(result)
        answer = Answer(problem=result) if isinstance(result, Problem) else Answer(result=known)
        return encode_frame(msgspec.json.encode(answer))
