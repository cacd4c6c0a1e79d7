"""The sliding-window code against an independent solver, which knows nothing of bytes.

The oracle looks at GF(2^8) as the 8-dimensional space over GF(2) that it is: multiplication by a constant is
a binary 8 x 8 matrix, every missing byte is 8 unknown bits, and the system is solved by exclusive or of
integers.
"""

import numpy as np
import pytest

from fec.code import (
    WINDOW_LIMIT,
    MalformedSymbolError,
    Repair,
    SlidingDecoder,
    coefficient,
    make_repair,
    payload_of,
    symbol_of,
)


def times_x(a: int) -> int:
    return (a << 1) ^ (0x11D if a & 0x80 else 0)


class BinaryOracle:
    """Solves the first byte of every symbol (that is, of symbols one byte long) over GF(2)."""

    def __init__(self) -> None:
        self.known: dict[int, int] = {}
        self.repairs: list[tuple[Repair, int]] = []

    def recover(self) -> dict[int, int]:
        """What the equations determine: an unknown byte is determined if all of its 8 bits are."""
        unknowns = sorted(
            {
                seq
                for repair, _ in self.repairs
                for seq in range(repair.first_seq, repair.first_seq + repair.span)
                if seq not in self.known
            }
        )
        place = {seq: 8 * index for index, seq in enumerate(unknowns)}
        equations: list[int] = []
        for repair, byte in self.repairs:
            # One equation per bit of the sum; an equation is an integer whose top bit is its right-hand side.
            rows = [(byte >> bit & 1) << 8 * len(unknowns) for bit in range(8)]
            for seq in range(repair.first_seq, repair.first_seq + repair.span):
                image = coefficient(repair.row, seq)
                for source_bit in range(8):
                    for bit in range(8):
                        if not image >> bit & 1:
                            continue
                        if seq in place:
                            rows[bit] ^= 1 << (place[seq] + source_bit)
                        else:
                            rows[bit] ^= (self.known[seq] >> source_bit & 1) << 8 * len(unknowns)
                    image = times_x(image)
            equations += rows

        left = (1 << 8 * len(unknowns)) - 1
        pivots: dict[int, int] = {}
        for equation in equations:
            for bit, pivot in pivots.items():
                if equation >> bit & 1:
                    equation ^= pivot
            if equation & left == 0:
                assert equation == 0, "arrivals contradict each other"
                continue
            bit = (equation & left).bit_length() - 1
            for other in pivots:
                if pivots[other] >> bit & 1:
                    pivots[other] ^= equation
            pivots[bit] = equation
        solved = {bit: equation for bit, equation in pivots.items() if (equation & left).bit_count() == 1}
        recovered = {
            seq: sum((solved[at + bit] >> 8 * len(unknowns)) << bit for bit in range(8))
            for seq, at in place.items()
            if all(at + bit in solved for bit in range(8))
        }
        self.known |= recovered
        return recovered


@pytest.mark.parametrize("seed", range(60))
def test_sliding_windows_recover_what_the_oracle_recovers_and_when(seed: int) -> None:
    rng = np.random.default_rng(seed)
    window, first = int(rng.integers(1, 20)), int(rng.integers(0, 1000))
    loss, ratio = float(rng.uniform(0.02, 0.5)), float(rng.uniform(0.1, 1.0))
    decoder, oracle = SlidingDecoder(), BinaryOracle()
    # The oracle's byte is the payload's; the two before it are the length, the same for all.
    payloads = {seq: rng.bytes(1) for seq in range(first, first + 40)}
    for seq, payload in payloads.items():
        if rng.random() >= loss:
            decoder.source(seq, payload)
            oracle.known[seq] = payload[0]
        if rng.random() < ratio:
            start = max(first, seq + 1 - window)
            covered = [payloads[number] for number in range(start, seq + 1)]
            repair = make_repair(covered, start, int(rng.integers(0, 256)))
            if rng.random() >= loss:
                decoder.repair(repair)
                oracle.repairs.append((repair, repair.data[2]))
        recovered = decoder.recover()
        assert {seq: payload[0] for seq, payload in recovered.items()} == oracle.recover()
        assert all(payloads[seq] == payload for seq, payload in recovered.items())


def test_symbols_of_different_lengths_share_a_window() -> None:
    payloads = [b"", b"a", b"quite a long one", b"bc"]
    for lost in range(4):
        decoder = SlidingDecoder()
        for seq, payload in enumerate(payloads):
            if seq != lost:
                decoder.source(seq, payload)
        decoder.repair(make_repair(payloads, 0, 3))
        assert decoder.recover() == {lost: payloads[lost]}


def test_a_burst_as_long_as_the_repair_is_recovered() -> None:
    payloads = [bytes([seq]) * 3 for seq in range(WINDOW_LIMIT)]
    decoder = SlidingDecoder()
    for seq in range(96):
        decoder.source(seq, payloads[seq])
    for row in range(31):
        decoder.repair(make_repair(payloads, 0, row))
        assert decoder.recover() == {}
    decoder.repair(make_repair(payloads, 0, 31))
    assert decoder.recover() == {seq: payloads[seq] for seq in range(96, WINDOW_LIMIT)}


def test_contradictory_arrivals_are_found_out() -> None:
    decoder = SlidingDecoder()
    decoder.source(0, b"longer than the repair symbol")
    decoder.repair(Repair(first_seq=0, span=2, row=0, data=b"short"))
    with pytest.raises(MalformedSymbolError):
        decoder.recover()


@pytest.mark.parametrize("symbol", [b"\0\5abc", b"\0\1ab", b"\0\1a\0b", b"\1\0" + bytes(255)])
def test_a_symbol_that_contradicts_its_length_is_malformed(symbol: bytes) -> None:
    with pytest.raises(MalformedSymbolError):
        payload_of(symbol)


def test_padding_is_not_part_of_the_payload() -> None:
    assert payload_of(symbol_of(b"payload\0") + bytes(100)) == b"payload\0"


@pytest.mark.parametrize("count", [0, WINDOW_LIMIT + 1])
def test_a_window_of_impossible_size_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="a window holds 1 to 128"):
        make_repair([b"x"] * count, 0, 0)
