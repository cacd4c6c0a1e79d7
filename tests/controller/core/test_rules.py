"""What operators ask: policies, constraints and pins, told as stories of a small mesh in virtual time."""

import msgspec
import pytest
from msgspec.structs import replace

from controller.core.messages import Pinned, Restored, Ruled
from controller.policy.rules import Pin, Place, Policy
from overlayd.model.ids import ClassId, NodeId
from overlayd.model.service import DEFAULT_CLASSES, Objective, ServiceClass
from overlayd.protocol.controller import NetworkConfig
from overlayd.protocol.routes import RouteColumns
from tests.controller.core.world import BULK, INTERACTIVE, NETWORK, REALTIME, RELIABLE, Link, World, enrolled

ALL = (INTERACTIVE, REALTIME, BULK, RELIABLE)


def with_objective(objective: Objective) -> NetworkConfig:
    """The classes, the first of which has this objective."""
    first: ServiceClass = replace(DEFAULT_CLASSES[0], objective=objective)
    return msgspec.structs.replace(NETWORK, classes=(first, *DEFAULT_CLASSES[1:]))


def square(policy: Policy = Policy(), **options: object) -> World:  # noqa: B008 (frozen)
    """a–b direct is slow; k is the better relay, m the worse one."""
    world = World("abkm", policies=(policy,), **options)  # type: ignore[arg-type]
    world.mesh(ab=80, ak=15, kb=15, am=20, mb=25, km=30)
    return world


def reasons(world: World, pair: str = "ab", class_id: int = INTERACTIVE) -> dict[str, str]:
    """Why each path is what it is, by its names."""
    route = world.controller.explain(world.ids[pair[0]], world.ids[pair[1]], class_id, 8)
    assert route is not None
    return {pair[0] + world.names(c.path): c.reason for c in route.candidates}


def pin(world: World, text: str, class_id: int | None = None) -> Pin:
    source, *relays, destination = (world.ids[name] for name in text)
    return Pin(source, destination, class_id, tuple(relays))


def kept(world: World) -> tuple[tuple[NodeId, RouteColumns], ...]:
    """What the store holds of its routes."""
    newest = {rows.source: rows.pack() for persist in world.persisted for rows in persist.routes}
    return tuple(newest.items())


# Constraints


def test_a_class_passes_no_relay_in_a_region_that_it_avoids_and_says_so() -> None:
    places = {"k": Place("far"), "m": Place("near")}
    world = square(Policy(avoid_regions=("far",)), places=places)
    world.run(60)
    assert world.paths("ab") == ["amb", "ab"]
    assert reasons(world)["akb"] == "k is in far, which the class avoids"
    assert "region" not in reasons(world, class_id=RELIABLE)["akb"], "the rule is one class's"


def test_a_class_may_be_held_to_relays_in_some_regions() -> None:
    world = square(Policy(regions=("near",)), places={"m": Place("near")})
    world.run(60)
    assert world.paths("ab") == ["amb", "ab"]
    assert reasons(world)["akb"] == "k is in no region; the class uses relays in near only"


def test_an_excluded_relay_is_left_even_where_nothing_else_carries_anything() -> None:
    before = World("abk")
    before.mesh(ak=15, kb=15)
    before.run(60)
    assert before.path("ab") == "akb"
    after = World("abk", policies=(Policy(avoid_regions=("far",)),), places={"k": Place("far")})
    after.handle(Restored(kept(before)))
    after.mesh(ak=15, kb=15)
    after.run(60)
    assert after.path("ab") == "ab"


def test_a_node_that_opted_out_carries_nothing_and_loses_what_it_carried() -> None:
    before = square()
    before.run(60)
    assert before.path("ab") == "akb"
    after = square(places={"k": Place(relay=False)})
    after.handle(Restored(kept(before)))
    after.mesh(ab=80, ak=15, kb=15, am=20, mb=25, km=30)
    after.run(90)
    for number in ALL:
        assert not any("k" in path[1:-1] for path in after.paths("ab", number))


@pytest.mark.parametrize(("most", "path"), [(0, "ab"), (1, "amb"), (2, "akmb")])
def test_a_class_passes_no_more_relays_than_it_may(most: int, path: str) -> None:
    world = World("abkm", policies=(Policy(relays=most),))
    world.mesh(ab=120, ak=10, km=10, mb=10, am=60, kb=200)
    world.run(60)
    assert world.path("ab") == path


