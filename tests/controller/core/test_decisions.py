"""What the controller decides, told as stories of a small mesh in virtual time."""

import msgspec
import pytest

from controller.core.messages import Instant, Removed, Restored, Tick
from overlayd.model.route import Verdict
from overlayd.protocol.controller import LinkSample
from tests.controller.core.world import BULK, INTERACTIVE, REALTIME, RELIABLE, SECOND_NS, Link, World, sampled


def square() -> World:
    """a–b direct is good; k is the better relay, m the worse one."""
    world = World("abkm")
    world.mesh(ab=20, ak=15, kb=15, am=20, mb=25, km=30)
    world.connect("a", "b", "k", "m")
    return world


def test_the_direct_path_is_kept_where_no_relay_is_better() -> None:
    world = square()
    world.run(60)
    for class_id in (INTERACTIVE, REALTIME, BULK, RELIABLE):
        assert world.paths("ab", class_id) == ["ab", "akb", "amb"]


def test_a_degraded_path_is_left_within_two_seconds_of_the_urgent_frame() -> None:
    world = square()
    world.run(60)
    link = world.link("ab")
    link.rtt_ms, link.loss = 100, 0.08
    world.run(1.0)
    world.report("a", "b", urgent=True, samples=30)
    world.run(2.0)
    for class_id in (INTERACTIVE, REALTIME, BULK, RELIABLE):
        assert world.path("ab", class_id) == "akb"


def test_a_change_tells_what_was_left_and_why_with_forecast_and_measurement() -> None:
    world = square()
    world.run(60)
    link = world.link("ab")
    link.rtt_ms, link.loss = 100, 0.08
    world.report("a", "b", urgent=True)
    world.report("b", "a", urgent=True)
    world.run(2.0)
    route = world.route("ab")
    assert route is not None
    assert route.reason == "left direct (6.6 % loss on a → b is above the bound of 5 %): via k, 32.5 ms"
    verdicts = {world.names(c.path): c for c in route.candidates}
    assert verdicts["kb"].verdict is Verdict.PRIMARY
    assert (
        verdicts["mb"].reason == "shares no relay with the primary; 15.0 ms more than the primary (32.5 ms)"
    )
    direct = verdicts["b"]
    assert direct.measured_rtt_ms == 100 and direct.measured_loss_ratio == pytest.approx(0.08)
    assert direct.forecast_rtt_ms is not None and direct.forecast_rtt_ms >= 100


def test_the_reason_of_a_choice_stays_while_figures_and_back_ups_are_renewed() -> None:
    world = square()
    world.run(60)
    world.links[frozenset("ab")] = Link(100, 0.08)
    world.report("a", "b", urgent=True)
    world.report("b", "a", urgent=True)
    world.run(2)
    chosen = world.route("ab")
    assert chosen is not None
    world.link("ak").rtt_ms = 24  # news, but nothing is better
    world.run(200)
    renewed = world.route("ab")
    assert renewed is not None and renewed.paths[0] == chosen.paths[0]
    assert (renewed.reason, renewed.decided_at) == (chosen.reason, chosen.decided_at)
    assert renewed.candidates[0].forecast_rtt_ms != chosen.candidates[0].forecast_rtt_ms
    explained = world.controller.explain(world.ids["a"], world.ids["b"], 0, 8)
    assert explained is not None and explained.reason == chosen.reason


def test_a_gain_below_five_milliseconds_moves_nothing() -> None:
    world = World("abk")
    world.mesh(ab=36.5, ak=15, kb=15)  # 32.5 ms via k: 11 %, but 4 ms
    world.run(200)
    assert world.path("ab") == "ab"
    assert world.changes("ab") == []


