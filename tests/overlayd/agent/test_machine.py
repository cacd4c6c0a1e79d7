"""The agent as its process and the simulator see it: events in, commands out."""

import msgspec
import pytest

from overlayd.agent.mesh import Saved
from overlayd.agent.messages import (
    Configured,
    ControllerConnected,
    ControllerLost,
    EngineLost,
    Left,
    Level,
    Log,
    NeighbourSeen,
    PushSnapshot,
    Reconnect,
    Recorded,
    Save,
    TellController,
    Tick,
)
from overlayd.agent.view import NotFound, Outside, View
from overlayd.model.ids import LinkId
from overlayd.model.node import SignedRecord
from overlayd.model.service import HostRule
from overlayd.protocol import controller, engine, local
from tests.overlayd.agent.dialogue import (
    BERLIN,
    ME,
    OSLO,
    ROME,
    SECOND,
    Dialogue,
    agent,
    link_report,
    mesh,
    path_report,
    record,
    revoked,
    route,
    snapshots,
    started,
    told,
    welcome,
)

DIRECT, VIA_ROME, VIA_OSLO = (BERLIN,), (ROME, BERLIN), (OSLO, BERLIN)


def test_the_first_mesh_is_saved_and_then_pushed() -> None:
    talk = Dialogue(agent())
    talk >> welcome() << Save
    talk >> mesh(5, route(BERLIN, DIRECT, VIA_ROME)) << Save << PushSnapshot
    talk.silent()


def test_a_snapshot_holds_peers_links_classes_and_routes() -> None:
    talk = Dialogue(agent())
    talk >> welcome(generation=41)
    talk.drain()
    talk >> mesh(5, route(BERLIN, DIRECT, VIA_ROME))
    (snapshot,) = snapshots(talk.drain())
    assert (snapshot.generation, snapshot.route_generation, snapshot.node.id) == (42, 5, ME)
    assert [peer.name for peer in snapshot.peers] == ["berlin", "rome"]
    assert [(link.peer, link.remote) for link in snapshot.links] == [
        (BERLIN, "198.51.100.2:51900"),
        (ROME, "198.51.100.3:51900"),
    ]
    assert snapshot.routes[0] == engine.Route(BERLIN, 0, (DIRECT, VIA_ROME))
    assert {classifier.dscp for classifier in snapshot.classifiers} == {18, 20, 22, 26}


def test_an_agent_without_a_mesh_leaves_the_engine_as_it_is() -> None:
    talk = Dialogue(agent())
    talk >> welcome(generation=41)
    assert snapshots(talk.drain()) == []


def test_a_restarted_agent_pushes_the_same_tables_with_the_next_generation() -> None:
    talk = Dialogue(agent())
    talk >> welcome()
    talk.drain()
    talk >> mesh(5, route(BERLIN, DIRECT, VIA_ROME), peers=(BERLIN, ROME, OSLO))
    saved, push = talk.drain()
    assert isinstance(saved, Save) and isinstance(push, PushSnapshot)
    stored = msgspec.json.decode(msgspec.json.encode(saved.saved), type=Saved)

    talk = Dialogue(agent(stored))
    talk >> welcome(generation=push.snapshot.generation)
    (again,) = snapshots(talk.drain())
    assert again == msgspec.structs.replace(push.snapshot, generation=push.snapshot.generation + 1)


def test_link_numbers_survive_a_peer_that_leaves() -> None:
    talk = started(peers=(BERLIN, ROME, OSLO))
    before = {key.peer: number for number, key in talk.agent.tables.keys.items()}
    talk >> mesh(2, peers=(BERLIN, OSLO))
    talk.drain()
    after = {key.peer: number for number, key in talk.agent.tables.keys.items()}
    assert after == {peer: number for peer, number in before.items() if peer != ROME}


def test_nothing_is_pushed_when_nothing_changed() -> None:
    talk = started(route(BERLIN, DIRECT, VIA_ROME))
    talk.pass_time(1) >> Tick()
    talk.silent()


def test_a_new_engine_gets_the_tables_above_its_own_generation() -> None:
    talk = started()
    talk >> welcome(generation=900, boot=2)
    (snapshot,) = snapshots(talk.drain())
    assert snapshot.generation == 901