def test_a_path_above_the_most_of_loss_is_no_choice_while_another_is_below() -> None:
    world = square(Policy(loss_ratio=0.01))
    world.links[frozenset("ak")] = Link(15, 0.02)
    world.run(90)
    assert world.path("ab") == "amb"
    assert "points above the most of 1 %" in reasons(world)["akb"]


def test_where_all_paths_lose_too_much_there_is_still_a_route() -> None:
    world = square(Policy(loss_ratio=0.001))
    for link in world.links.values():
        link.loss = 0.02
    world.run(90)
    assert world.path("ab") == "ab", "the one that loses least"


def test_a_path_above_the_most_of_price_is_no_choice_while_another_is_below() -> None:
    prices = {"a": 0.02, "k": 0.09, "m": 0.03}
    world = square(Policy(price_per_gb=0.06), prices=prices)
    world.run(60)
    assert world.path("ab") == "amb"
    assert reasons(world)["akb"].endswith("0.11 per GB is 0.05 above the most of 0.06")


# Policies


def test_throughput_goes_where_links_carry_most() -> None:
    world = World("abkm", network=with_objective(Objective.THROUGHPUT))
    world.links[frozenset("ab")] = Link(30, mbit=50)
    for pair in ("ak", "kb"):
        world.links[frozenset(pair)] = Link(20, mbit=1000)
    for pair in ("am", "mb"):
        world.links[frozenset(pair)] = Link(15, mbit=200)
    world.run(60)
    assert world.path("ab") == "akb"
    assert "ms per Mbit" in reasons(world)["akb"]


def test_a_flow_that_fills_its_path_does_not_flee_from_itself() -> None:
    world = World("abkm", network=with_objective(Objective.THROUGHPUT))
    world.links[frozenset("ab")] = Link(30, mbit=20)
    for pair in ("ak", "kb", "am", "mb"):
        world.links[frozenset(pair)] = Link(20, mbit=500)
    world.run(60)
    taken = world.path("ab")
    assert taken in ("akb", "amb")
    for pair in (taken[:2], taken[1:]):
        world.link(pair).load = 490.0
    world.run(600)
    assert world.path("ab") == taken


@pytest.mark.parametrize(("price", "path"), [(1.0, "akb"), (2000.0, "amb")])
def test_own_weights_decide_between_time_and_money(price: float, path: str) -> None:
    weights = ((Objective.LATENCY, 1.0), (Objective.COST, price))
    prices = {"a": 0.01, "k": 0.09, "m": 0.01}
    network = with_objective(Objective.WEIGHTED)
    world = World("abkm", network=network, policies=(Policy(weights=weights),), prices=prices)
    world.mesh(ab=300, ak=15, kb=15, am=20, mb=25, km=30)
    world.run(60)
    assert world.path("ab") == path


# Relays that fill up


def full(load: float) -> World:
    world = World("abkm", places={"k": Place(capacity_bps=1e9)})
    for pair, rtt in {"ab": 80, "ak": 15, "kb": 15, "am": 20, "mb": 25, "km": 30}.items():
        world.links[frozenset(pair)] = Link(rtt, mbit=1000, load=load if "k" in pair else 1)
    return world


def test_a_full_relay_is_passed_over_and_the_reason_is_its_load() -> None:
    world = full(load=320)  # on each of its three links
    world.run(60)
    assert world.path("ab") == "amb"
    assert "k is at 9" in reasons(world)["akb"]
    assert "of its capacity, which counts for" in reasons(world)["akb"]


def test_a_relay_with_room_costs_what_an_idle_one_does() -> None:
    world = full(load=100)
    world.run(60)
    assert world.path("ab") == "akb"
    assert "capacity" not in reasons(world)["akb"]


# Pins


def test_a_pinned_path_is_taken_at_once_and_told_of() -> None:
    world = square()
    world.run(60)
    world.handle(Pinned((pin(world, "amb"),)))
    world.run(2)
    for number in ALL:
        assert world.path("ab", number) == "amb"
    route = world.route("ab")
    assert route is not None
    assert route.reason.startswith("left via k (now 32.5 ms): pinned by hand: via m, 47.5 ms")
    assert reasons(world)["amb"] == "pinned by hand: via m, 47.5 ms"
    assert world.path("ba") == "bka", "the other direction is another route"


