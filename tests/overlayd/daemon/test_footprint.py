"""What an idle agent with five neighbours takes of its host."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from overlayd.agent.mesh import Saved
from overlayd.model.ids import NodeId
from overlayd.protocol import controller, engine
from tests.overlayd.agent.dialogue import ME, link_report, mesh, path_report, record, uplink
from tests.overlayd.daemon.fake_engine import FakeEngine
from tests.overlayd.daemon.test_agent import ask, configure, in_a_loop, member, vouched_record

MOST_BYTES = 60 * 1024 * 1024
MOST_OF_A_CORE = 0.02
PEERS = tuple(NodeId(number) for number in range(2, 7))
SECONDS = 8


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def five_peers() -> Saved:
    peers = [
        msgspec.structs.replace(record(ME), id=peer, name=f"node{peer}", addresses=(), prefixes=())
        for peer in PEERS
    ]
    infos = tuple(controller.PeerInfo(vouched_record(peer), (uplink(peer.id),)) for peer in peers)
    return Saved(msgspec.structs.replace(mesh(1, peers=()), peers=infos))


@in_a_loop
async def test_an_idle_agent_is_small_and_quiet(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    member(configuration, five_peers())
    fake = FakeEngine(configuration.engine_socket)
    await fake.start()
    words = ["-m", "overlayd.cli.daemon", "agent", "--config", str(tmp_path / "overlayd.toml")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, "--set", "log.level=warning", stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await fake.pushed(1)
        await ask(configuration, "status")
        await asyncio.sleep(1)
        before = processor_seconds(process.pid)
        for _ in range(SECONDS):
            fake.say(engine.Links(0, 1, tuple(link_report(peer, peer, 20.0) for peer in PEERS)))
            fake.say(engine.Paths(0, 1, tuple(path_report((peer,), 20.0, True) for peer in PEERS)))
            await asyncio.sleep(1)
        spent = processor_seconds(process.pid) - before
        assert resident_bytes(process.pid) < MOST_BYTES
        assert spent / SECONDS < MOST_OF_A_CORE
    finally:
        process.terminate()
        assert await process.wait() == 0
    await fake.stop()