def test_an_unbroken_route_that_just_changed_waits_before_it_changes_again() -> None:
    world = square()
    world.run(60)
    world.link("ab").rtt_ms = 60
    world.report("a", "b", urgent=True)
    world.run(2)
    assert world.path("ab") == "akb"
    world.link("ak").rtt_ms = 25  # m would be 8 ms better now, within the bound
    world.link("mb").rtt_ms = 10
    world.report("a", urgent=True)
    world.run(20)
    assert world.path("ab") == "akb"
    world.run(300)
    assert world.path("ab") == "amb"


def relay_just_changed() -> World:
    """a and b, without a direct link, have just left k, which became slow, for m."""
    world = World("abkm")
    world.mesh(ak=30, kb=30, am=35, mb=35)
    world.run(61)
    assert world.path("ab") == "akb"
    world.link("ak").rtt_ms = 130
    world.report("a", urgent=True)
    world.report("k", urgent=True)
    world.run(2)
    assert world.path("ab") == "amb" and len(world.changes("ab")) == 1
    return world


def open_direct(world: World) -> None:
    world.mesh(ab=20)
    world.report("a", "b", urgent=True)
    world.report("b", "a", urgent=True)


def test_a_direct_link_that_opens_is_taken_at_once_although_the_route_just_changed() -> None:
    world = relay_just_changed()
    open_direct(world)
    world.run(2)
    assert world.path("ab") == "ab"


def test_a_link_that_opens_while_a_decision_is_made_leaves_that_one_alone_and_is_taken_in_the_next() -> None:
    world = relay_just_changed()
    world.report("a", urgent=True)
    begun = None
    while begun is None:
        world.now_ns += SECOND_NS
        begun = world.controller.begin(world.now)
    asked = begun.table.copy()
    open_direct(world)
    assert (begun.table.changed_ns == asked.changed_ns).all()
    world.controller.complete(begun.run(), world.now)
    assert world.path("ab") == "amb"
    world.run(2)
    assert world.path("ab") == "ab"


def test_a_link_that_flaps_every_half_minute_changes_a_route_at_most_twice_in_ten_minutes() -> None:
    world = square()
    world.run(120)
    for flap in range(20):
        link = world.link("ab")
        link.rtt_ms, link.loss = (120, 0.1) if flap % 2 == 0 else (20, 0.0)
        world.report("a", "b", urgent=True)
        world.report("b", "a", urgent=True)
        world.run(30)
    assert 1 <= len(world.changes("ab")) <= 2


def test_after_a_minute_of_health_a_recovered_path_is_taken_again() -> None:
    world = square()
    world.run(120)
    world.links[frozenset("ab")] = Link(100, 0.08)
    world.report("a", "b", urgent=True)
    world.run(30)
    assert world.path("ab") == "akb"
    world.links[frozenset("ab")] = Link(20)
    world.run(45)
    assert world.path("ab") == "akb"
    world.run(120)
    assert world.path("ab") == "ab"


def test_a_dead_relay_is_left_at_once_and_is_no_back_up_either() -> None:
    world = World("abkm")
    world.mesh(ab=80, ak=15, kb=15, am=20, mb=25, km=30)
    world.run(60)
    assert world.paths("ab") == ["akb", "amb", "ab"]
    world.silent.add("k")
    for pair in ("ak", "kb", "km"):
        world.link(pair).up = False
    for name in "abm":
        world.report(name, "k", urgent=True)
    world.run(1.5)
    assert world.paths("ab") == ["amb", "ab"]


def test_a_relay_that_falls_silent_is_not_chosen_though_nobody_says_that_it_is_down() -> None:
    world = World("abk")
    world.mesh(ab=80, ak=15, kb=15)
    world.run(60)
    assert world.path("ab") == "akb"
    world.silent.add("k")
    del world.links[frozenset("ak")], world.links[frozenset("kb")]
    world.run(120)
    assert world.paths("ab") == ["ab"]


