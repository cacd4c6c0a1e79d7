"""Shared test vectors: what the code is, in numbers, for the Rust codec of `engine/fec` to agree with.

Here: the functions that compute them, and the committed JSON files. `python -m fec.vectors` writes the files
anew; a test holds the files to the functions. Bytes are hexadecimal strings.

`field.json`: powers of the generator and inverses. `matrix.json`: the mother matrix by rows. `block.json`:
blocks with the repair symbols of some rows. `sliding.json`: streams, each a list of steps in order. A step
sends a source symbol (`source`, `payload`), sends a repair symbol over the window (`repair`), moves the
window's base (`forget_before`) or delivers a source symbol late (`late`). `arrives` says whether the receiver
gets what is sent; `recovered` lists the sequence numbers that it can work out right after the step.
"""

from typing import Any, Final

import numpy as np

from fec.code import COLUMNS, PARITY_ROWS, SlidingDecoder, block_parity, coefficient, make_repair
from fec.field import EXP, GROUP_ORDER, POLYNOMIAL, inverse

Json = dict[str, Any]

_SYMBOL_BYTES: Final = 12


def field() -> Json:
    """The content of `field.json`."""
    return {
        "polynomial": POLYNOMIAL,
        "powers": bytes(EXP).hex(),
        "inverses_of_1_to_255": bytes(inverse(a) for a in range(1, GROUP_ORDER + 1)).hex(),
    }


def matrix() -> Json:
    """The content of `matrix.json`."""
    return {
        "rows": [bytes(coefficient(row, seq) for seq in range(COLUMNS)).hex() for row in range(PARITY_ROWS)]
    }


def block() -> Json:
    """The content of `block.json`."""
    rng = _random(1)
    blocks: list[Json] = []
    for k, rows in [(1, [0]), (10, [0, 1]), (20, [0, 1, 2, 3]), (32, [31, 7, 16]), (223, [5])]:
        symbols = rng.randint(0, 256, (k, 4), dtype=np.uint8)
        parity = block_parity(symbols, rows)
        blocks.append(
            {
                "symbols": [symbol.tobytes().hex() for symbol in symbols],
                "rows": rows,
                "repair": [symbol.tobytes().hex() for symbol in parity],
            }
        )
    return {"blocks": blocks}


def sliding() -> Json:
    """The content of `sliding.json`."""
    return {
        "symbol_bytes": _SYMBOL_BYTES,
        "streams": [
            _stream("clean", seed=2, window=10, first_seq=0, count=12, every=4, loss=0.0),
            _stream("light loss", seed=3, window=20, first_seq=0, count=60, every=5, loss=0.08),
            _stream("heavy loss", seed=4, window=16, first_seq=1000, count=60, every=2, loss=0.3),
            _stream("columns repeat", seed=5, window=24, first_seq=COLUMNS - 30, count=60, every=3, loss=0.2),
            _stream("largest window", seed=8, window=128, first_seq=7, count=140, every=10, loss=0.06),
            _stream("last numbers", seed=7, window=8, first_seq=2**32 - 40, count=40, every=3, loss=0.2),
        ],
    }


def _stream(
    name: str, *, seed: int, window: int, first_seq: int, count: int, every: int, loss: float
) -> Json:
    """A stream of `count` source symbols with a repair symbol after each `every` of them."""
    rng = _random(seed)
    decoder = SlidingDecoder()
    steps: list[Json] = []
    sent: dict[int, bytes] = {}
    late: list[int] = []
    base = first_seq

    def step(**content: Any) -> None:
        steps.append({**content, "recovered": sorted(decoder.recover())})

    for seq in range(first_seq, first_seq + count):
        payload = rng.bytes(int(rng.randint(0, _SYMBOL_BYTES + 1)))
        sent[seq] = payload
        arrives = bool(rng.random_sample() >= loss)
        if arrives:
            decoder.source(seq, payload)
        elif rng.random_sample() < 0.3:
            late.append(seq)
        step(source=seq, payload=payload.hex(), arrives=arrives)

        if (seq - first_seq) % every == every - 1:
            start = max(base, seq + 1 - window)
            row = int(rng.randint(0, PARITY_ROWS))
            repair = make_repair([sent[number] for number in range(start, seq + 1)], start, row)
            arrives = bool(rng.random_sample() >= loss)
            if arrives:
                decoder.repair(repair)
            header = {"first_seq": repair.first_seq, "span": repair.span, "row": repair.row}
            step(repair={**header, "data": repair.data.hex()}, arrives=arrives)
        if late and rng.random_sample() < 0.2:
            number = late.pop(0)
            decoder.source(number, sent[number])
            step(late=number)
        if rng.random_sample() < 0.5 / window:
            base = max(base, seq - window // 2)
            step(forget_before=base)
    return {"name": name, "window": window, "steps": steps}


def _random(seed: int) -> np.random.RandomState:
    """The old generator: unlike the new one, it promises the same numbers in every version of numpy."""
    return np.random.RandomState(seed)