def test_shards_that_know_of_it_share_the_networks_budget_for_probes() -> None:
    talk = started()
    network = msgspec.structs.replace(mesh(2).network, probe_budget=90_000)
    talk >> msgspec.structs.replace(mesh(2), network=network)
    (snapshot,) = snapshots(talk.drain())
    assert snapshot.probe_budget is None, "an older engine would refuse it"
    talk >> msgspec.structs.replace(welcome(boot=2), shards=2, probe_budget=True)
    (snapshot,) = snapshots(talk.drain())
    assert snapshot.probe_budget == 45_000


def test_hello_tells_the_generation_that_is_held() -> None:
    talk = started()
    talk >> ControllerConnected()
    (hello,) = told(talk.drain())
    assert isinstance(hello, controller.Hello) and hello.generation == 1


def test_a_change_that_does_not_fit_is_not_used_and_a_complete_mesh_is_asked_for() -> None:
    talk = started()
    held = talk.agent.mesh
    talk >> mesh(9, base=8) << Reconnect
    assert talk.agent.mesh == held
    talk >> ControllerConnected()
    (hello,) = told(talk.drain())
    assert isinstance(hello, controller.Hello) and hello.generation == 0


def test_a_change_is_laid_over_what_is_held() -> None:
    talk = started(route(BERLIN, DIRECT, VIA_ROME))
    change = msgspec.structs.replace(mesh(2, base=1, peers=(OSLO,)), removed=(ROME,), network=None)
    talk >> change
    (snapshot,) = snapshots(talk.drain())
    assert [peer.id for peer in snapshot.peers] == [BERLIN, OSLO]
    assert snapshot.routes[0].paths == (DIRECT,), "a path over a node that left cannot be installed"


def test_the_own_record_signed_anew_is_in_force_at_once_and_stored() -> None:
    talk = started()
    granted = msgspec.structs.replace(record(ME), prefixes=("10.90.0.1/32", "192.168.7.0/24"))
    own = SignedRecord(msgspec.json.encode(granted), b"signature")
    change = msgspec.structs.replace(mesh(2, peers=(), base=1), peers=(controller.PeerInfo(own, ()),))
    talk >> change << Recorded(own) << Save
    talk << (lambda it: "192.168.7.0/24" in it.snapshot.node.prefixes)
    talk.silent()
    talk >> msgspec.structs.replace(change, generation=3, base=2) << Save  # nothing new of it


def test_a_degraded_path_is_left_within_three_seconds_and_the_controller_is_told() -> None:
    talk = started(route(BERLIN, DIRECT, VIA_ROME, rtt_ms=40))
    talk >> ControllerConnected()
    healthy = (link_report(1, BERLIN, 30), link_report(2, ROME, 20))
    for _ in range(5):
        talk.second(*healthy, paths=(path_report(DIRECT, 30, True), path_report(VIA_ROME, 45, False)))
    start, said = talk.now, []
    while not snapshots(said):
        sick = (link_report(1, BERLIN, 110, loss=0.08), link_report(2, ROME, 20))
        said += talk.second(*sick, paths=(path_report(DIRECT, 110, True), path_report(VIA_ROME, 45, False)))
    assert talk.now - start <= 3 * SECOND
    (snapshot,) = snapshots(said)
    assert snapshot.routes[0].paths == (VIA_ROME, DIRECT)
    (switched,) = [message for message in told(said) if isinstance(message, controller.Switched)]
    assert (switched.before, switched.after, switched.by) == (DIRECT, VIA_ROME, "agent")
    urgent = [
        message for message in told(said) if isinstance(message, controller.Telemetry) and message.urgent
    ]
    assert urgent and urgent[0].links[0].peer == BERLIN


def test_a_restarted_agent_stays_off_the_path_that_was_left() -> None:
    talk = started(route(BERLIN, DIRECT, VIA_ROME, rtt_ms=40))
    said = []
    for _ in range(3):
        links = (link_report(1, BERLIN, 200), link_report(2, ROME, 20))
        said += talk.second(*links, paths=(path_report(DIRECT, 200, True), path_report(VIA_ROME, 45, False)))
    saved = [command.saved for command in said if isinstance(command, Save)][-1]

    stored = msgspec.json.decode(msgspec.json.encode(saved), type=Saved)
    talk = Dialogue(agent(stored))
    talk >> welcome(generation=9)
    (snapshot,) = snapshots(talk.drain())
    assert snapshot.routes[0].paths == (VIA_ROME, DIRECT)