def test_a_node_that_lies_about_its_links_attracts_nothing() -> None:
    world = World("abk")
    world.mesh(ab=40, ak=80, kb=80)
    world.silent.add("k")
    for _ in range(40):
        world.run(5)
        liar = [LinkSample(world.ids[peer], True, 150, 1.0, 1.0, 0.1, 0.0, 0.0, 0) for peer in "ab"]
        world.handle(telemetry(world, "k", liar))
    assert world.path("ab") == "ab"
    assert world.changes("ab") == []
    del world.links[frozenset("kb")]  # b says nothing of k any more: only k itself vouches for the link
    del world.links[frozenset("ak")]
    for _ in range(40):
        world.run(5)
        world.handle(telemetry(world, "k", liar))
    assert world.path("ab") == "ab"


def test_two_nodes_without_a_direct_path_get_a_relayed_one() -> None:
    world = World("abk")
    world.mesh(ak=15, kb=15)
    world.run(30)
    assert world.paths("ab") == ["akb"]


def test_two_relays_are_used_where_one_does_not_reach() -> None:
    world = World("abkm")
    world.mesh(ak=10, km=10, mb=10)
    world.run(30)
    assert world.paths("ab") == ["akmb"]
    assert world.paths("ba") == ["bmka"]


def test_who_is_no_relay_carries_nothing_for_others() -> None:
    world = World("abk", relays="ab")
    world.mesh(ab=100, ak=5, kb=5)
    world.run(60)
    assert world.paths("ab") == ["ab"]


def test_when_nobody_reports_any_more_the_routes_stay() -> None:
    world = World("abk")
    world.mesh(ab=80, ak=15, kb=15)
    world.run(60)
    world.silent = {"a", "b", "k"}
    world.run(600)
    assert world.paths("ab") == ["akb", "ab"]


def test_a_removed_relay_disappears_from_every_route() -> None:
    world = World("abk")
    world.mesh(ab=80, ak=15, kb=15)
    world.run(60)
    world.handle(Removed(world.ids["k"]))
    del world.ids["k"]
    world.run(2)
    assert world.paths("ab") == ["ab"]
    assert world.paths("ba") == ["ba"]


def test_a_back_up_that_moved_up_says_so_and_since_when() -> None:
    world = World("abkm")
    world.mesh(ab=80, ak=15, kb=15, am=20, mb=25, km=30)
    world.run(60)
    world.link("ak").loss = 0.2
    world.report("a", "k", urgent=True)
    world.run(2)
    left = world.route("ab")
    assert left is not None and world.path("ab") == "amb"
    assert left.reason.startswith("left via k")
    world.run(300)
    world.handle(Removed(world.ids["m"]))
    removed = world.now.unix_s
    del world.ids["m"]
    world.run(2)
    route = world.route("ab")
    assert route is not None and world.path("ab") == "ab"
    assert route.reason.startswith("a relay of the path before is gone: ")
    assert removed <= route.decided_at <= world.now.unix_s
    told = [
        event
        for kept in world.persisted
        for event in (kept.changes.events() if kept.changes else ())
        if event.at >= removed and (event.source, event.destination, event.class_id) == (1, 2, INTERACTIVE)
    ]
    assert [(event.before, event.after, event.reason) for event in told] == [
        (None, route.paths[0], route.reason)
    ]
    world.run(300)
    later = world.route("ab")
    assert later is not None and (later.reason, later.decided_at) == (route.reason, route.decided_at)


def test_only_who_is_concerned_is_sent_something() -> None:
    world = World("abkm")
    world.mesh(ab=20, ak=15, kb=15, am=300, mb=300, km=300)
    world.connect("a", "b", "k", "m")
    world.run(120)
    before = len(world.meshes("m")), len(world.meshes("a"))
    world.links[frozenset("ab")] = Link(200)
    world.report("a", "b", urgent=True)
    world.run(1.5)
    assert world.path("ab") == "akb"
    assert (len(world.meshes("m")), len(world.meshes("a"))) == (before[0], before[1] + 1)
    change = world.meshes("a")[-1].message
    assert change.base == world.meshes("a")[-2].message.generation
    assert {route.destination for route in change.routes} == {world.ids["b"]}
    assert change.peers == ()


