"""What a lab promises, and when a promise is kept."""

from pathlib import Path
from textwrap import dedent

import pytest

from sim.lab.document import parse
from sim.lab.errors import FileFault
from sim.lab.expect import Bounds, Expectations, Impaired, Killed, Restarted, parse_expectations

SOUND = """
    settle: 30s
    expect:
      - name: short way
        from: paris
        to: madrid
        rtt: 20ms..26ms
        loss: ..1%
        path: [paris, madrid]
      - {name: quick, from: paris, to: madrid, over: underlay6, outage: ..150ms, probes: 600, every: 5ms,
         size: 1280, goodput: 40mbit.., seconds: 4,
         during: [{link: "paris:madrid", impair: {loss: 8%}}, {kill: controller}, {restart: madrid/agent}]}
    """


def expectations(text: str) -> Expectations:
    return parse_expectations(parse(dedent(text), "expect.yml"), ["paris", "madrid"])


def test_assertions_are_read() -> None:
    found = expectations(SOUND)
    first, second = found.assertions
    assert found.settle_ns == 30_000_000_000
    assert first.rtt == Bounds(20_000_000, 26_000_000, "20ms..26ms")
    assert (first.loss, first.path, first.over) == (
        Bounds(None, 0.01, "..1%"),
        ("paris", "madrid"),
        "overlay",
    )
    assert (second.over, second.probes, second.every_ns) == ("underlay6", 600, 5_000_000)
    assert (second.size_bytes, second.seconds) == (1280, 4)
    assert second.goodput == Bounds(40_000_000, None, "40mbit..")
    assert second.during == (
        Impaired("paris:madrid", {"loss": "8%"}),
        Killed("controller"),
        Restarted("madrid", "agent"),
    )


def test_an_assertion_of_loss_alone_wants_no_answers() -> None:
    lossy = {loss: expectations(SOUND.replace("..1%", loss)).assertions[0] for loss in ("..1%", "100%..")}
    assert {loss: one.wants_answers for loss, one in lossy.items()} == {"..1%": True, "100%..": False}


@pytest.mark.parametrize(
    ("low", "high", "value", "kept"),
    [
        (1, 3, 1, True),
        (1, 3, 3, True),
        (1, 3, 0.9, False),
        (1, 3, 3.1, False),
        (None, 3, -5, True),
        (1, None, 99, True),
        (None, 3, None, False),
    ],
)
def test_bounds_include_their_ends_and_want_a_measurement(
    low: float | None, high: float | None, value: float | None, kept: bool
) -> None:
    assert Bounds(low, high, "").hold(value) is kept


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("from: paris", "from: rome", r"expect\[0\].from: there is no node 'rome'"),
        ("rtt: 20ms..26ms", "rtt: 20ms", "is not a range"),
        ("rtt: 20ms..26ms", "rtt: ..", "is not a range"),
        ("rtt: 20ms..26ms", "rtt: 20..26ms", "'20' is not a time"),
        ("rtt:", "rtd:", "did you mean 'rtt'"),
        ("underlay6", "sneakernet", "none of underlay, underlay6"),
        ("settle: 30s", "settle: soon", "settle: 'soon' is not a time"),
        (
            "rtt: 20ms..26ms\n        loss: ..1%\n        path: [paris, madrid]",
            "probes: 5",
            "asserts nothing",
        ),
        ("link: ", "lnik: ", "did you mean 'link'"),
        ("link: ", "restart: ", r"during\[0\]: has to be {link: …, impair: …}, {kill: …} or {restart: …}"),
        ("kill: controller", "kill: rome", r"kill: there is no node 'rome'; nodes: paris, madrid, or contr"),
        ("madrid/agent", "madrid/dog", "'dog' is none of agent, engine"),
        ("40mbit..", "40..", "'40' is not a rate"),
    ],
)
def test_a_fault_is_told_with_its_place(old: str, new: str, problem: str) -> None:
    assert old in SOUND
    with pytest.raises(FileFault, match=problem):
        expectations(SOUND.replace(old, new, 1))


def test_a_file_that_expects_nothing_is_refused() -> None:
    with pytest.raises(FileFault, match="nothing is expected"):
        expectations("settle: 1s")


def test_the_example_of_the_documentation_is_a_sound_file() -> None:
    text = (Path(__file__).parents[3] / "docs" / "labs.md").read_text("utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    (assertion,) = parse_expectations(parse(example, "docs/labs.md"), ["paris", "rome", "oslo"]).assertions
    assert assertion.during == (Killed("controller"), Impaired("paris:oslo", {"blackhole": True}))
