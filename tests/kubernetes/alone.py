"""Our API as a process of its own, without a mesh: for what is done to a server that dies or is under load.

``python -m tests.kubernetes.alone FOLDER PORT`` serves until it is ended; the state stays in FOLDER.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import uvicorn

from controller.orchestration.objects.offered import OFFERED
from controller.orchestration.serving.server import Serving
from tests.kubernetes.oracle import client, free_port

TOKEN = "t" * 32
_START_S = 180.0
_CERTIFICATE, _KEY = "certificate.pem", "key.pem"


class Alone:
    """A server that can be killed and started anew at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"https://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
                   "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                   "-keyout", str(folder / _KEY), "-out", str(folder / _CERTIFICATE)]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "tests.kubernetes.alone", str(self.folder), str(self.port)]
        root = Path(__file__).parents[2]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=root)
        end = time.monotonic() + _START_S
        with client(self.address, TOKEN) as asked:
            while time.monotonic() < end:
                try:
                    if asked.get("/readyz").status_code == 200:
                        return
                except httpx.TransportError:
                    time.sleep(0.05)
        raise TimeoutError(f"not up within {_START_S} s: {(self.folder / 'log').read_text()}")

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Have it end."""
        self._end(signal.SIGTERM)

    def peak_mib(self) -> float:
        """Return the most memory that it has had, in MiB."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def cpu_s(self) -> float:
        """Return the processor time that it has taken, in seconds."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(30)


async def _serve(folder: Path, port: int) -> None:
    serving = Serving(folder / "objects.db", TOKEN, OFFERED)
    config = uvicorn.Config(
        serving.api, port=port, lifespan="off", log_level="error", ws="none",
        ssl_certfile=folder / _CERTIFICATE, ssl_keyfile=folder / _KEY, timeout_graceful_shutdown=1,
    )  # fmt: skip
    await uvicorn.Server(config).serve()
    serving.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
