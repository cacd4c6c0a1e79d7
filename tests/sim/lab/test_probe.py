"""Figures drawn from probes."""

from sim.lab.probe import Measurement, Sample

MS = 1_000_000


def measurement(answered: list[int], sent: int = 10) -> Measurement:
    samples = tuple(Sample(number, number * MS, (10 + number) * MS) for number in answered)
    return Measurement(sent, samples, interval_ns=5 * MS)


def test_loss_is_the_share_without_an_answer() -> None:
    assert measurement([0, 1, 2, 3, 4]).loss_ratio == 0.5


def test_an_outage_is_the_longest_run_of_lost_probes_wherever_it_is() -> None:
    assert measurement(list(range(10))).outage_ns == 0
    assert measurement([0, 1, 5, 6, 8, 9]).outage_ns == 15 * MS
    assert measurement([4, 5, 6, 7, 8, 9]).outage_ns == 20 * MS
    assert measurement([0, 1, 2, 3]).outage_ns == 30 * MS
    assert measurement([]).outage_ns == 50 * MS


def test_quantiles_of_the_round_trip() -> None:
    met = measurement(list(range(10)))
    assert (met.rtt_ns(0.0), met.rtt_ns(0.5), met.rtt_ns(1.0)) == (10 * MS, 14 * MS, 19 * MS)
    assert measurement([]).rtt_ns(0.5) is None
