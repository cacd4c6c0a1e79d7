"""Length-prefixed frames for stream sockets: 32 bits, big-endian, then that many bytes.

Pure: bytes in, frames out.
"""

import struct

MAX_FRAME_BYTES = 16 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class FrameTooLarge(ValueError):
    """A peer announced a frame above the bound; the stream is unusable from here on."""


def encode_frame(payload: bytes) -> bytes:
    """Return ``payload`` with its length before it."""
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameTooLarge(f"frame of {len(payload)} bytes; at most {MAX_FRAME_BYTES} are allowed")
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Collects bytes and yields whole frames.

    Raises :class:`FrameTooLarge` before it buffers an oversized one.
    """

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._max_frame_bytes = max_frame_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes from the stream; return the frames that are complete now."""
        self._buffer += data
        frames: list[bytes] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self._max_frame_bytes:
                raise FrameTooLarge(
                    f"frame of {length} bytes announced; at most {self._max_frame_bytes} are allowed"
                )
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return frames
