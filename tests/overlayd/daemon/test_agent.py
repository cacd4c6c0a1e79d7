"""The agent's process with its sockets and files; the engine is a fake one, there is no controller."""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from overlayd.agent.mesh import Saved
from overlayd.daemon import agent
from overlayd.daemon.agent import AgentProcess
from overlayd.daemon.config import Configuration, load
from overlayd.daemon.errors import StartError
from overlayd.daemon.state import AgentState, Credentials, Membership
from overlayd.model.ids import NodeId
from overlayd.model.node import NodeRecord, SignedRecord
from overlayd.protocol import controller, local
from overlayd.protocol.framing import FrameReader, encode_frame
from tests.overlayd.agent.dialogue import BERLIN, ME, ROME, mesh, record, route, uplink
from tests.overlayd.daemon.fake_engine import FakeEngine

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER_HEX = (
    SIGNER.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()
)
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def vouched(node: NodeId, key: Ed25519PrivateKey = SIGNER) -> SignedRecord:
    return vouched_record(record(node), key)


def vouched_record(known: NodeRecord, key: Ed25519PrivateKey = SIGNER) -> SignedRecord:
    body = msgspec.json.encode(known)
    return SignedRecord(body, key.sign(body))


def stored_mesh(generation: int = 3, key: Ed25519PrivateKey = SIGNER) -> Saved:
    peers = tuple(controller.PeerInfo(vouched(peer, key), (uplink(peer),)) for peer in (BERLIN, ROME))
    complete = mesh(generation, route(BERLIN, (BERLIN,), (ROME, BERLIN)))
    return Saved(msgspec.structs.replace(complete, peers=peers))


def configure(folder: Path) -> Configuration:
    file = folder / "overlayd.toml"
    file.write_text(
        f"""
        [node]
        name = "paris"
        state_dir = "{folder}/state"
        runtime_dir = "{folder}"
        [agent]
        lan_discovery = false
        [[uplink]]
        name = "isp1"
        address = "127.0.0.1"
        [log]
        level = "debug"
        """
    )
    return load(file)


def member(configuration: Configuration, saved: Saved | None) -> AgentState:
    """Make the node a member of a network whose controller is not there."""
    state = AgentState(configuration.agent_dir)
    state.prepare()
    state.join(
        Membership("wss://127.0.0.1:1", SIGNER_HEX, vouched(ME)),
        Credentials("no key", "no certificate", "no ca"),
    )
    if saved is not None:
        state.save_mesh(saved)
    return state


def unrouted(configuration: Configuration) -> Configuration:
    """As on a host without a default route: nothing far away is reached from the loopback address."""
    (uplink,) = configuration.uplink
    return msgspec.structs.replace(configuration, uplink=(msgspec.structs.replace(uplink, endpoint="auto"),))


@contextlib.asynccontextmanager
async def running(configuration: Configuration) -> AsyncGenerator[asyncio.Task[None]]:
    task = asyncio.create_task(AgentProcess(configuration).run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def ask(configuration: Configuration, verb: str, **arguments: object) -> local.Answer:
    """Ask like `overlayctl`; waits for the agent to listen."""
    async with asyncio.timeout(120):
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(configuration.agent_socket))
                break
            except OSError:
                await asyncio.sleep(0.02)
        writer.write(encode_frame(msgspec.json.encode(local.Request(verb, arguments))))
        frames = FrameReader()
        while not (answers := frames.feed(await reader.read(65536))):
            pass
        writer.close()
    return msgspec.json.decode(answers[0], type=local.Answer)


async def endpoints(configuration: Configuration) -> list[str | None]:
    """Where the node says that peers reach it."""
    answer = await ask(configuration, "nodes")
    assert answer.result is not None
    return [*msgspec.convert(answer.result, local.NodeList).nodes[0].endpoints]


def unreadable(state: AgentState) -> Saved | None:
    raise StartError(f"{state.directory} has gone bad")


