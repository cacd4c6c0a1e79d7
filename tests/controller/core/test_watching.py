"""In a mesh that is too large for all to probe all, nodes are told whom to probe, and routes keep to that."""

from itertools import combinations, pairwise

from controller.core.messages import Received, Removed
from controller.planner.probing import Probing
from overlayd.model.ids import ClassId, NodeId
from overlayd.protocol.controller import PathSample, Telemetry
from tests.controller.core.world import World

NAMES, CORE = "abcdefghkmnp", "kmnp"


def large(full_mesh: int = 8, relays: int = 2) -> World:
    """Twelve nodes, four of them relays; all links are equally good."""
    world = World(NAMES, relays=CORE, probing=Probing(full_mesh, relays))
    world.mesh(**{f"{a}{b}": 10.0 for a, b in combinations(NAMES, 2)})
    world.connect(*NAMES)
    world.run(60)
    return world


def named(world: World, name: str) -> str | None:
    """Return whom a node was told to probe; None: nothing was ever said."""
    said = [send.mesh.neighbours for send in world.meshes(name) if send.mesh.neighbours is not None]
    return world.names(said[-1]) if said else None


def test_relays_probe_each_other_and_edges_some_of_them() -> None:
    world = large()
    for relay in CORE:
        told = named(world, relay)
        assert told is not None and set(CORE) - {relay} <= set(told)
    for edge in set(NAMES) - set(CORE):
        told = named(world, edge)
        assert told is not None and len(told) == 2 and set(told) <= set(CORE)
        assert all(edge in (named(world, relay) or "") for relay in told), "both ends are told"


def test_no_path_leads_over_a_link_that_nobody_probes() -> None:
    world = large()
    paths = [(a + b, path) for a in NAMES for b in NAMES if a != b for path in world.paths(a + b)]
    assert len({pair for pair, _ in paths}) == len(NAMES) * (len(NAMES) - 1), "all can reach all"
    for _, path in paths:
        assert all(b in (named(world, a) or "") for a, b in pairwise(path))


def test_a_small_mesh_is_never_told_whom_to_probe() -> None:
    world = large(full_mesh=len(NAMES))
    assert all(named(world, name) is None for name in NAMES)
    assert world.path("ab") == "ab"


def test_pairs_that_talk_probe_each_other_until_a_while_after() -> None:
    world = large()
    assert "b" not in (named(world, "a") or "")
    path = tuple(world.ids[name] for name in (world.path("ab") or "")[1:])
    sample = PathSample(world.ids["b"], ClassId(0), path, True, 20.0, 0.0)
    world.handle(Received(world.ids["a"], Telemetry(False, 15.0, (), (sample,))))
    world.run(120)
    assert "b" in (named(world, "a") or "") and "a" in (named(world, "b") or "")
    assert world.path("ab") == "ab", "the direct path is better"
    world.run(700)
    assert "b" not in (named(world, "a") or "")
    assert world.path("ab") != "ab"


def test_a_mesh_that_has_become_small_is_full_again() -> None:
    world = large()
    for name in "cdefg":
        world.handle(Removed(world.ids[name]))
        world.silent.add(name)
    world.run(120)
    assert named(world, "a") == ""
    assert world.path("ab") == "ab"


def test_who_joins_is_told_at_once_and_so_are_its_relays() -> None:
    world = large()
    world.ids["z"] = NodeId(40)
    for name in NAMES:
        world.mesh(**{f"{name}z": 10.0})
    world.enrol("z", relay=False)
    world.connect("z")
    told = named(world, "z")
    assert told is not None and len(told) == 2 and set(told) <= set(CORE)
    world.run(60)
    assert all("z" in (named(world, relay) or "") for relay in told)
    assert world.path("za") is not None
