"""``make bench-controller``: one controller under the telemetry of many agents, each on a socket of its own.

The controller is a process of its own; the agents share another, which is this one. After a warm-up, one
node's access becomes slow, so that routes have to change; meanwhile the API is asked. Writes one JSON
document; prints it. I/O: processes, loopback sockets, files.
"""

import argparse
import asyncio
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from controller.config import Config, DecisionSection
from controller.state import create_state
from tests.scale.agents import Agents, cpu_seconds, enrol, resident_bytes
from tests.scale.plane import Plane

QUESTIONS = ("/healthz", "/v1/nodes/n1", "/v1/explain?src=n1&dst=n2", "/v1/routes?src=n1&class=0")
ASK_EVERY_S = 0.1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=15.0, metavar="S", help="of telemetry; default 15")
    parser.add_argument("--warm-up", type=float, default=120.0, metavar="S")
    parser.add_argument("--seconds", type=float, default=180.0, metavar="S", help="measured; default 180")
    parser.add_argument("--out", type=Path, default=Path("build/bench/controller.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(_measure(arguments, Path(folder) / "state"))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0


async def _measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    listen, api = f"127.0.0.1:{_free_port()}", f"127.0.0.1:{_free_port()}"
    decisions = DecisionSection(telemetry_interval=arguments.interval)
    config = Config(listen=listen, advertise=(f"wss://{listen}",), api=api, decisions=decisions)
    with create_state(folder, "scale", config) as state:
        members, secret = enrol(state, arguments.nodes), state.admin_token
    command = [sys.executable, "-m", "controller.cli", "serve", "--state", str(folder)]
    process = subprocess.Popen(command)
    try:
        agents = Agents(f"wss://{listen}", members, plane := Plane.of(len(members)), arguments.interval)
        bearer = {"Authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(base_url=f"http://{api}", headers=bearer, trust_env=False) as client:
            await _answers(client)
            running = [asyncio.create_task(agents.run(index)) for index in range(len(members))]
            while agents.heard.open < len(members):
                await asyncio.sleep(0.2)
            await asyncio.sleep(arguments.warm_up)
            before, cpu, decided = _copy(agents), cpu_seconds(process.pid), await _decisions(client)
            plane.slow[len(members) // 2] = 80.0
            latencies = await _ask(client, arguments.seconds)
            after, used, decided_after = (
                _copy(agents),
                cpu_seconds(process.pid) - cpu,
                await _decisions(client),
            )
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        reports = after["reports"] - before["reports"]
        rounds = decided_after["count"] - decided["count"]
        return {
            "nodes": len(members),
            "sockets": len(members),
            "interval_seconds": arguments.interval,
            "seconds": arguments.seconds,
            "reports": reports,
            "bytes_per_report": round((after["report_octets"] - before["report_octets"]) / max(reports, 1)),
            "channels_lost": after["lost"],
            "decisions": rounds,
            "decision_mean_seconds": round((decided_after["sum"] - decided["sum"]) / max(rounds, 1), 3),
            "mesh_complete": after["complete"] - before["complete"],
            "mesh_changes": after["changes"] - before["changes"],
            "routes_pushed": after["routes_in_changes"] - before["routes_in_changes"],
            "controller_cpu_share": round(used / arguments.seconds, 3),
            "controller_peak_rss_bytes": resident_bytes(process.pid),
            "api_requests": len(latencies),
            "api_p50_ms": _quantile(latencies, 0.5),
            "api_p99_ms": _quantile(latencies, 0.99),
            "api_max_ms": _quantile(latencies, 1.0),
        }
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _ask(client: httpx.AsyncClient, seconds: float) -> list[float]:
    """Ask in turn for that long; return how long each answer took, in ms."""
    latencies: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for question in QUESTIONS:
            started = time.monotonic()
            (await client.get(question, timeout=60.0)).raise_for_status()
            latencies.append(1000 * (time.monotonic() - started))
            await asyncio.sleep(ASK_EVERY_S)
    return latencies


async def _answers(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await client.get("/healthz")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.2)


async def _decisions(client: httpx.AsyncClient) -> dict[str, float]:
    """Return count and sum of the controller's own clock of its decisions."""
    text = (await client.get("/metrics", timeout=60.0)).text
    name = "overlayd_controller_decision_seconds_"
    return {
        key: float(line.split()[-1])
        for key in ("count", "sum")
        for line in text.splitlines()
        if line.startswith(name + key)
    }


def _copy(agents: Agents) -> dict[str, int]:
    return {name: getattr(agents.heard, name) for name in agents.heard.__slots__}


def _quantile(values: list[float], q: float) -> float | None:
    return round(sorted(values)[min(int(q * len(values)), len(values) - 1)], 1) if values else None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