def in_a_loop(test: Callable[[Path], Awaitable[None]]) -> Callable[[Path], None]:
    def run(tmp_path: Path) -> None:
        asyncio.run(asyncio.wait_for(_awaited(test(tmp_path)), 240))

    run.__name__ = test.__name__
    return run


async def _awaited(work: Awaitable[None]) -> None:
    await work


@in_a_loop
async def test_an_agent_without_controller_pushes_its_stored_mesh(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    member(configuration, stored_mesh())
    engine = FakeEngine(configuration.engine_socket)
    await engine.start()
    async with running(configuration):
        snapshot = await engine.pushed(1)
        assert snapshot.route_generation == 3
        assert snapshot.routes[0].paths == ((BERLIN,), (ROME, BERLIN))
    await engine.stop()


@in_a_loop
async def test_peers_whose_records_were_not_signed_never_reach_the_engine(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    member(configuration, stored_mesh(key=STRANGER))
    engine = FakeEngine(configuration.engine_socket)
    await engine.start()
    async with running(configuration):
        assert (await engine.pushed(1)).peers == ()
    await engine.stop()


@in_a_loop
async def test_an_engine_that_starts_later_or_anew_gets_the_tables(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    member(configuration, stored_mesh())
    async with running(configuration):
        answer = await ask(configuration, "status")
        assert answer.result is not None and answer.result["engine"]["connected"] is False
        for expected in (1, 2):
            engine = FakeEngine(configuration.engine_socket)
            await engine.start()
            assert len((await engine.pushed(1)).peers) == 2, f"engine number {expected}"
            await engine.stop()


@in_a_loop
async def test_status_does_not_call_a_silent_peer_alive(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    member(configuration, stored_mesh())
    engine = FakeEngine(configuration.engine_socket)
    await engine.start()
    async with running(configuration):
        await engine.pushed(1)
        answer = await ask(configuration, "status")
        assert answer.result is not None
        status = msgspec.convert(answer.result, local.Status)
        assert status.state == "offline"
        assert [peer.data_plane for peer in status.peers] == ["unknown", "unknown"]
        assert any("controller" in problem for problem in status.degraded)
    await engine.stop()


@in_a_loop
async def test_systemd_hears_that_the_agent_is_ready_and_alive(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, pytest.MonkeyPatch.context() as patched:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        patched.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        async with running(configure(tmp_path)):
            loop = asyncio.get_running_loop()
            assert await loop.sock_recv(systemd, 100) == b"READY=1"
            assert await loop.sock_recv(systemd, 100) == b"WATCHDOG=1"


@in_a_loop
async def test_a_node_that_has_not_joined_says_so(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    async with running(configuration):
        answer = await ask(configuration, "status")
        assert answer.result is not None and answer.result["state"] == "not-joined"
        refused = await ask(configuration, "links")
        assert refused.problem is not None and "overlayctl join" in refused.problem.message


@in_a_loop
async def test_a_question_about_paths_tells_who_has_not_joined_what_to_do(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    async with running(configuration):
        for verb in ("explain", "trace"):
            problem = (await ask(configuration, verb, destination="berlin")).problem
            assert problem is not None and problem.code == "not-found"
            assert problem.message == "this node has not joined a network; `overlayctl join TOKEN` does"


@in_a_loop
async def test_a_member_without_a_route_forwards_and_is_reached_once_it_has_one(tmp_path: Path) -> None:
    configuration = unrouted(configure(tmp_path))
    member(configuration, stored_mesh())
    engine = FakeEngine(configuration.engine_socket)
    await engine.start()
    async with running(configuration):
        assert len((await engine.pushed(1)).peers) == 2, "a mesh that is stored needs no route to be used"
        assert await endpoints(configuration) == [None]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("overlayd.daemon.reach._FAR", {socket.AF_INET: "127.0.0.1"})
            async with asyncio.timeout(120):
                while await endpoints(configuration) != ["127.0.0.1:51900"]:
                    await asyncio.sleep(0.05)
        pushed = [snapshot.generation for snapshot in engine.snapshots]
        assert pushed == sorted(set(pushed)), "the engine accepts no generation again"
        assert len(engine.snapshots[-1].peers) == 2
    await engine.stop()


@in_a_loop
async def test_a_token_is_not_shown_to_anybody_before_there_is_a_route(tmp_path: Path) -> None:
    configuration = unrouted(configure(tmp_path))
    async with running(configuration):
        answer = await ask(configuration, "join", token="ovl1_damaged")
        assert answer.problem is not None and answer.problem.code == "failed"
        assert 'endpoint = "auto" needs a default route' in answer.problem.message


@in_a_loop
async def test_what_cannot_be_gone_on_without_ends_the_agent_in_one_line(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    member(configuration, stored_mesh())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(AgentState, "load_mesh", unreadable)
        with pytest.raises(StartError, match="gone bad"):
            await AgentProcess(configuration).run()


@in_a_loop
async def test_a_damaged_join_token_is_a_usage_error_and_changes_nothing(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    engine = FakeEngine(configuration.engine_socket)
    await engine.start()
    async with running(configuration):
        answer = await ask(configuration, "join", token="ovl1_damaged")
        assert answer.problem is not None and answer.problem.code == "usage"
        assert AgentState(configuration.agent_dir).membership() is None
    await engine.stop()


@in_a_loop
async def test_unknown_verbs_and_arguments_are_refused_by_name(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    member(configuration, stored_mesh())
    async with running(configuration):
        verb = await ask(configuration, "dance")
        assert verb.problem is not None and "dance" in verb.problem.message
        argument = await ask(configuration, "explain", destination="berlin", wrong=1)
        assert argument.problem is not None and argument.problem.code == "usage"
        nobody = await ask(configuration, "explain", destination="atlantis")
        assert nobody.problem is not None and nobody.problem.code == "not-found"
        assert "berlin" in nobody.problem.message


@in_a_loop
async def test_leave_needs_force_when_the_controller_cannot_be_told(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    state = member(configuration, stored_mesh())
    engine = FakeEngine(configuration.engine_socket)
    await engine.start()
    async with running(configuration):
        await engine.pushed(1)
        assert (await ask(configuration, "leave")).problem is not None
        assert (await ask(configuration, "leave", force=True)).result is not None
        assert (await engine.pushed(2)).peers == ()
        assert state.membership() is None and not state.key_file.exists()
    await engine.stop()


@in_a_loop
async def test_the_socket_is_for_owner_and_group_only(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    async with running(configuration):
        await ask(configuration, "status")
        assert stat.S_IMODE(configuration.agent_socket.stat().st_mode) == 0o660


@in_a_loop
async def test_a_second_agent_does_not_take_the_socket_away(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    async with running(configuration):
        await ask(configuration, "status")
        with pytest.raises(StartError, match="another agent"):
            await AgentProcess(configuration).run()
        assert (await ask(configuration, "status")).result is not None


@in_a_loop
async def test_a_disk_that_does_not_answer_is_told_of_until_it_does(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    state = member(configuration, stored_mesh())
    # A write to it hangs until somebody reads it, as one to a disk that has gone away.
    hung = state.directory / ".probe"
    os.mkfifo(hung)
    problem = "state cannot be written: the disk has not answered for 0.05 s"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(agent, "DISK_S", 0.05)
        patched.setattr(agent, "DISK_WAIT_S", 0.05)
        async with running(configuration):
            try:
                while problem not in await degraded(configuration):
                    await asyncio.sleep(0.02)
            finally:
                reader = os.open(hung, os.O_RDONLY | os.O_NONBLOCK)
            patched.setattr(agent, "DISK_WAIT_S", 240.0)
            while problem in await degraded(configuration):
                await asyncio.sleep(0.02)
    os.close(reader)


async def degraded(configuration: Configuration) -> list[str]:
    answer = await ask(configuration, "status")
    assert answer.result is not None
    return answer.result["degraded"]