def test_a_restarted_controller_starts_from_the_routes_in_force_and_moves_nothing_without_evidence() -> None:
    before = World("abk")
    before.mesh(ab=80, ak=15, kb=15)
    before.connect("a", "b", "k")
    before.run(60)
    saved = {rows.source: rows.pack() for kept in before.persisted for rows in kept.routes}
    last = before.persisted[-1].generation

    after = World("abk", last_generation=last)
    after.handle(Restored(tuple(saved.items())))
    after.run(1)
    after.connect("a", holds=last)
    greeting = after.meshes("a")[-1].message
    assert greeting.base == 0 and greeting.generation > last
    assert {r.destination: r.paths[0] for r in greeting.routes if r.class_id == 0} == {
        after.ids["b"]: (after.ids["k"], after.ids["b"]),
        after.ids["k"]: (after.ids["k"],),
    }
    after.run(300)
    assert after.path("ab") == "akb"
    assert after.changes("ab") == []
    after.mesh(ab=80, ak=15, kb=15)
    after.run(300)
    assert after.path("ab") == "akb"
    assert after.changes("ab") == []


def test_an_agent_ahead_of_the_controller_is_sent_everything_under_a_higher_number() -> None:
    world = World("ab")
    world.connect("a", holds=500)
    greeting = world.meshes("a")[-1].message
    assert greeting.base == 0 and greeting.generation > 500
    assert world.persisted[-1].generation == greeting.generation


def test_the_same_events_give_the_same_bytes() -> None:
    def run() -> list[bytes]:
        world = square()
        world.run(90)
        world.links[frozenset("ab")] = Link(100, 0.08)
        world.run(90)
        return [msgspec.msgpack.encode(send.message) for send in world.sent]

    assert run() == run()


def test_without_nodes_ticks_do_nothing() -> None:
    world = World("")
    assert world.handle(Tick()) == []
    assert world.controller.begin(Instant(10**18, 0.0)) is None
    assert world.controller.forecast(world.now).known.shape == (0, 0)


def test_samples_that_no_link_can_have_are_counted_and_leave_nothing() -> None:
    world = World("ab")
    nan = float("nan")
    bad = [
        LinkSample(world.ids["b"], True, 10, 1.0, -5.0, 0.1, 0.0, 0.0, 0),
        LinkSample(world.ids["b"], True, 10, 1.0, float("inf"), 0.1, 0.0, 0.0, 0),
        LinkSample(world.ids["b"], True, 10, 1.0, 5.0, -1.0, 0.0, 0.0, 0),
        LinkSample(world.ids["a"], True, 10, 1.0, 5.0, 0.1, 0.0, 0.0, 0),
        LinkSample(sampled(world.ids["b"], Link(1), 1).peer, True, 10, nan, nan, nan, nan, nan, 0),
    ]
    world.handle(telemetry(world, "a", bad))
    assert not world.controller.forecast(world.now).known.any()
    assert world.controller.refused_samples == 4


def test_a_decision_about_nodes_that_changed_meanwhile_is_made_again() -> None:
    world = World("abk")
    world.mesh(ab=80, ak=15, kb=15)
    for name in "abk":
        world.report(name)
    world.now_ns += SECOND_NS
    decision = world.controller.begin(world.now)
    assert decision is not None
    decided = decision.run()
    world.handle(Removed(world.ids["k"]))
    assert world.controller.complete(decided, world.now) == []
    assert world.route("ab") is None
    del world.ids["k"]
    world.run(2)
    assert world.paths("ab") == ["ab"]


def telemetry(world: World, name: str, links: list[LinkSample]):
    from controller.core.messages import Received
    from overlayd.protocol.controller import Telemetry

    return Received(world.ids[name], Telemetry(False, 15.0, tuple(links)))