def test_a_controller_that_vanished_changes_nothing_and_the_agent_still_reroutes() -> None:
    talk = started(route(BERLIN, DIRECT, VIA_ROME, rtt_ms=40))
    talk >> ControllerConnected()
    talk.drain()
    talk >> ControllerLost("connection refused")
    talk.silent()
    pushed = []
    for _ in range(3):
        links = (link_report(1, BERLIN, 200), link_report(2, ROME, 20))
        pushed += snapshots(
            talk.second(*links, paths=(path_report(DIRECT, 200, True), path_report(VIA_ROME, 45, False)))
        )
    assert [snapshot.routes[0].paths for snapshot in pushed] == [(VIA_ROME, DIRECT)]


def test_without_a_route_there_is_the_direct_path_and_the_nearest_relays() -> None:
    talk = started(peers=(BERLIN, ROME, OSLO))
    talk >> engine.LinkState(0, 1, 2, ROME, "up")
    talk.second(link_report(1, BERLIN, 30), link_report(2, ROME, 50), link_report(3, OSLO, 20))
    talk.pass_time(3) >> Tick()
    (snapshot,) = snapshots(talk.drain())
    assert snapshot.routes[0].paths == (DIRECT, VIA_OSLO, VIA_ROME)


def test_a_neighbour_on_the_local_network_becomes_the_preferred_link_until_it_falls_silent() -> None:
    talk = started()
    talk >> NeighbourSeen(BERLIN, "192.168.7.2:51900", "isp1") << Save
    (snapshot,) = snapshots(talk.drain())
    best = min((link for link in snapshot.links if link.peer == BERLIN), key=lambda link: link.preference)
    assert best.remote == "192.168.7.2:51900"
    talk.pass_time(61) >> Tick() << Save
    (snapshot,) = snapshots(talk.drain())
    assert [link.remote for link in snapshot.links] == ["198.51.100.2:51900", "198.51.100.3:51900"]


def test_a_stranger_on_the_local_network_is_ignored() -> None:
    talk = started()
    talk >> NeighbourSeen(OSLO, "192.168.7.4:51900", "isp1")
    talk.silent()


def test_a_revoked_peer_leaves_the_engines_tables_and_the_epoch_is_told_and_kept() -> None:
    talk = started(route(BERLIN, DIRECT))
    change = msgspec.structs.replace(mesh(2, peers=(), base=1), revocations=(revoked(ROME, 4),))
    talk >> change
    save, push = talk.drain()
    assert isinstance(save, Save) and isinstance(push, PushSnapshot)
    assert [peer.id for peer in push.snapshot.peers] == [BERLIN]
    assert {link.peer for link in push.snapshot.links} == {BERLIN}
    assert push.snapshot.revocation_epoch == 4
    again = Dialogue(agent(save.saved))
    again >> welcome()
    (snapshot,) = snapshots(again.drain())
    assert snapshot.revocation_epoch == 4, "also after a restart without a controller"
    (hello,) = told((again >> ControllerConnected()).drain())
    assert isinstance(hello, controller.Hello) and hello.revocation == revoked(ROME, 4)


def test_a_revoked_node_tears_its_mesh_down_and_stays_so() -> None:
    talk = started(route(BERLIN, DIRECT))
    talk >> controller.Revoked("removed by the operator")
    save, push = talk.drain()
    assert isinstance(save, Save) and save.saved.revoked == "removed by the operator"
    assert isinstance(push, PushSnapshot) and push.snapshot.peers == () and push.snapshot.links == ()
    talk >> mesh(3, route(BERLIN, DIRECT))
    talk.silent()

    talk = Dialogue(agent(save.saved))
    talk >> welcome(generation=7)
    (snapshot,) = snapshots(talk.drain())
    assert snapshot.peers == ()


def test_who_leaves_is_told_nothing_of_an_error() -> None:
    talk = started(route(BERLIN, DIRECT))
    talk.log.clear()
    (snapshot,) = snapshots((talk >> Left()).drain())
    assert (snapshot.peers, snapshot.routes) == ((), ())
    talk >> controller.Revoked("this node left the network")  # as the controller confirms
    assert [(line.level, line.event) for line in talk.log] == [(Level.INFO, "left")]
    with pytest.raises(NotFound, match=r"no member any more \(it left the network\); `overlayctl join"):
        View(talk.agent, talk.now, Outside("", None, None, 0.0)).find("berlin")


