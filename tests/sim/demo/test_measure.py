"""The arithmetic of the demo, on records made by hand."""

import pytest

from sim.demo.measure import (
    NS_PER_MS,
    NS_PER_S,
    Sample,
    Stretch,
    Way,
    goodput_mbps,
    left_ns,
    longest_gap_ns,
    path_taken,
    percentile,
    quality,
    true_since,
)
from sim.demo.records import Probe, Progress, Record

MS = NS_PER_MS
THERE, BACK = Way("a", "b"), Way("b", "a")


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(reversed(values), 1.0) == 100
    assert percentile([7.0], 0.5) == 7
    assert percentile([], 0.5) is None


def test_quality_is_that_of_the_probes_of_the_stretch() -> None:
    record = Record()
    for number in range(100):
        sent = number * 10 * MS
        record.sent[number] = sent
        rtt = 20 * MS if number < 50 else 40 * MS
        if number % 10:
            record.echoes[number] = Probe(number, sent, sent + rtt // 2, sent + rtt)
    first = quality(record, Stretch(0, 500 * MS))
    assert (first.probes, first.rtt_p50_ms, first.rtt_p99_ms) == (50, 20, 20)
    assert first.loss_ratio == pytest.approx(0.1)
    whole = quality(record, Stretch(0, NS_PER_S))
    assert (whole.probes, whole.rtt_p99_ms) == (100, 40)


def test_quality_of_nothing_is_not_perfect() -> None:
    nothing = quality(Record(), Stretch(0, NS_PER_S))
    assert nothing.loss_ratio is None
    assert nothing.rtt_p50_ms is None


def test_a_gap_is_found_between_arrivals_and_before_the_end() -> None:
    arrivals = [0, 5 * MS, 10 * MS, 90 * MS, 95 * MS]
    assert longest_gap_ns(arrivals, Stretch(0, 100 * MS)) == 80 * MS
    assert longest_gap_ns(reversed(arrivals), Stretch(0, 100 * MS)) == 80 * MS
    assert longest_gap_ns(arrivals, Stretch(0, 300 * MS)) == 205 * MS
    assert longest_gap_ns(arrivals, Stretch(90 * MS, 100 * MS)) == 5 * MS


def test_silence_is_no_gap_of_zero() -> None:
    assert longest_gap_ns([], Stretch(0, 100 * MS)) is None
    assert longest_gap_ns([500 * MS], Stretch(0, 100 * MS)) is None


def test_goodput_is_that_of_the_stretch() -> None:
    # 1 MB in the first second, 10 MB in the next.
    progress = [Progress(0, 0), Progress(NS_PER_S, 1_000_000), Progress(2 * NS_PER_S, 11_000_000)]
    assert goodput_mbps(progress, Stretch(0, NS_PER_S)) == pytest.approx(8)
    assert goodput_mbps(progress, Stretch(NS_PER_S, 2 * NS_PER_S)) == pytest.approx(80)
    assert goodput_mbps(progress, Stretch(NS_PER_S // 2, 3 * NS_PER_S // 2)) == pytest.approx(44)


def test_goodput_of_a_download_that_stood_still_is_low_and_of_none_is_unknown() -> None:
    stalled = [Progress(0, 0), Progress(NS_PER_S, 1_000_000), Progress(10 * NS_PER_S, 1_000_001)]
    rate = goodput_mbps(stalled, Stretch(NS_PER_S, 9 * NS_PER_S))
    assert rate is not None
    assert rate < 0.001
    assert goodput_mbps([], Stretch(0, NS_PER_S)) is None
    assert goodput_mbps(stalled, Stretch(8 * NS_PER_S, 20 * NS_PER_S)) is None


def samples(rates: list[tuple[float, float]], every_ns: int = 100 * MS) -> list[Sample]:
    """Samples of two ways that were offered so many Mbit/s from each sample to the next."""
    there = back = 0
    made = [Sample(0, {THERE: 0, BACK: 0})]
    for index, (out, home) in enumerate(rates, 1):
        there += int(out * 1e6 / 8 * every_ns / NS_PER_S)
        back += int(home * 1e6 / 8 * every_ns / NS_PER_S)
        made.append(Sample(index * every_ns, {THERE: there, BACK: back}))
    return made


def left(rates: list[tuple[float, float]], since_ns: int = 0) -> int | None:
    return left_ns(samples(rates), [THERE, BACK], since_ns, floor_bps=0.5e6, window_ns=100 * MS)


def test_a_way_is_left_when_neither_direction_carries_traffic() -> None:
    assert left([(50, 1), (50, 1), (0.1, 1), (0.1, 0.1), (0.1, 0.1)]) == 400 * MS


def test_a_way_that_is_taken_again_was_not_left() -> None:
    assert left([(50, 1), (0, 0), (0, 0), (50, 1), (0, 0)]) == 500 * MS
    assert left([(50, 1), (0, 0), (0, 0), (50, 1)]) is None


def test_traffic_before_the_event_does_not_count() -> None:
    assert left([(50, 1), (50, 1), (0, 0), (0, 0)], since_ns=200 * MS) == 300 * MS


def test_a_way_that_nobody_watched_was_not_left() -> None:
    assert left([]) is None
    assert left([(0, 0)], since_ns=NS_PER_S) is None


def test_what_holds_holds_since_it_was_last_broken() -> None:
    assert true_since([(1, True), (2, False), (3, True), (4, True)]) == 3
    assert true_since([(1, True), (2, False)]) is None
    assert true_since([]) is None


def flows(**bytes_of: int) -> tuple[Sample, Sample]:
    """Samples around bytes on ways that are named ``a_b``."""
    ways = {Way(*name.split("_")): count for name, count in bytes_of.items()}
    return Sample(0, dict.fromkeys(ways, 1000)), Sample(1, {way: 1000 + ways[way] for way in ways})


def test_the_path_is_where_the_bytes_went() -> None:
    before, after = flows(a_b=900, a_r=100_000, r_b=99_000, b_a=4000, r_a=500, a_s=800, s_b=700)
    assert path_taken(before, after, "a", "b") == ("a", "r", "b")


def test_the_path_may_be_direct_and_may_pass_two_relays() -> None:
    assert path_taken(*flows(a_b=50_000, a_r=900, r_b=900), "a", "b") == ("a", "b")
    assert path_taken(*flows(a_r=50_000, r_s=50_000, s_b=49_000, a_b=10), "a", "b") == ("a", "r", "s", "b")


def test_bytes_that_do_not_arrive_make_no_path() -> None:
    assert path_taken(*flows(a_r=50_000, r_b=100), "a", "b") == ()
    assert path_taken(*flows(a_r=0, r_b=0), "a", "b") == ()
