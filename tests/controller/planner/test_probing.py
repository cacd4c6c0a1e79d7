"""Edges probe the relays that are of use to them, and by and by get to know the others."""

import numpy as np

from controller.planner.probing import Probing, Sight, choose, core_of, usefulness
from controller.planner.search import ABSENT, NONE
from controller.planner.table import PATHS
from controller.topology.links import F32, Bool, Vertex
from overlayd.model.ids import NodeId

RELAYS, EDGES = 12, 20
NODES = RELAYS + EDGES
CORE: Bool = np.arange(NODES) < RELAYS
NOTHING: Bool = np.zeros((NODES, NODES), np.bool_)
FEW = Probing(full_mesh=16, relays=6)


def sight(seed: int = 1, dead: tuple[int, ...] = ()) -> Sight:
    """Nodes on a plane; edges know nothing of each other."""
    places = np.random.default_rng(seed).uniform(0, 100, (NODES, 2))
    rtt: F32 = np.hypot(*(places[:, None] - places[None, :]).T).astype(np.float32)
    rtt[RELAYS:, RELAYS:] = np.nan
    relays = np.full((1, NODES, NODES, PATHS, 2), NONE, np.int16)
    relays[..., 0] = ABSENT
    alive: Bool = ~np.isin(np.arange(NODES), dead)
    return Sight(rtt, alive, relays)


def picked(seen: Sight, edge: int, chosen: Bool = NOTHING, seed: int = 0) -> set[int]:
    return set(choose(seen, CORE, chosen, np.array([edge]), FEW, seed)[0].tolist())


def test_each_edge_has_as_many_relays_as_asked_for_and_mostly_the_most_useful() -> None:
    seen, edges = sight(), np.arange(RELAYS, NODES)
    relays = choose(seen, CORE, NOTHING, edges, FEW, 0)
    assert relays.shape == (EDGES, FEW.relays)
    assert all(len(set(row)) == FEW.relays and set(row) <= set(range(RELAYS)) for row in relays.tolist())
    useful = usefulness(seen, np.arange(RELAYS), edges)
    for row, score in zip(relays.tolist(), useful, strict=True):
        best = np.argsort(-score, kind="stable")[: FEW.relays - 1]
        assert set(best[score[best] > 0].tolist()) <= set(row)


def test_an_edge_without_measurements_gets_relays_of_its_own_at_random() -> None:
    seen = sight()
    seen.rtt_ms[:] = np.nan
    chosen = [frozenset(picked(seen, edge)) for edge in range(RELAYS, NODES)]
    assert len(set(chosen)) > EDGES / 2
    counts = np.bincount([relay for one in chosen for relay in one], minlength=RELAYS)
    assert counts.min() > 0, "nobody is left out"


def test_who_is_dead_is_not_probed_while_others_are_there() -> None:
    edge = RELAYS
    before = picked(sight(), edge)
    assert not before & {0, 1, 2} or not picked(sight(dead=(0, 1, 2)), edge) & {0, 1, 2}
    assert not picked(sight(dead=tuple(before)), edge) & before


def test_over_the_rounds_an_edge_comes_to_know_every_relay() -> None:
    seen = sight()
    known = set[int]()
    for seed in range(60):
        known |= picked(seen, RELAYS, seed=seed)
    assert known == set(range(RELAYS))


def test_what_routes_in_force_pass_stays_probed() -> None:
    seen, edge = sight(), RELAYS
    useless = int(usefulness(seen, np.arange(RELAYS), np.array([edge]))[0].argmin())
    seen.relays[0, edge, :, 0, 0] = useless
    assert all(useless in picked(seen, edge, seed=seed) for seed in range(20))


def test_as_many_relays_as_make_a_full_mesh_probe_each_other() -> None:
    vertices = [Vertex(NodeId(i + 1), f"n{i}", relay=i % 2 == 0) for i in range(10)]
    assert np.flatnonzero(core_of(vertices, Probing(full_mesh=8))).tolist() == [0, 2, 4, 6, 8]
    assert np.flatnonzero(core_of(vertices, Probing(full_mesh=3))).tolist() == [0, 2, 4]
