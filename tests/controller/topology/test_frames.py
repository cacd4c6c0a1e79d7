"""Frames of history: small, near what was measured, rolled up by the rules of each figure."""

import numpy as np
import pytest

from controller.topology import frames
from controller.topology.frames import BadFrame, LinkFrame, pack_frame, roll_up, unpack_frame
from controller.topology.quantise import decode, encode
from overlayd.model.ids import NodeId
from overlayd.protocol.scales import COARSE_DELAY_MS, COARSE_RATIO, NOTHING, UNKNOWN
from tests.controller.core.world import World


def world() -> World:
    mesh = World("abk")
    mesh.mesh(ab=81.3, ak=15)
    mesh.link("ab").loss = 0.0123
    mesh.run(60)
    return mesh


def test_a_frame_keeps_what_is_fresh_within_three_per_cent() -> None:
    mesh = world()
    core = mesh.controller
    unpacked = unpack_frame(pack_frame(core.topology.frame(mesh.now_ns)))
    assert unpacked.ids == (1, 2, 3)
    assert unpacked.rtt_ms()[0, 1] == pytest.approx(81.3, rel=0.03)
    assert unpacked.loss()[1, 0] == pytest.approx(0.0123, rel=0.03)
    assert unpacked.loss()[0, 2] == 0.0
    assert np.isnan(unpacked.rtt_ms()[1, 2])


def test_a_frame_forgets_what_is_not_fresh_any_more() -> None:
    mesh = world()
    mesh.silent = set("abk")
    mesh.run(60)
    assert np.isnan(mesh.controller.topology.frame(mesh.now_ns).rtt_ms()).all()


def test_the_worse_end_is_shown() -> None:
    codes = np.zeros((frames.FIGURES, 2, 2), np.uint8)
    codes[frames.RTT_Q50, 0, 1] = COARSE_DELAY_MS.code(1.0)
    codes[frames.RTT_Q50, 1, 0] = COARSE_DELAY_MS.code(80.0)
    codes[frames.LOSS_OUT, 0, 1] = NOTHING
    codes[frames.LOSS_IN, 1, 0] = COARSE_RATIO.code(0.2)
    frame = LinkFrame((NodeId(1), NodeId(2)), codes)
    assert frame.rtt_ms()[0, 1] == pytest.approx(80.0, rel=0.03)
    assert frame.loss()[0, 1] == pytest.approx(0.2, rel=0.03)


def test_a_difference_is_read_with_its_base_alone() -> None:
    rng = np.random.default_rng(1)
    ids = tuple(NodeId(n) for n in range(1, 21))
    one = LinkFrame(ids, rng.integers(0, 255, (frames.FIGURES, 20, 20), np.uint8))
    codes = one.codes.copy()
    codes[2, 3, 4] += 1
    other = LinkFrame(ids, codes)
    blob = pack_frame(other, one)
    assert len(blob) < len(pack_frame(one)) / 20
    read = unpack_frame(blob, one)
    assert read.ids == ids and (read.codes == codes).all()
    with pytest.raises(BadFrame):
        unpack_frame(blob)


def test_noise_within_a_step_changes_no_code() -> None:
    rng = np.random.default_rng(2)
    values = (40.0 * rng.uniform(0.99, 1.01, 1000)).astype(np.float32)
    before = np.full(1000, COARSE_DELAY_MS.code(40.0), np.uint8)
    assert (encode(values, COARSE_DELAY_MS, before) == before).all()
    jumped = encode(values * np.float32(1.2), COARSE_DELAY_MS, before)
    assert decode(jumped, COARSE_DELAY_MS) == pytest.approx(values * 1.2, rel=0.045)


def test_five_minutes_are_rolled_up_by_the_rule_of_each_figure() -> None:
    ids = (NodeId(1), NodeId(2))
    span: list[LinkFrame] = []
    for number in range(20):
        codes = np.zeros((frames.FIGURES, 2, 2), np.uint8)
        if number % 2:  # every other frame has nothing fresh
            for figure, ms in ((frames.RTT_MIN, 10.0), (frames.RTT_Q50, 20.0), (frames.RTT_Q90, 30.0)):
                codes[figure, 0, 1] = COARSE_DELAY_MS.code(ms * (2.0 if number == 1 else 1.0))
            codes[frames.LOSS_OUT, 0, 1] = COARSE_RATIO.code(0.1) if number == 1 else NOTHING
        span.append(LinkFrame(ids, codes))
    whole = roll_up(span)
    least, usual, high = (whole.figure(f)[0, 1] for f in (frames.RTT_MIN, frames.RTT_Q50, frames.RTT_Q90))
    assert (least, usual, high) == pytest.approx((10.0, 20.0, 30.0), rel=0.03)
    assert whole.figure(frames.LOSS_OUT)[0, 1] == pytest.approx(0.01, rel=0.04)  # one of ten that know
    assert whole.codes[frames.RTT_Q50, 1, 0] == UNKNOWN


def test_nodes_that_came_and_went_find_their_places_when_rolled_up() -> None:
    def of(*ids: int) -> LinkFrame:
        codes = np.full((frames.FIGURES, len(ids), len(ids)), UNKNOWN, np.uint8)
        codes[frames.RTT_Q50] = [[COARSE_DELAY_MS.code(10.0 * a + b) for b in ids] for a in ids]
        return LinkFrame(tuple(NodeId(i) for i in ids), codes)

    whole = roll_up([of(1, 2, 3), of(3, 1, 4)])
    assert whole.ids == (3, 1, 4)
    assert whole.figure(frames.RTT_Q50)[0, 1] == pytest.approx(31.0, rel=0.03)
    assert whole.figure(frames.RTT_Q50)[2, 0] == pytest.approx(43.0, rel=0.03)


@pytest.mark.parametrize(
    "blob", [b"", b"nonsense", pack_frame(LinkFrame((), np.zeros((9, 0, 0), np.uint8)))[:-3]]
)
def test_what_is_no_frame_is_told(blob: bytes) -> None:
    with pytest.raises(BadFrame):
        unpack_frame(blob)
