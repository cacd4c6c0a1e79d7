"""A whole soak: engines with the veth's offloads on and off, IPv4 and IPv6 inside, and the report of it.

I/O, needs root; called by `__main__`.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sim.lab.errors import LabError
from tests.bench.ground import Ground, remove_left_behind
from tests.bench.overlay import OVERLAYS
from tests.bench.run import describe_machine
from tests.soak import transfer
from tests.soak.transfer import Transfer

Tell = Callable[[str], None]

INNER = {"ipv4": ("10.90.0.1", "10.90.0.2"), "ipv6": ("fd90::1", "fd90::2")}
TURN_BYTES = 500_000_000
"""Each way at a time: a soak that fails has told how far it came."""
SEEDS = 1_000_000
"""Numbers that one leg may use."""


def run(root: Path, output: Path, count: int, seed: int, tell: Tell) -> bool:
    """Transfer ``count`` bytes each way and write the report; whether all of it arrived as it was sent."""
    remove_left_behind()
    program = build(root)
    output.parent.mkdir(parents=True, exist_ok=True)
    legs: list[dict[str, Any]] = []
    equal = True
    grounds = [(state, inner) for state in ("on", "off") for inner in INNER]
    for number, (state, inner) in enumerate(grounds):
        tell(f"offloads {state}, {inner} inside")
        first = (seed * len(grounds) + number) * SEEDS
        leg = soak(program, state, inner, count // len(grounds), first, tell)
        legs.append({"offloads": state, "inner": inner, **leg})
        equal = all(leg["failure"] is None for leg in legs)
        total = {
            way: sum(entry["bytes"] for leg in legs for entry in leg["transfers"] if entry["way"] == way)
            for way in transfer.WAYS
        }
        whole = len(legs) == len(grounds)
        document = {
            "machine": describe_machine("cubic"),
            "seed": seed,
            "equal": equal and whole,
            "bytes": total,
            "seconds": round(sum(leg["seconds"] for leg in legs), 1),
            "legs": legs,
        }
        output.write_text(json.dumps(document, indent=2) + "\n")
    return equal


def build(root: Path) -> Path:
    """Build the program that sends and compares; its path."""
    cargo = ["cargo", "build", "--release", "--locked", "--quiet", "--package", "overlayd-io"]
    subprocess.run([*cargo, "--example", "soak_load"], cwd=root / "engine", check=True)
    return root / "engine" / "target" / "release" / "examples" / "soak_load"


def soak(program: Path, state: str, inner: str, count: int, seed: int, tell: Tell) -> dict[str, Any]:
    """One pair of engines, in turns; what was transferred, and the failure that ended it, if one did."""
    begin = time.monotonic()
    sums: dict[tuple[str, str], dict[str, int]] = {}
    failure = None
    with tempfile.TemporaryDirectory(prefix="ovd-soak") as directory:
        ground = Ground(2, state == "on", Path(directory))
        try:
            with ground:
                OVERLAYS[0].start(ground, str)
                transfer.prepare(ground)
                left = count
                while left > 0:
                    turn = min(left, TURN_BYTES)
                    transfers = transfer.run(ground, program, INNER[inner], turn, seed)
                    _add(sums, transfers)
                    transfer.check(transfers, turn)
                    ground.check_alive()
                    left -= turn
                    seed += 1000
                    tell(f"  {(count - left) / 1e9:.2f} GB each way, {time.monotonic() - begin:.0f} s")
        except (LabError, OSError) as error:
            failure = f"{error}\n{ground.log_tail()}".strip()
            tell(f"  failed: {failure}")
    return {
        "seconds": round(time.monotonic() - begin, 1),
        "failure": failure,
        "transfers": [{"kind": kind, "way": way, **found} for (kind, way), found in sums.items()],
    }


def _add(sums: dict[tuple[str, str], dict[str, int]], transfers: list[Transfer]) -> None:
    for one in transfers:
        known = sums.setdefault((one.kind, one.way), dict.fromkeys(one.found, 0))
        for name, value in one.found.items():
            known[name] += value
