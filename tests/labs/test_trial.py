"""What makes a lab worse, and what counts as a lab that is as it should be."""

from sim.lab.check import Finding
from sim.lab.impair import Bursts, Settings
from tests.labs.__main__ import table
from tests.labs.trial import LABS, NAMES, Report
from tests.labs.worse import worse

HOLDS = Finding("a claim", "loss", "..1%", "0.50%", ok=True)
FAILS = Finding("a claim", "loss", "..1%", "2.50%", ok=False)


def test_worse_is_three_times_the_impairment() -> None:
    sound = Settings(delay_ns=5, jitter_ns=1, rate_bps=90, mtu=1500, bursts=Bursts(900, 100, loss_bad=0.6))
    bad = worse(sound)
    assert (bad.delay_ns, bad.jitter_ns, bad.rate_bps, bad.mtu) == (15, 3, 30, 500)
    assert bad.bursts == Bursts(900, 300, loss_bad=0.6)
    assert worse(Settings(loss_ratio=0.1)).loss_ratio == 0.1 * 3
    assert worse(Settings(loss_ratio=0.5)).loss_ratio == 1.0
    assert worse(Settings()) == Settings()


def test_a_lab_is_as_it_should_be_only_if_its_check_can_fail() -> None:
    def ok(findings: list[Finding], broken: dict[str, Finding | None], problem: str = "") -> bool:
        return Report("x", "netns", 1.0, findings, broken, problem).ok

    assert ok([HOLDS], {"worse": FAILS})
    assert not ok([HOLDS], {"worse": FAILS, "without rome": None})
    assert not ok([HOLDS], {})
    assert not ok([HOLDS, FAILS], {"worse": FAILS})
    assert not ok([], {"worse": FAILS})
    assert not ok([HOLDS], {"worse": FAILS}, "it fell over")


def test_the_table_has_a_row_for_each_lab_and_runner() -> None:
    sound = Report("x", "netns", 12.3, [HOLDS], {"worse": FAILS})
    assert table([sound, Report("x", "clab", 45.6, [FAILS], {})]).splitlines()[2:] == [
        "| x | netns | ok | 12 s | 1 of 1 | worse: a claim |",
        "| x | clab | FAILED | 46 s | 0 of 1 |  |",
    ]


def test_there_are_nine_labs() -> None:
    assert len(NAMES) == 9
    assert all((LABS / name / "topo.clab.yml").exists() for name in NAMES)
