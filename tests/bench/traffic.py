"""100,000 requests of HTTP and as many connections of TCP while weights and servers change each second.

Run as `make bench-traffic`, in a network namespace of its own. Writes build/bench/traffic.json. Fails if one
request failed or went to an instance that was not to serve, HAProxy was reloaded, or a change took two
seconds.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import time
from pathlib import Path

from tests.overlayd.traffic.changing import changing

OUTPUT = Path("build/bench/traffic.json")
IN_FORCE_S = 2.0


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=100_000)
    requests = parser.parse_args().requests
    directory = Path(f"/run/traffic-bench-{os.getpid()}")
    directory.mkdir()
    try:
        rows = [_measured(directory, protocol, requests) for protocol in ("HTTP", "TCP")]
    finally:
        shutil.rmtree(directory)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(rows, indent=2) + "\n")
    print(json.dumps(rows, indent=2))
    return 0 if all(row["ok"] for row in rows) else 1


def _measured(directory: Path, protocol: str, requests: int) -> dict[str, object]:
    begun = time.monotonic()
    outcome = asyncio.run(changing(directory, protocol, requests, rate=0))
    seconds = time.monotonic() - begun
    before, after = outcome.processes
    same = before is not None and before == after
    failed = len(outcome.seen.failed)
    answered = len(outcome.seen.answers)
    astray = len(outcome.astray)
    fine = failed == astray == 0 and answered == requests and same and outcome.in_force_s < IN_FORCE_S
    return {
        "ok": fine and (outcome.starts, outcome.reloads) == (1, 0),
        "protocol": protocol,
        "requests": outcome.seen.requests,
        "failed": failed,
        "astray": astray,
        "changes": len(outcome.changes),
        "reloads": outcome.reloads,
        "same_processes": same,
        "in_force_s": round(outcome.in_force_s, 3),
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