def test_a_pin_of_one_class_goes_before_one_of_all() -> None:
    world = square()
    world.run(60)
    world.handle(Pinned((pin(world, "amb", RELIABLE), pin(world, "ab"))))
    world.run(2)
    assert world.path("ab", INTERACTIVE) == "ab"
    assert world.path("ab", RELIABLE) == "amb"


def test_a_pinned_path_that_dies_is_left_and_taken_again_when_it_has_been_healthy() -> None:
    world = square()
    world.run(60)
    world.handle(Pinned((pin(world, "amb"),)))
    world.run(90)
    world.link("mb").up = False
    world.report("m", "b", urgent=True)
    world.run(2)
    assert world.path("ab") == "akb"
    assert reasons(world)["akb"].endswith("pinned by hand: via m, but m → b is down")
    world.link("mb").up = True
    world.report("m", "b", urgent=True)
    world.report("b", "m", urgent=True)
    world.run(20)
    assert world.path("ab") == "akb"
    assert "not healthy for long enough yet" in reasons(world)["akb"]
    world.run(180)
    assert world.path("ab") == "amb"


def test_a_pinned_link_that_flaps_every_half_minute_changes_the_route_at_most_twice_in_ten_minutes() -> None:
    world = square()
    world.run(60)
    world.handle(Pinned((pin(world, "amb"),)))
    world.run(120)
    before = len(world.changes("ab"))
    for flap in range(20):
        world.link("mb").up = flap % 2 == 1
        world.report("m", "b", urgent=True)
        world.report("b", "m", urgent=True)
        world.run(30)
    assert 1 <= len(world.changes("ab")) - before <= 2


def test_who_is_let_go_is_chosen_for_again() -> None:
    world = square()
    world.run(60)
    world.handle(Pinned((pin(world, "amb"),)))
    world.run(120)
    world.handle(Pinned(()))
    world.run(2)
    assert world.path("ab") == "akb"


def test_a_pin_through_a_node_that_is_not_there_waits() -> None:
    world = square()
    world.run(60)
    missing = Pin(world.ids["a"], world.ids["b"], ClassId(0), (NodeId(99),))
    world.handle(Pinned((missing,)))
    world.run(60)
    assert world.path("ab") == "akb"


def test_a_pin_through_a_node_that_opted_out_waits_until_it_relays_again() -> None:
    world = square(places={"k": Place(relay=False)})
    world.handle(Pinned((pin(world, "akb"),)))
    world.run(60)
    for number in ALL:
        assert not any("k" in path[1:-1] for path in world.paths("ab", number))
    assert world.path("ab") == "amb"
    assert "pinned" not in reasons(world)["amb"]
    world.handle(enrolled(world.ids["k"], "k"))
    world.run(60)
    assert world.path("ab") == "akb"
    assert reasons(world)["akb"].startswith("pinned by hand")


# Rules that change


def test_a_rule_that_changes_holds_in_the_next_round() -> None:
    world = square(places={"k": Place("far")})
    world.run(60)
    assert world.path("ab") == "akb"
    world.handle(Ruled(DEFAULT_CLASSES, (Policy(avoid_regions=("far",)),)))
    world.run(2)
    assert world.path("ab") == "amb"
    assert reasons(world)["akb"] == "k is in far, which the class avoids"


def test_an_objective_that_changes_holds_in_the_next_round_and_agents_are_told_of_the_class() -> None:
    world = square(prices={"k": 1.0, "a": 0.0, "m": 0.0})
    world.connect("a")
    world.run(120)
    assert world.path("ab") == "akb"
    classes = with_objective(Objective.COST).classes
    world.handle(Ruled(classes, ()))
    assert "akb" in reasons(world), "why the path in force was chosen can be asked meanwhile"
    world.run(2)
    assert world.path("ab") == "ab", "k charges for what it relays"
    told = [send.mesh.network for send in world.meshes("a") if send.mesh.network is not None]
    assert told[-1].classes == classes and told[0].classes == DEFAULT_CLASSES


def test_rules_that_are_as_they_were_cost_nothing() -> None:
    world = square()
    world.connect("a")
    world.run(60)
    before = len(world.meshes("a")), world.controller.poll_timeout()
    world.handle(Ruled(DEFAULT_CLASSES, (Policy(),)))
    assert (len(world.meshes("a")), world.controller.poll_timeout()) == before
