"""Leaving at once, coming back slowly: the order of paths as figures come and go."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from overlayd.agent.selector import FORGIVEN_AFTER, HOLD_NS, Choice, Figures, Selector
from overlayd.model.ids import Path
from overlayd.model.route import Route
from overlayd.model.service import Bound
from tests.overlayd.agent.dialogue import BERLIN, OSLO, ROME, SECOND, route

DIRECT, VIA_ROME, VIA_OSLO = (BERLIN,), (ROME, BERLIN), (OSLO, BERLIN)
PATHS = (DIRECT, VIA_ROME, VIA_OSLO)
BOUND = Bound(rtt_ms=None, rtt_factor=2.0, loss_ratio=0.02, link_loss_ratio=0.05)
GOOD = Figures(True, rtt_ms=30.0, rtt_low_ms=30.0, loss_ratio=0.0, link_loss_ratio=0.0)
SLOW = Figures(True, rtt_ms=200.0, rtt_low_ms=30.0, loss_ratio=0.0, link_loss_ratio=0.0)
LOSSY = Figures(True, rtt_ms=30.0, rtt_low_ms=30.0, loss_ratio=0.04, link_loss_ratio=0.0)
DEAD = Figures(alive=False)


class Drive:
    """A selector that is asked once a second; `in_use` follows its first choice as an engine would."""

    def __init__(self, chosen: Route | None = None, bound: Bound = BOUND) -> None:
        self.selector = Selector()
        self.route = chosen or route(BERLIN, *PATHS, rtt_ms=30.0)
        self.bound = bound
        self.now = 1000 * SECOND
        self.in_use: Path | None = None
        self.moves = 0

    def second(self, figures: Mapping[Path, Figures]) -> Choice:
        self.now += SECOND
        choice = self.selector.choose(self.route, self.bound, figures.get, self.in_use, self.now)
        self.in_use = choice.order[0] if choice.order else None
        self.moves += choice.move is not None
        return choice

    def seconds(self, count: int, figures: Mapping[Path, Figures]) -> Choice:
        choice = self.second(figures)
        for _ in range(count - 1):
            choice = self.second(figures)
        return choice


def test_one_bad_report_is_not_enough_and_two_are() -> None:
    drive = Drive()
    assert drive.second({DIRECT: SLOW, VIA_ROME: GOOD}).order == PATHS
    choice = drive.second({DIRECT: SLOW, VIA_ROME: GOOD})
    assert choice.order[0] == VIA_ROME
    assert choice.move is not None and "RTT 200.0 ms, bound 60.0 ms (forecast 30.0 ms)" in choice.move.reason


def test_a_good_report_between_two_bad_ones_begins_the_count_anew() -> None:
    drive = Drive()
    for figures in (SLOW, GOOD, SLOW, GOOD, SLOW, GOOD):
        assert drive.second({DIRECT: figures, VIA_ROME: GOOD}).order == PATHS


def test_silence_is_no_evidence() -> None:
    drive = Drive()
    drive.second({DIRECT: SLOW, VIA_ROME: GOOD})
    assert drive.seconds(10, {VIA_ROME: GOOD}).order == PATHS


def test_each_bound_can_be_broken_alone() -> None:
    for bad in (SLOW, LOSSY, Figures(True, 30.0, 30.0, 0.0, link_loss_ratio=0.08)):
        drive = Drive()
        assert drive.seconds(2, {DIRECT: bad, VIA_ROME: GOOD}).order[0] == VIA_ROME
    drive = Drive(bound=Bound(rtt_ms=25.0, rtt_factor=None))
    assert drive.seconds(2, {DIRECT: GOOD, VIA_ROME: Figures(True, 20.0, 20.0)}).order[0] == VIA_ROME


def test_a_short_rtt_that_doubles_is_not_bad() -> None:
    drive = Drive(route(BERLIN, *PATHS, rtt_ms=1.0))
    drive.seconds(5, {DIRECT: Figures(True, 5.0, 1.0), VIA_ROME: Figures(True, 2.0, 2.0)})
    assert drive.moves == 0


def test_without_a_forecast_the_best_known_rtt_is_the_measure() -> None:
    drive = Drive(route(BERLIN, *PATHS))
    figures = {DIRECT: Figures(True, 110.0, 110.0), VIA_ROME: Figures(True, 45.0, 40.0)}
    assert drive.seconds(2, figures).order[0] == VIA_ROME


def test_the_first_back_up_within_the_bound_is_taken() -> None:
    drive = Drive()
    choice = drive.seconds(2, {DIRECT: SLOW, VIA_ROME: LOSSY, VIA_OSLO: GOOD})
    assert choice.order == (VIA_OSLO, DIRECT, VIA_ROME)


def test_a_back_up_that_was_not_measured_is_better_than_a_bad_path() -> None:
    drive = Drive()
    assert drive.seconds(2, {DIRECT: SLOW, VIA_ROME: LOSSY}).order[0] == VIA_OSLO


def test_when_all_are_bad_the_path_stays_unless_another_is_half_as_bad() -> None:
    bad = Figures(True, rtt_ms=200.0)
    less = Figures(True, rtt_ms=190.0)
    half = Figures(True, rtt_ms=70.0)
    drive = Drive()
    assert drive.seconds(5, {DIRECT: bad, VIA_ROME: less, VIA_OSLO: less}).order == PATHS
    assert drive.second({DIRECT: bad, VIA_ROME: less, VIA_OSLO: half}).order[0] == VIA_OSLO


def test_where_all_are_bad_now_and_then_paths_do_not_take_turns() -> None:
    bad = Figures(True, 30.0, 30.0, loss_ratio=0.05)
    drive = Drive()
    for second in range(600):
        well = PATHS[second // 3 % 3]
        drive.second({path: GOOD if path == well else bad for path in PATHS})
    assert drive.moves <= 10


def test_what_is_held_down_is_taken_at_once_where_it_is_far_better() -> None:
    drive = Drive()
    drive.seconds(2, {DIRECT: SLOW, VIA_ROME: GOOD, VIA_OSLO: DEAD})
    assert drive.in_use == VIA_ROME
    awful = Figures(True, 2_000.0, 30.0)
    assert drive.seconds(2, {DIRECT: SLOW, VIA_ROME: awful, VIA_OSLO: DEAD}).order[0] == DIRECT


def test_a_dead_back_up_is_never_chosen() -> None:
    drive = Drive()
    assert drive.seconds(5, {DIRECT: SLOW, VIA_ROME: DEAD, VIA_OSLO: DEAD}).order == PATHS


def test_coming_back_takes_a_minute_without_a_break_that_a_path_is_left_for() -> None:
    drive = Drive()
    drive.seconds(2, {DIRECT: SLOW, VIA_ROME: GOOD})
    well = {DIRECT: GOOD, VIA_ROME: GOOD}
    assert drive.seconds(50, well).order[0] == VIA_ROME
    drive.seconds(2, {DIRECT: SLOW, VIA_ROME: GOOD})
    assert drive.seconds(60, well).order[0] == VIA_ROME, "the break began the minute anew"
    choice = drive.second(well)
    assert choice.order == PATHS
    assert choice.move is not None and choice.move.after == DIRECT


def test_a_hold_down_is_served_although_a_report_now_and_then_is_bad_or_missing() -> None:
    drive = Drive()
    drive.seconds(2, {DIRECT: SLOW, VIA_ROME: GOOD})
    for _ in range(29):
        assert drive.seconds(3, {DIRECT: GOOD, VIA_ROME: GOOD}).order[0] == VIA_ROME
        drive.second({DIRECT: SLOW, VIA_ROME: GOOD})
        drive.second({VIA_ROME: GOOD})
    assert drive.seconds(3, {DIRECT: GOOD, VIA_ROME: GOOD}).order[0] == DIRECT


def test_each_relapse_doubles_the_wait() -> None:
    drive = Drive()
    well, ill = {DIRECT: GOOD, VIA_ROME: GOOD}, {DIRECT: SLOW, VIA_ROME: GOOD}
    waits: list[int] = []
    for _ in range(4):
        drive.seconds(2, ill)
        waited = 0
        while drive.in_use != DIRECT:
            drive.second(well)
            waited += 1
        waits.append(waited)
    assert waits == [61, 121, 241, 481]


def test_a_long_stay_is_forgiven() -> None:
    drive = Drive()
    well, ill = {DIRECT: GOOD, VIA_ROME: GOOD}, {DIRECT: SLOW, VIA_ROME: GOOD}
    drive.seconds(2, ill)
    drive.seconds(61, well)
    drive.seconds(FORGIVEN_AFTER * HOLD_NS // SECOND + 1, well)
    drive.seconds(2, ill)
    drive.seconds(61, well)
    assert drive.in_use == DIRECT


def test_a_link_that_flaps_every_30_s_causes_one_move() -> None:
    drive = Drive()
    for second in range(600):
        drive.second({DIRECT: SLOW if second // 30 % 2 else GOOD, VIA_ROME: GOOD})
    assert drive.moves == 1


def test_a_new_route_brings_its_order_but_lifts_no_hold_down() -> None:
    drive = Drive()
    drive.seconds(2, {DIRECT: SLOW, VIA_ROME: GOOD})
    drive.route = route(BERLIN, DIRECT, VIA_OSLO, VIA_ROME, rtt_ms=30.0)
    choice = drive.second({DIRECT: GOOD, VIA_ROME: GOOD, VIA_OSLO: GOOD})
    assert choice.order == (VIA_OSLO, VIA_ROME, DIRECT)
    hold = drive.selector.hold(BERLIN, 0, DIRECT)
    assert hold is not None and "RTT 200.0 ms" in hold.reason


def test_the_engines_own_fail_over_is_judged_where_the_packets_are() -> None:
    drive = Drive()
    for _ in range(2):
        drive.now += SECOND
        figures = {DIRECT: DEAD, VIA_ROME: SLOW, VIA_OSLO: GOOD}
        choice = drive.selector.choose(drive.route, BOUND, figures.get, VIA_ROME, drive.now)
    assert choice.order[0] == VIA_OSLO


def test_an_engine_that_follows_late_is_not_told_twice() -> None:
    drive = Drive()
    moves = 0
    for _ in range(6):
        drive.now += SECOND
        figures = {DIRECT: SLOW, VIA_ROME: GOOD}
        choice = drive.selector.choose(drive.route, BOUND, figures.get, DIRECT, drive.now)
        moves += choice.move is not None
    assert moves == 1 and choice.order[0] == VIA_ROME


def test_when_all_paths_were_left_the_one_that_recovered_first_is_taken() -> None:
    drive = Drive(route(BERLIN, DIRECT, VIA_ROME, rtt_ms=30.0))
    drive.seconds(2, {DIRECT: SLOW, VIA_ROME: GOOD})
    drive.seconds(2, {DIRECT: GOOD, VIA_ROME: SLOW})
    assert drive.in_use == DIRECT
    assert drive.seconds(2, {DIRECT: SLOW, VIA_ROME: GOOD}).order[0] == VIA_ROME


def test_what_the_engine_left_is_held_down_once_it_lives_and_is_bad() -> None:
    """Else the engine would go back to a path that answers, but too late."""
    drive = Drive()
    for direct, held in ((DEAD, False), (DEAD, False), (SLOW, True)):
        drive.now += SECOND
        figures = {DIRECT: direct, VIA_ROME: GOOD}
        choice = drive.selector.choose(drive.route, BOUND, figures.get, VIA_ROME, drive.now)
        assert (choice.order[-1] == DIRECT, choice.move) == (held, None)


def test_a_dead_path_is_left_to_the_engine() -> None:
    drive = Drive()
    for _ in range(10):
        drive.now += SECOND
        figures = {DIRECT: DEAD, VIA_ROME: GOOD}
        assert drive.selector.choose(drive.route, BOUND, figures.get, VIA_ROME, drive.now).order == PATHS


def test_hold_downs_of_vanished_destinations_are_forgotten() -> None:
    drive = Drive()
    drive.seconds(2, {DIRECT: SLOW, VIA_ROME: GOOD})
    drive.selector.retain({})
    assert drive.selector.hold(BERLIN, 0, DIRECT) is None


def test_a_route_without_paths_has_no_order() -> None:
    assert Drive(route(BERLIN)).second({}).order == ()


FIGURES = st.sampled_from([GOOD, SLOW, LOSSY, DEAD, None])


@given(st.lists(st.tuples(FIGURES, FIGURES, FIGURES), max_size=200))
def test_whatever_is_measured_the_order_holds_every_path_once(
    history: list[tuple[Figures | None, ...]],
) -> None:
    drive = Drive()
    for figures in history:
        known = {path: figure for path, figure in zip(PATHS, figures, strict=True) if figure is not None}
        choice = drive.second(known)
        assert sorted(choice.order) == sorted(PATHS)
        if choice.move is not None:
            assert choice.order[0] == choice.move.after != choice.move.before


@settings(max_examples=20)
@given(st.lists(FIGURES, min_size=600, max_size=600))
def test_moves_are_rare_however_a_path_flaps(history: list[Figures | None]) -> None:
    """Ten minutes: left, back after one, two and four minutes at the soonest."""
    drive = Drive()
    for figures in history:
        drive.second({VIA_ROME: GOOD} | ({DIRECT: figures} if figures else {}))
    assert drive.moves <= 7
