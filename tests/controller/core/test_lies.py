"""A node that lies about its links attracts no more than what the other ends confirm."""

import numpy as np
import pytest

from controller.core.messages import Received
from overlayd.protocol.controller import LinkSample, Telemetry
from tests.controller.core.world import Link, World

NAMES = "abcdefghijkl"
LIAR = "l"


def plane(seed: int) -> World:
    """Twelve nodes in a plane; some direct links make a detour, so that relays are worth something."""
    rng = np.random.default_rng(seed)
    world = World(NAMES)
    places = rng.uniform(0.0, 80.0, (len(NAMES), 2))
    for i, one in enumerate(NAMES):
        for j, other in enumerate(NAMES[:i]):
            detour = float(rng.choice([1.0, 1.1, 2.5], p=[0.6, 0.2, 0.2]))
            distance = float(np.hypot(*(places[i] - places[j])))
            world.links[frozenset((one, other))] = Link(3.0 + distance * detour)
    return world


class Lying(World):
    """What the liar says replaces what it measures: 1 ms to all, and nothing lost."""

    def report(self, name: str, *peers: str, urgent: bool = False, samples: int = 150) -> None:
        if name != LIAR:
            return super().report(name, *peers, urgent=urgent, samples=samples)
        said = tuple(
            LinkSample(node, True, 10 * samples, 1.0, 1.0, 0.0, 0.0, 0.0, 0, 1.0, 1.0)
            for other, node in self.ids.items()
            if other != LIAR
        )
        self.handle(Received(self.ids[LIAR], Telemetry(urgent, 15.0, said)))
        return None


def through_the_liar(world: World) -> set[tuple[str, int]]:
    """The routes (pair and class) that have the liar as a relay of their primary."""
    pairs = [a + b for a in NAMES for b in NAMES if a != b]
    paths = {(pair, number): world.path(pair, number) or "" for pair in pairs for number in range(4)}
    return {key for key, path in paths.items() if LIAR in path[1:-1]}


@pytest.mark.parametrize("seed", range(3))
def test_a_liar_attracts_the_routes_of_an_honest_node_and_no_other(seed: int) -> None:
    honest, lying = plane(seed), plane(seed)
    lying.__class__ = Lying
    for world in (honest, lying):
        world.run(300)
    believed, true = (world.controller.forecast(world.now) for world in (lying, honest))
    for figure in ("rtt_q50_ms", "rtt_q80_ms", "rtt_q90_ms", "loss_q90", "measured_rtt_ms", "measured_loss"):
        assert np.array_equal(getattr(believed, figure), getattr(true, figure), equal_nan=True), figure
    assert through_the_liar(honest), "the plane gives the node something to relay"
    assert through_the_liar(lying) <= through_the_liar(honest)


def test_a_liar_whose_neighbours_cannot_reach_it_attracts_nothing() -> None:
    world = plane(1)
    world.__class__ = Lying
    for name in NAMES[:-1]:
        world.link(name + LIAR).up = False  # the others say so; the liar goes on about 1 ms
    world.run(300)
    assert through_the_liar(world) == set()


def test_a_liar_that_only_silent_nodes_could_contradict_attracts_no_pair_with_a_confirmed_path() -> None:
    world = plane(2)
    world.__class__ = Lying
    world.silent = set("ab")  # nobody but the liar speaks of its links to a and b
    world.run(300)
    chosen = {pair for pair, number in through_the_liar(world) if number == 0}
    assert not any(pair[0] in "ab" for pair in chosen)
    assert not any(world.path(pair) == f"{pair[0]}{LIAR}{pair[1]}" for pair in ("ca", "da", "eb", "fb"))
