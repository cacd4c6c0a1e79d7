"""Impairments: one set of words for both directions, with exceptions for one of them."""

import pytest

from sim.lab.impair import Bursts, Pair, Settings, parse_words

PAIR = Pair("paris", "madrid")


def test_words_act_on_both_directions() -> None:
    pair = PAIR.change({"delay": "20ms", "jitter": "2ms", "rate": "50mbit", "queue": "256kb", "mtu": 1280})
    assert pair.there == pair.back
    assert pair.there == Settings(
        delay_ns=20_000_000, jitter_ns=2_000_000, rate_bps=50_000_000, queue_bytes=256_000, mtu=1280
    )


def test_one_direction_can_have_words_of_its_own() -> None:
    pair = PAIR.change({"delay": "20ms", "madrid->paris": {"loss": "3%", "delay": "30ms"}})
    assert pair.there == Settings(delay_ns=20_000_000)
    assert pair.back == Settings(delay_ns=30_000_000, loss_ratio=0.03)


def test_a_later_change_keeps_what_it_does_not_name() -> None:
    pair = PAIR.change({"delay": "20ms", "rate": "50mbit"}).change({"loss": "8%"})
    assert pair.there == Settings(delay_ns=20_000_000, rate_bps=50_000_000, loss_ratio=0.08)
    assert pair.change({"rate": "none"}).there.rate_bps is None


def test_bursts_and_independent_loss_replace_each_other() -> None:
    bursts = PAIR.change({"loss": "1%"}).change({"ge": {"good": "960ms", "bad": "40ms", "loss-bad": "50%"}})
    assert bursts.there.bursts == Bursts(960_000_000, 40_000_000, 0.0, 0.5)
    assert bursts.there.as_document()["loss"]["kind"] == "gilbert_elliott"
    assert bursts.there.loss_ratio == 0
    assert bursts.change({"loss": "2%"}).there.bursts is None


@pytest.mark.parametrize(
    ("value", "there", "back"),
    [
        (True, True, True),
        ("paris->madrid", True, False),
        ("madrid->paris", False, True),
        ("off", False, False),
    ],
)
def test_a_black_hole_swallows_both_ways_or_one(value: object, there: bool, back: bool) -> None:
    pair = PAIR.change({"blackhole": True}).change({"blackhole": value})
    assert (pair.there.blackhole, pair.back.blackhole) == (there, back)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({"dealy": "20ms"}, "did you mean 'delay'"),
        ({"paris->rome": {}}, "did you mean 'paris->madrid'"),
        ({"delay": "20"}, "delay: '20' is not a time"),
        ({"jitter": "1ms"}, "jitter of 1000000 ns is above the delay of 0 ns"),
        ({"loss": "1%", "ge": {"good": "1s", "bad": "1s"}}, "exclude each other"),
        ({"ge": {"good": "1s"}}, "bad, the mean stay in the bad state, is missing"),
        ({"ge": {"good": "1s", "bad": "0"}}, "above zero"),
        ({"ge": {"god": "1s"}}, "did you mean 'good'"),
        ({"ge": "often"}, "ge: has to be a mapping"),
        ({"rate": "0mbit"}, "rate: '0mbit' has to be above zero"),
        ({"queue": "0"}, "queue: has to be above zero"),
        ({"blackhole": "paris->rome"}, "none of true, false, paris->madrid, madrid->paris"),
        ({"paris->madrid": {"dealy": "1ms"}}, "paris->madrid: unknown key 'dealy'"),
        ({"paris->madrid": "20ms"}, "paris->madrid: has to be a mapping"),
    ],
)
def test_a_faulty_word_is_named(words: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        PAIR.change(words)


def test_words_of_the_command_line() -> None:
    words = parse_words(["delay=50ms", "a->b.loss=8%", "a->b.rate=1mbit", "ge.good=1s", "ge.bad=50ms"])
    assert words == {
        "delay": "50ms",
        "a->b": {"loss": "8%", "rate": "1mbit"},
        "ge": {"good": "1s", "bad": "50ms"},
    }


@pytest.mark.parametrize("argument", ["delay", "=5", "delay50ms"])
def test_an_argument_that_assigns_nothing_is_refused(argument: str) -> None:
    with pytest.raises(ValueError, match="KEY=VALUE"):
        parse_words([argument])


def test_a_group_given_whole_and_in_part_is_refused() -> None:
    with pytest.raises(ValueError, match="both as a whole and by its part good"):
        parse_words(["ge=none", "ge.good=1s"])
