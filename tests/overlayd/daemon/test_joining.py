"""Joining, renewing and leaving against a real controller over real TLS."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from overlayd.daemon.joining import Renewal, enrol, identify
from overlayd.daemon.state import AgentState, Membership
from overlayd.daemon.tls import Validity, make_csr, make_key
from overlayd.daemon.uplink import JoinError
from overlayd.protocol import local
from overlayd.protocol.signed import BadRecord
from overlayd.protocol.token import decode_token, encode_token
from tests.overlayd.daemon.fake_engine import FakeEngine
from tests.overlayd.daemon.test_agent import ask, configure, in_a_loop, running, unrouted

DAY_S = 86400


class Controller:
    """A controller process, and tokens of it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.state = folder / "controller"
        self._call(
            "init", "--network", "test", "--listen", f"127.0.0.1:{self.port}", "--api", f"unix:{folder}/api"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controller.cli", "serve", "--state", str(self.state)],
            stderr=(folder / "log").open("w"),
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        pytest.fail(f"the controller does not listen: {(folder / 'log').read_text()}")

    def token(self, name: str, *words: str) -> str:
        made = self._call("token", "create", "--name", name, "-o", "json", *words)
        return json.loads(made)["items"][0]["token"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)

    def _call(self, *words: str) -> str:
        command = [sys.executable, "-m", "controller.cli", *words, "--state", str(self.state)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    served = Controller(tmp_path_factory.mktemp("network"))
    yield served
    served.stop()


def fresh_state(folder: Path) -> AgentState:
    state = AgentState(folder / "agent")
    state.prepare()
    return state


def join(state: AgentState, token: str, name: str) -> Membership:
    return asyncio.run(enrol(state, token, name, os.urandom(32).hex(), ()))


def refused(state: AgentState, token: str, name: str) -> str:
    with pytest.raises(JoinError) as error:
        join(state, token, name)
    assert state.membership() is None, "nothing is kept of a join that failed"
    return error.value.code


def test_a_token_buys_a_membership_once(network: Controller, tmp_path: Path) -> None:
    token = network.token("once")
    membership = join(fresh_state(tmp_path), token, "once")
    assert identify(membership)[1].name == "once"
    assert refused(fresh_state(tmp_path / "second"), token, "once") == "token-used"


def test_a_token_of_another_network_sends_its_secret_nowhere(network: Controller, tmp_path: Path) -> None:
    token = decode_token(network.token("misled"))
    elsewhere = encode_token(msgspec.structs.replace(token, pin="00" * 32))
    assert refused(fresh_state(tmp_path), elsewhere, "misled") == "untrusted"
    assert join(fresh_state(tmp_path), encode_token(token), "misled"), "the token is still good"


def test_nobody_at_the_address_is_told_as_such(tmp_path: Path, network: Controller) -> None:
    token = decode_token(network.token("nobody"))
    nowhere = encode_token(msgspec.structs.replace(token, url="wss://127.0.0.1:1"))
    assert refused(fresh_state(tmp_path), nowhere, "nobody") == "unreachable"


def test_a_record_by_another_signer_is_no_membership(network: Controller, tmp_path: Path) -> None:
    membership = join(fresh_state(tmp_path), network.token("signed"), "signed")
    for signer in ("11" * 32, "no hex", "11"):
        with pytest.raises(BadRecord):
            identify(msgspec.structs.replace(membership, signer=signer))


def test_renewal_is_asked_for_at_half_of_the_certificates_life_by_either_clock(
    network: Controller, tmp_path: Path
) -> None:
    state = fresh_state(tmp_path)
    join(state, network.token("renews"), "renews")
    renewal, now = Renewal(state, 0), time.time()
    assert renewal.request("renews", 0, now) is None
    assert renewal.request("renews", 0, now - 10 * 365 * DAY_S) is None
    four_days_ns = 4 * DAY_S * 10**9
    asked = renewal.request("renews", four_days_ns, now - 10 * 365 * DAY_S)
    assert asked is not None and "CERTIFICATE REQUEST" in asked.csr
    assert renewal.request("renews", four_days_ns + 10**9, now) is None, "not again at once"
    assert Renewal(state, 0).request("renews", 0, now + 4 * DAY_S) is not None


def test_half_life_is_the_middle() -> None:
    assert Validity(100.0, 300.0).half_life == 200.0
    assert "CERTIFICATE REQUEST" in make_csr(make_key(), "any")


def test_a_node_joins_gets_its_mesh_and_leaves(network: Controller, tmp_path: Path) -> None:
    @in_a_loop
    async def story(folder: Path) -> None:
        configuration = configure(folder)
        engine = FakeEngine(configuration.engine_socket, os.urandom(32).hex())
        await engine.start()
        async with running(configuration):
            token = await asyncio.to_thread(network.token, "paris")
            joined = await ask(configuration, "join", token=token)
            assert joined.result is not None and "joined as paris" in joined.result["message"]
            again = await ask(configuration, "join", token=token)
            assert again.problem is not None and again.problem.code == "conflict"
            snapshot = await engine.pushed(1)
            assert snapshot.node.name == "paris"
            async with asyncio.timeout(120):
                while (answer := await ask(configuration, "status")).result is None or (
                    msgspec.convert(answer.result, local.Status).state != "online"
                ):
                    await asyncio.sleep(0.05)
            left = await ask(configuration, "leave")
            assert left.result is not None
            assert AgentState(configuration.agent_dir).membership() is None
            token = await asyncio.to_thread(network.token, "paris")
            assert (await ask(configuration, "join", token=token)).result is not None, "by the same process"
            while engine.snapshots[-1].node.id == snapshot.node.id:
                await engine.pushed(len(engine.snapshots) + 1)
            pushed = [snapshot.generation for snapshot in engine.snapshots]
            assert pushed == sorted(set(pushed)), "the engine accepts no generation again"
            assert (await ask(configuration, "leave")).result is not None
        async with running(configuration):
            token = await asyncio.to_thread(network.token, "paris")
            assert (await ask(configuration, "join", token=token)).result is not None, (
                "the name is free again"
            )
        await engine.stop()

    story(tmp_path)


def test_a_prefix_announced_later_is_in_force_as_soon_as_the_controller_has_granted_it(
    network: Controller, tmp_path: Path
) -> None:
    prefix = "10.55.0.0/24"

    @in_a_loop
    async def story(folder: Path) -> None:
        configuration = configure(folder)
        node = msgspec.structs.replace(configuration.node, name="gateway")
        configuration = msgspec.structs.replace(configuration, node=node)
        engine = FakeEngine(configuration.engine_socket, os.urandom(32).hex())
        await engine.start()
        async with running(configuration):
            token = await asyncio.to_thread(network.token, "gateway", "--prefix", prefix)
            assert (await ask(configuration, "join", token=token)).result is not None
            assert prefix not in (await engine.pushed(1)).node.prefixes
        announcing = msgspec.structs.replace(configuration.agent, announce=(prefix,))
        async with running(msgspec.structs.replace(configuration, agent=announcing)):
            async with asyncio.timeout(120):
                while prefix not in engine.snapshots[-1].node.prefixes:
                    await asyncio.sleep(0.05)
        membership = AgentState(configuration.agent_dir).membership()
        assert membership is not None
        assert prefix in identify(membership)[1].prefixes, "it holds after a restart without a controller"
        await engine.stop()

    story(tmp_path)


def test_a_token_file_joins_once_and_is_ignored_by_a_member(network: Controller, tmp_path: Path) -> None:
    @in_a_loop
    async def story(folder: Path) -> None:
        configuration = configure(folder)
        (folder / "token").write_text(await asyncio.to_thread(network.token, "filed"))
        node = msgspec.structs.replace(configuration.node, name="filed")
        section = msgspec.structs.replace(configuration.agent, join_token_file=str(folder / "token"))
        configuration = msgspec.structs.replace(configuration, agent=section, node=node)
        engine = FakeEngine(configuration.engine_socket, os.urandom(32).hex())
        await engine.start()
        for _ in range(2):
            async with running(configuration):
                snapshot = await engine.pushed(len(engine.snapshots) + 1)
                assert snapshot.node.name == "filed"
        await engine.stop()

    story(tmp_path)


def test_a_token_outlives_the_time_without_a_route_given_by_hand_or_by_file(
    network: Controller, tmp_path: Path
) -> None:
    @in_a_loop
    async def story(folder: Path) -> None:
        token = await asyncio.to_thread(network.token, "unrouted")
        configuration = unrouted(configure(folder))
        node = msgspec.structs.replace(configuration.node, name="unrouted")
        configuration = msgspec.structs.replace(configuration, node=node)
        engine = FakeEngine(configuration.engine_socket, os.urandom(32).hex())
        await engine.start()
        async with running(configuration):
            early = await ask(configuration, "join", token=token)
            assert early.problem is not None and "default route" in early.problem.message
            assert AgentState(configuration.agent_dir).membership() is None
        (folder / "token").write_text(token)
        section = msgspec.structs.replace(
            configuration.agent, join_token_file=str(folder / "token"), reconnect_spread=0.5
        )
        async with running(msgspec.structs.replace(configuration, agent=section)):
            await asyncio.sleep(0.1)
            assert not engine.snapshots
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("overlayd.daemon.reach._FAR", {socket.AF_INET: "127.0.0.1"})
                assert (await engine.pushed(1)).node.name == "unrouted"
        await engine.stop()

    story(tmp_path)
