"""The agent channel over loopback with real certificates."""

import asyncio
import shutil
import sqlite3
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from controller.registry import PREFIXES_ACCEPTED
from controller.server import channel as channel_module
from controller.server import membership
from controller.state import open_state
from controller.store.store import Store
from overlayd.model.node import NodeRecord, SignedRevocation, Uplink
from overlayd.protocol import reflexive, routes
from overlayd.protocol.compact import CompactTelemetry
from overlayd.protocol.controller import (
    Denied,
    Joined,
    JoinRequest,
    Leave,
    Mesh,
    Renewed,
    RenewRequest,
    Revoked,
)
from overlayd.protocol.reflexive import Sighting, Sightings
from overlayd.protocol.signed import read_record, read_revocation, signed_by
from overlayd.protocol.token import decode_token
from tests.controller.client import (
    COMPACT,
    PLAIN,
    SUBPROTOCOLS,
    Agent,
    Identity,
    agent,
    ask_to_join,
    engine_key,
    make_csr,
    sample,
)
from tests.controller.running import controller


def test_a_token_buys_a_certificate_and_a_signed_record(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            identity = await mesh.join("paris", relay=True)
            assert identity.record == NodeRecord(
                id=identity.id,
                name="paris",
                public_key=engine_key("paris"),
                addresses=identity.record.addresses,
                prefixes=tuple(a + ("/128" if ":" in a else "/32") for a in identity.record.addresses),
                relay=True,
                not_after=identity.record.not_after,
            )
            assert identity.record.addresses[0] == "100.64.0.1"

    asyncio.run(story())


def test_an_agent_gets_a_complete_mesh_and_then_only_changes(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris, oslo = await mesh.join("paris"), await mesh.join("oslo")
            async with agent(mesh.url, paris) as first:
                await first.hello("192.0.2.1:51900")
                complete = await first.hear_mesh()
                assert complete.base == 0
                assert complete.network is not None and complete.network.name == "test"
                assert [name_of(p.record.record) for p in complete.peers] == ["paris", "oslo"]
                async with agent(mesh.url, oslo) as second:
                    await second.hello("192.0.2.2:51900")
                    greeting = await second.hear_mesh()
                    assert greeting.peers[0].uplinks[0].endpoint == "192.0.2.1:51900"
                    change = await first.hear_mesh()
                    assert change.base == complete.generation and change.network is None
                    assert change.peers[0].uplinks[0].endpoint == "192.0.2.2:51900"

    asyncio.run(story())


def test_an_agent_that_comes_back_with_its_generation_gets_a_change_not_everything(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris = await mesh.join("paris")
            async with agent(mesh.url, paris) as first:
                await first.hello()
                held = (await first.hear_mesh()).generation
            await mesh.join("oslo")
            async with agent(mesh.url, paris) as again:
                again.generation = held
                await again.hello(holds=held)
                change = await again.hear_mesh()
                assert change.base == held
                assert "oslo" in [name_of(p.record.record) for p in change.peers]

    asyncio.run(story())


def test_two_hosts_race_for_one_token_and_exactly_one_wins(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            token = mesh.token("paris")
            secret = decode_token(token).secret
            requests = [
                JoinRequest(secret, "paris", make_csr()[0], engine_key(f"host {i}")) for i in range(6)
            ]
            answers = await asyncio.gather(*(ask_to_join(mesh.url, token, request) for request in requests))
            assert sum(isinstance(answer, Joined) for answer in answers) == 1
            losers = [answer for answer in answers if isinstance(answer, Denied)]
            assert {loser.code for loser in losers} == {"token-used"}
            assert len(mesh.state.store.members()) == 1

    asyncio.run(story())


def test_the_agent_channel_is_closed_to_who_has_no_certificate(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            trust = ssl.create_default_context(cadata=mesh.state.issuer.authority.trust_pem)
            with pytest.raises(InvalidStatus) as refused:
                async with connect(mesh.url + "/v1/agent", ssl=trust, subprotocols=SUBPROTOCOLS):
                    pass
            assert refused.value.response.status_code == 401

    asyncio.run(story())


def test_a_certificate_of_another_network_opens_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path / "a") as ours, controller(tmp_path / "b") as theirs:
            stranger = await theirs.join("paris")
            context = stranger.context()
            context.load_verify_locations(cadata=ours.state.issuer.authority.trust_pem)
            with pytest.raises((OSError, ConnectionClosed, InvalidHandshake)):
                async with connect(ours.url + "/v1/agent", ssl=context, subprotocols=SUBPROTOCOLS) as channel:
                    await channel.recv()
            assert not ours.running.service.sessions

    asyncio.run(story())


def test_a_removed_node_is_told_so_at_once_and_when_it_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris, oslo = await mesh.join("paris"), await mesh.join("oslo")
            async with agent(mesh.url, paris) as gone, agent(mesh.url, oslo) as other:
                await gone.hello()
                await gone.hear_mesh()
                await other.hello()
                await other.hear_mesh()
                mesh.running.service.remove(paris.id, "stolen")
                while not isinstance(message := await gone.hear(), Revoked):
                    pass
                assert "stolen" in message.problem
                while not (change := await other.hear_mesh()).removed:
                    pass
                assert change.removed == (paris.id,)
                (signed,) = change.revocations
                revocation = read_revocation(signed, signed_by(oslo.joined.signer))
                assert (revocation.epoch, revocation.node, revocation.reason) == (1, paris.id, "stolen")
                assert revocation.voids(paris.record)
            async with agent(mesh.url, paris) as again:
                await again.hello()
                assert isinstance(await again.hear(), Revoked)

    asyncio.run(story())


def test_a_controller_restored_from_before_a_revocation_learns_of_it_from_its_agents(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris, oslo = await mesh.join("paris"), await mesh.join("oslo")
        shutil.copytree(tmp_path / "state", tmp_path / "copy")
        async with controller(tmp_path) as mesh, agent(mesh.url, oslo) as witness:
            mesh.running.service.remove(paris.id, "stolen")
            await witness.hello()
            (revocation,) = (await witness.hear_mesh()).revocations
        shutil.rmtree(tmp_path / "state")
        shutil.move(tmp_path / "copy", tmp_path / "state")
        async with controller(tmp_path) as mesh:
            async with agent(mesh.url, paris) as thief, agent(mesh.url, oslo) as witness:
                await thief.hello()
                assert isinstance(await thief.hear(), Mesh), "it does not know yet"
                await witness.hello(revocation=revocation)
                assert (await witness.hear_mesh()).revocations == (revocation,)
                while not isinstance(await thief.hear(), Revoked):
                    pass
            assert paris.id not in mesh.running.service.members
            assert (await mesh.join("paris")).record.epoch == 1, "who joins later is another node"
        async with controller(tmp_path) as mesh, agent(mesh.url, oslo) as witness:
            await witness.hello(revocation=SignedRevocation(revocation.revocation[:-1] + b" ", b"0" * 64))
            assert (await witness.hear_mesh()).revocations == (revocation,), "kept, and no other believed"

    asyncio.run(story())


def test_who_leaves_frees_its_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris = await mesh.join("paris")
            async with agent(mesh.url, paris) as leaving:
                await leaving.hello()
                await leaving.hear_mesh()
                await leaving.say(Leave())
                with pytest.raises(ConnectionClosed):
                    while True:
                        await leaving.hear()
            again = await mesh.join("paris")
            assert again.id != paris.id

    asyncio.run(story())


def test_a_certificate_is_renewed_over_the_channel(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris = await mesh.join("paris")
            async with agent(mesh.url, paris) as member:
                await member.hello()
                await member.hear_mesh()
                csr, key_pem = make_csr()
                await member.say(RenewRequest(csr))
                renewed = await member.hear()
                assert isinstance(renewed, Renewed)
            fresh = Identity(
                Joined(renewed.certificate, paris.joined.ca, paris.joined.signer, renewed.record), key_pem
            )
            async with agent(mesh.url, fresh) as member:
                await member.hello()
                assert isinstance(await member.hear(), Mesh)

    asyncio.run(story())


@pytest.mark.parametrize(
    "frame", [b"", b"\xff" * 20, b"\x80", msgspec.msgpack.encode({"type": "mesh"}), "text"]
)
def test_a_malformed_message_ends_its_own_session_only(tmp_path: Path, frame: bytes | str) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris, oslo = await mesh.join("paris"), await mesh.join("oslo")
            async with agent(mesh.url, paris) as bad, agent(mesh.url, oslo) as good:
                for one in (bad, good):
                    await one.hello()
                    await one.hear_mesh()
                await bad.channel.send(frame)
                while not isinstance(message := await bad.hear(), Denied):
                    pass
                assert message.code == "malformed"
                await mesh.join("rome")
                assert isinstance(await good.hear(), Mesh)

    asyncio.run(story())


def test_a_join_request_above_64_kib_is_not_read(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            trust = ssl.create_default_context(cadata=mesh.state.issuer.authority.trust_pem)
            async with connect(mesh.url + "/v1/join", ssl=trust, subprotocols=SUBPROTOCOLS) as channel:
                with pytest.raises(ConnectionClosed) as closed:
                    await channel.send(b"x" * (65 * 1024))
                    await channel.recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009

    asyncio.run(story())


def test_a_node_removed_by_another_process_is_noticed(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris = await mesh.join("paris")
            async with agent(mesh.url, paris) as member:
                await member.hello()
                await member.hear_mesh()
                other_process = open_state(tmp_path / "state")
                membership.remove(other_process, paris.id, "by hand")
                other_process.store.close()
                assert isinstance(await member.hear(), Revoked)

    asyncio.run(story())


def test_the_second_channel_of_a_node_replaces_the_first(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris = await mesh.join("paris")
            async with agent(mesh.url, paris) as first:
                await first.hello()
                await first.hear_mesh()
                async with agent(mesh.url, paris) as second:
                    await second.hello()
                    await second.hear_mesh()
                    with pytest.raises(ConnectionClosed):
                        while True:
                            await first.hear()
                    assert mesh.running.service.members[paris.id].node.connected

    asyncio.run(story())


def test_reports_become_routes_that_leave_a_degraded_path(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            a, b, k = [await mesh.join(name, relay=True) for name in ("a", "b", "k")]
            async with agent(mesh.url, a) as at_a, agent(mesh.url, b) as at_b, agent(mesh.url, k) as at_k:
                for one in (at_a, at_b, at_k):
                    await one.hello()
                    await one.hear_mesh()
                await at_a.report(sample(b.id, 20), sample(k.id, 15))
                await at_b.report(sample(a.id, 20), sample(k.id, 15))
                await at_k.report(sample(a.id, 15), sample(b.id, 15))
                assert await next_path(at_a, b) == (b.id,)
                await at_a.report(sample(b.id, 100, loss=0.08), urgent=True)
                await at_b.report(sample(a.id, 100, loss=0.08), urgent=True)
                assert await next_path(at_a, b) == (k.id, b.id)

    asyncio.run(story())


def test_old_and_new_agents_report_side_by_side(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            a, b = [await mesh.join(name) for name in ("a", "b")]
            async with agent(mesh.url, a, [COMPACT, PLAIN]) as new, agent(mesh.url, b) as old:
                assert (new.channel.subprotocol, old.channel.subprotocol) == (COMPACT, PLAIN)
                for one in (new, old):
                    await one.hello()
                    await one.hear_mesh()
                await new.report(sample(b.id, 20))
                await new.report(sample(b.id, 30, loss=0.02))
                await old.report(sample(a.id, 30))
                assert await next_path(new, b) == (b.id,)
                latest = mesh.running.service.core.topology.latest
                assert latest.rtt_ms[0, 1] == pytest.approx(30, rel=0.002)
                assert latest.loss_out[0, 1] == pytest.approx(0.02, rel=0.005)
                await new.say(CompactTelemetry(False, 15.0, b"\x01", b""))
                with pytest.raises(ConnectionClosed):
                    while True:
                        await new.hear()

    asyncio.run(story())


def test_where_a_node_is_seen_is_told_to_agents_that_know_what_to_do_about_it(tmp_path: Path) -> None:
    seen = "203.0.113.7:51900"

    async def story() -> None:
        async with controller(tmp_path) as mesh, AsyncExitStack() as stack:
            names = ("paris", "oslo", "rome", "bern")
            members = [await mesh.join(name) for name in names]
            spoken = (*[[Subprotocol(reflexive.SUBPROTOCOL)]] * 3, [Subprotocol(routes.SUBPROTOCOL)])
            agents = [
                await stack.enter_async_context(agent(mesh.url, member, subprotocols))
                for member, subprotocols in zip(members, spoken, strict=True)
            ]
            for one in agents:
                await one.hello("192.168.0.2:51900")
            while uplink_of(agents[0].meshes, "rome").endpoint is None:
                await agents[0].hear_mesh()
            for witness in agents[:2]:
                await witness.say(Sightings((Sighting(members[2].id, "isp", seen),)))
            for one in agents[:3]:
                while uplink_of(one.meshes, "rome").reflexive is None:
                    await one.hear_mesh()
                assert uplink_of(one.meshes, "rome").reflexive == seen
            shown = mesh.running.service.described(members[2].id).status.uplinks
            assert [uplink.reflexive for uplink in shown] == [seen]
            # The older one is sent the same change of a peer, and reads it as it always was.
            while agents[3].generation != agents[0].generation:
                await agents[3].hear_mesh()
            assert uplink_of(agents[3].meshes, "rome") == Uplink("isp", "192.168.0.2:51900")

    asyncio.run(story())


def uplink_of(meshes: list[Mesh], name: str) -> Uplink:
    """What was told last of a node's uplink."""
    told = [peer for mesh in meshes for peer in mesh.peers if name_of(peer.record.record) == name]
    return told[-1].uplinks[0] if told and told[-1].uplinks else Uplink("isp", None)


def test_a_database_that_cannot_be_written_keeps_no_agent_from_its_mesh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris, oslo = await mesh.join("paris"), mesh.token("oslo")
            monkeypatch.setattr(Store, "transaction", full)
            async with agent(mesh.url, paris) as member:
                await member.hello()
                assert (await member.hear_mesh()).base == 0
            request = JoinRequest(decode_token(oslo).secret, "oslo", make_csr()[0], engine_key("oslo"))
            answer = await ask_to_join(mesh.url, oslo, request)
            assert isinstance(answer, Denied) and answer.code == "unavailable"

    asyncio.run(story())


def test_above_the_bound_of_channels_that_open_at_once_agents_are_told_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "MAX_OPENING", 1)

    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris, oslo = await mesh.join("paris"), await mesh.join("oslo")
            async with agent(mesh.url, paris) as first:
                with pytest.raises(InvalidStatus) as refused:
                    async with agent(mesh.url, oslo):
                        pass
                assert refused.value.response.status_code == 503
                assert refused.value.response.headers["Retry-After"] == "5"
                await first.hello()
                await first.hear_mesh()
                async with agent(mesh.url, oslo) as second:
                    await second.hello()
                    await second.hear_mesh()

    asyncio.run(story())


def test_a_prefix_that_an_agent_announces_reaches_its_peers_in_a_signed_record(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            paris = await mesh.join("paris", prefixes=("10.1.0.0/16",))
            oslo = await mesh.join("oslo")
            async with agent(mesh.url, oslo) as peer, agent(mesh.url, paris) as gateway:
                await peer.hello()
                await peer.hear_mesh()
                await gateway.hello(prefixes=("10.1.2.0/24", "10.9.0.0/24"))
                infos = (await gateway.hear_mesh()).peers
                records = [read_record(info.record, signed_by(oslo.joined.signer)) for info in infos]
                (own,) = (record for record in records if record.id == paris.id)
                assert "10.1.2.0/24" in own.prefixes, "the node itself hears of it at once"
                while True:
                    infos = [info for info in (await peer.hear_mesh()).peers]
                    records = [read_record(info.record, signed_by(oslo.joined.signer)) for info in infos]
                    if any("10.1.2.0/24" in record.prefixes for record in records):
                        break
                assert not any("10.9.0.0/24" in record.prefixes for record in records)
                node = mesh.running.service.members[paris.id].node
                refused = node.condition(PREFIXES_ACCEPTED)
                assert refused is not None and refused.status == "False"

    asyncio.run(story())


async def next_path(at: Agent, destination: Identity) -> tuple[int, ...]:
    """Wait for the next interactive route to ``destination`` and return its primary."""
    while True:
        for route in (await at.hear_mesh()).routes:
            if route.destination == destination.id and route.class_id == 0:
                return route.paths[0]


def test_routes_outlive_a_restart_of_the_controller(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            a, b = await mesh.join("a"), await mesh.join("b")
            async with agent(mesh.url, a) as at_a:
                await at_a.hello()
                await at_a.hear_mesh()
                await at_a.report(sample(b.id, 20))
                assert await next_path(at_a, b) == (b.id,)
                held = at_a.generation
        async with controller(tmp_path) as mesh, agent(mesh.url, a) as at_a:
            await at_a.hello(holds=held)
            again = await at_a.hear_mesh()
            assert again.base == 0 and again.generation > held
            assert {route.class_id: route.paths for route in again.routes} == {
                n: ((b.id,),) for n in range(4)
            }

    asyncio.run(story())


def name_of(record: bytes) -> str:
    return msgspec.json.decode(record, type=NodeRecord).name
