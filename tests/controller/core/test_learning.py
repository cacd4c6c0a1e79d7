"""What the live controller learns of its mesh."""

import numpy as np

from controller.core.learning import READY_PROMISES
from controller.core.messages import Removed
from tests.controller.core.world import World


def test_a_mesh_that_has_been_watched_for_long_plans_by_what_it_learned() -> None:
    world = World("abcd")
    world.connect(*"abcd")
    world.mesh(ab=200, ac=40, cb=50, ad=60, db=80, cd=30)
    world.run(600.0)
    assert world.controller.forecast(world.now).learned_ms is None
    for _ in range(READY_PROMISES + 60):
        world.run(60.0)
    told = world.controller.forecast(world.now)
    assert told.learned_ms is not None and told.trust > 0.8
    assert abs(told.learned_ms[0, 1] - 200.0) < 10.0
    assert world.path("ab") == "acb"


def test_what_was_learned_outlives_a_change_of_membership() -> None:
    world = World("abcd")
    world.connect(*"abcd")
    world.mesh(ab=200, ac=40, cb=50, ad=60, db=80, cd=30)
    world.run(60.0 * (READY_PROMISES + 60))
    world.handle(Removed(world.ids.pop("d")))
    world.run(120.0)
    told = world.controller.forecast(world.now)
    assert told.learned_ms is not None and told.learned_ms.shape == (3, 3)
    assert np.isfinite(told.learned_ms[0, 1])
