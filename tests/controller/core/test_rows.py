"""What agents are sent of their routes says the same as an explanation does, figure by figure."""

import math

import numpy as np

from controller.core.rows import KeptRoutes
from overlayd.model.route import Candidate
from overlayd.protocol.routes import FIGURES
from tests.controller.core.world import World

HALF_FLOAT = 1e-3
"""More than a 16-bit float is off, relative."""


def world() -> World:
    """The link a–b loses 8 %; every link has another RTT, so that no figure can stand for another one."""
    world = World("abckm", relays="km")
    world.mesh(ab=80, ak=15, kb=17, bc=21, ac=25, kc=41, am=31, bm=33, cm=35, km=12)
    world.link("ab").loss = 0.08
    world.link("am").loss = 0.01
    world.run(61)
    return world


def figures(candidate: Candidate) -> dict[str, float | None]:
    return {figure: getattr(candidate, figure) for figure in FIGURES}


def test_the_columns_give_each_path_the_figures_of_its_explanation() -> None:
    mesh = world()
    rows = mesh.controller.book.rows(mesh.ids["a"])
    assert rows is not None
    sent = {(route.destination, route.class_id): route for route in rows.routes()}
    assert len(sent) == 4 * 4
    seen_loss = 0
    for (destination, class_id), route in sent.items():
        explained = mesh.controller.explain(mesh.ids["a"], destination, class_id)
        assert explained is not None and route.paths == explained.paths
        told = {candidate.path: candidate for candidate in explained.candidates}
        for candidate in route.candidates:
            for figure, value in figures(candidate).items():
                expected = figures(told[candidate.path])[figure]
                assert value is not None and expected is not None
                assert math.isclose(value, expected, rel_tol=HALF_FLOAT, abs_tol=1e-4), (figure, candidate)
            for loss in (candidate.forecast_loss_ratio, candidate.measured_loss_ratio):
                assert loss is not None and math.copysign(1.0, loss) > 0, "no loss is not −0"
                seen_loss += loss > 0.005
    assert seen_loss > 4


def test_kept_columns_are_read_back_as_they_were_written() -> None:
    mesh = world()
    rows = mesh.controller.book.rows(mesh.ids["a"])
    assert rows is not None
    index_of = np.full(int(rows.ids.max()) + 1, -1, np.int64)
    index_of[rows.ids] = np.arange(len(rows.ids))
    kept = KeptRoutes.of(rows.pack(), index_of)
    assert (kept.relays == rows.relays).all() and (kept.classes == rows.classes).all()
    rtts = [route.candidates[0].forecast_rtt_ms for route in rows.routes()]
    losses = [route.candidates[0].forecast_loss_ratio for route in rows.routes()]
    assert kept.rtt_ms.tolist() == rtts and kept.loss.tolist() == losses