def test_a_refused_snapshot_is_remembered_until_one_is_accepted() -> None:
    talk = started()
    talk >> engine.Refused(1, "links[0].mtu", "too small")
    assert talk.agent.refusal is not None and talk.agent.refusal.field == "links[0].mtu"
    talk >> engine.Applied(2)
    assert talk.agent.refusal is None


def test_a_wall_clock_set_back_ten_years_stops_nothing() -> None:
    talk = started(route(BERLIN, DIRECT, VIA_ROME))
    talk >> ControllerConnected()
    talk.drain()
    talk.pass_time(1) >> Tick(unix=2_000_000_000.0)
    talk.drain()
    reports = (link_report(1, BERLIN, 30), link_report(2, ROME, 20))
    talk.second(*reports)
    talk >> Tick(unix=2_000_000_000.0 - 10 * 365 * 86400)
    assert any(
        isinstance(message, controller.Telemetry) for message in told(talk.pass_time(15).second(*reports))
    )


def test_the_engines_own_switch_is_told_but_the_answer_to_a_snapshot_is_not() -> None:
    talk = started(route(BERLIN, DIRECT, VIA_ROME))
    talk >> ControllerConnected()
    talk.drain()
    (
        talk
        >> engine.Switch(0, 1, BERLIN, 0, DIRECT, VIA_ROME, "dead")
        << (lambda command: isinstance(command, TellController) and command.message.by == "engine")
    )
    talk >> engine.Switch(0, 1, BERLIN, 0, DIRECT, VIA_ROME, "snapshot")
    talk.silent()


def test_peers_learn_how_many_shards_the_engine_has() -> None:
    talk = Dialogue(agent())
    talk >> msgspec.structs.replace(welcome(), shards=4)
    talk.drain()
    talk >> ControllerConnected()
    (hello,) = told(talk.drain())
    assert isinstance(hello, controller.Hello)
    assert [uplink.lanes for uplink in hello.uplinks] == [4]
    # A hello is said once a connection: an engine that comes back with another number makes a new one.
    talk >> msgspec.structs.replace(welcome(), shards=4, boot=2)
    assert not any(isinstance(command, Reconnect) for command in talk.drain())
    talk >> msgspec.structs.replace(welcome(), shards=2, boot=3)
    assert any(isinstance(command, Reconnect) for command in talk.drain())


def test_a_changed_configuration_is_told_and_keeps_what_was_measured() -> None:
    talk = Dialogue(agent())
    for event in (
        welcome(),
        mesh(5, route(BERLIN, DIRECT)),
        ControllerConnected(),
        engine.Links(talk.now, 1, (link_report(1, BERLIN, 20.0),)),
    ):
        talk >> event
        talk.drain()
    me = talk.agent.me
    slower = tuple(msgspec.structs.replace(uplink, lanes=1, rate_bps=10_000_000) for uplink in me.uplinks)
    talk >> Configured(slower, ("192.168.7.0/24",))
    out = talk.drain()
    (snapshot,) = snapshots(out)
    assert {link.rate_bps for link in snapshot.links} == {10_000_000}
    assert any(isinstance(command, Reconnect) for command in out)
    assert talk.agent.estimator.link(LinkId(1), talk.now) is not None
    talk >> ControllerConnected()
    hello = next(message for message in told(talk.drain()) if isinstance(message, controller.Hello))
    assert (hello.uplinks, hello.prefixes) == (slower, ("192.168.7.0/24",))
    talk >> Configured(slower, ("192.168.7.0/24",))
    talk.silent()


def test_a_rule_is_in_force_without_a_new_connection_and_one_for_no_class_is_told_once() -> None:
    talk = started(route(BERLIN, DIRECT))
    talk >> ControllerConnected()
    talk.drain()
    me = talk.agent.me
    rules = (HostRule(class_="interactive", port=22), HostRule(class_="voice", port=5060))
    talk >> Configured(me.uplinks, me.prefixes, rules)
    out = talk.drain()
    (snapshot,) = snapshots(out)
    assert snapshot.classifiers[0] == engine.Classifier(0, port=22)
    assert all(one.port != 5060 for one in snapshot.classifiers)
    assert not any(isinstance(command, Reconnect) for command in out)
    assert [log.fields["name"] for log in talk.log if "class" in log.event] == ["voice"]
    talk >> Configured(me.uplinks, me.prefixes, rules[:1])
    talk.drain()


