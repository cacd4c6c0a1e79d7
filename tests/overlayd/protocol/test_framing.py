"""Frames on a stream: however the bytes are cut, the same frames come out; nothing oversized is buffered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlayd.protocol.framing import MAX_FRAME_BYTES, FrameReader, FrameTooLarge, encode_frame

FRAMES = st.lists(st.binary(max_size=300), max_size=10)


@given(FRAMES, st.lists(st.integers(1, 50), min_size=1, max_size=100))
def test_frames_survive_any_cutting(frames: list[bytes], cuts: list[int]) -> None:
    stream, reader, received, at, turn = b"".join(map(encode_frame, frames)), FrameReader(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        received += reader.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert received == frames


@given(FRAMES, st.integers(0, 100))
def test_a_truncated_stream_yields_whole_frames_only(frames: list[bytes], missing: int) -> None:
    stream = b"".join(map(encode_frame, frames))
    received = FrameReader().feed(stream[: max(len(stream) - missing, 0)])
    assert received == frames[: len(received)]
    assert missing == 0 or not frames or len(received) < len(frames)


def test_an_announced_giant_is_refused_before_it_comes() -> None:
    with pytest.raises(FrameTooLarge):
        FrameReader().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(FrameTooLarge):
        FrameReader(max_frame_bytes=10).feed(encode_frame(b"x" * 11))
    assert FrameReader(max_frame_bytes=10).feed(encode_frame(b"x" * 10)) == [b"x" * 10]


def test_a_giant_cannot_be_sent_either() -> None:
    with pytest.raises(FrameTooLarge):
        encode_frame(bytes(MAX_FRAME_BYTES + 1))
