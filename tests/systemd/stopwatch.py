"""How much longer `overlayctl status` takes than Python itself, in turns; runs in a container, stands alone.

Prints medians as JSON. Called by `tests.systemd`. I/O: processes, the clock.
"""

import json
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python": ("/usr/lib/overlayd/bin/python3", "-I", "-c", ""),
    "status": ("overlayctl", "status"),
}


def main(rounds: int) -> None:
    took_s: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            begun = time.monotonic()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            took_s[name].append(time.monotonic() - begun)
    print(json.dumps({name: round(statistics.median(values), 4) for name, values in took_s.items()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