def test_a_lane_that_fails_where_the_hop_lives_is_a_warning_and_nothing_more() -> None:
    talk = started(route(BERLIN, DIRECT, VIA_ROME))
    talk.second(link_report(1, BERLIN, 20))
    (said,) = talk.agent.handle(engine.LinkState(talk.now, 1, 1, BERLIN, "down", lane=2), talk.now)
    assert isinstance(said, Log)
    assert (said.level, said.event, said.fields["lane"]) == (Level.WARNING, "lane down", 2)
    assert talk.agent.estimator.is_up(LinkId(1))
    talk >> engine.LinkState(talk.now, 1, 1, BERLIN, "down")
    talk.drain()
    assert not talk.agent.estimator.is_up(LinkId(1))


def test_all_lanes_that_leave_a_dead_path_are_told_as_one_switch() -> None:
    talk = started(route(BERLIN, DIRECT, VIA_ROME))
    talk >> ControllerConnected()
    talk.drain()
    switches: list[controller.FromAgent] = []
    for lane in range(4):
        talk >> engine.Switch(
            talk.now, 1, BERLIN, class_=0, from_=DIRECT, to=VIA_ROME, reason="dead", lane=lane
        )
        switches += told(talk.drain())
    assert [type(message) for message in switches] == [controller.Switched]


def test_status_shows_what_each_shard_carried_and_the_drops_of_all() -> None:
    talk = started(route(BERLIN, DIRECT))
    for lane, packets in enumerate((5, 7)):
        counters = engine.CountersReport(packets, packets + 1, 0, 0, 0, {"bad_tag": 1})
        talk >> engine.Counters(talk.now, 1, counters, lane=lane)
    status = View(talk.agent, talk.now, Outside("", None, None, 0.0)).status().engine
    assert [(shard.packets_in, shard.packets_out) for shard in status.shards] == [(5, 6), (7, 8)]
    assert status.drops == {"bad_tag": 2}


def test_status_tells_of_state_that_cannot_be_written() -> None:
    talk = started(route(BERLIN, DIRECT))
    status = View(talk.agent, talk.now, Outside("", None, None, 0.0, "No space left on device")).status()
    assert "state cannot be written: No space left on device" in status.degraded


def test_after_a_start_a_peer_is_unknown_until_the_engine_tells_of_it() -> None:
    talk = started(route(BERLIN, DIRECT))
    talk >> engine.Applied(1)

    def berlin() -> tuple[str, bool]:
        status = View(talk.agent, talk.now, Outside("", None, None, 0.0)).status()
        told = "berlin: the engine has not told of it yet" in status.degraded
        return next(peer.data_plane for peer in status.peers if peer.node == "berlin"), told

    assert berlin() == ("unknown", True)
    talk.second(link_report(1, BERLIN, 30, up=False))
    assert berlin() == ("dead", False)
    talk.second(link_report(1, BERLIN, 30))
    assert berlin() == ("alive", False)
    talk >> EngineLost("gone")
    assert berlin() == ("dead", False)
    talk >> welcome(generation=1, boot=2)
    assert berlin() == ("unknown", True)


def test_an_engine_that_stands_still_is_told_of_and_nothing_is_called_alive() -> None:
    talk = started(route(BERLIN, DIRECT))
    talk >> engine.Applied(1)
    talk.second(link_report(1, BERLIN, 30))

    def status() -> local.Status:
        return View(talk.agent, talk.now, Outside("", None, None, 0.0)).status()

    def berlin() -> str:
        return next(peer.data_plane for peer in status().peers if peer.node == "berlin")

    assert (status().engine.problem, berlin()) == (None, "alive")
    talk.pass_time(5)
    assert status().engine.problem is None, "totals come every five seconds, and nothing may come between"
    talk.pass_time(2)
    assert (status().engine.problem, berlin()) == ("it has said nothing for 7 s", "dead")
    talk.second(link_report(1, BERLIN, 30))
    assert (status().engine.problem, berlin()) == (None, "alive")
