"""The users' process, and what it has told so far. I/O, needs root."""

import subprocess
import sys
import threading
import time
from pathlib import Path

from sim.appdemo.figures import Asked, between, read

_PROGRAM = Path(__file__).with_name("users.py")


class Load:
    """Users at a site, until stopped; ``asked`` grows while they ask."""

    def __init__(self, namespace: str, address: str, port: int, users: int, per_second: float) -> None:
        asking = [sys.executable, str(_PROGRAM), address, str(port), str(users), str(per_second)]
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *asking],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.asked: list[Asked] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def stop(self) -> None:
        """Have them ask no more; back once all that they told is read."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join(5.0)

    def since(self, begin_s: float) -> list[Asked]:
        return between(list(self.asked), begin_s, time.time() + 1.0)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.asked.append(read(line))
