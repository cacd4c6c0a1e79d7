"""Which keys differ, and which of them change while packets flow."""

from msgspec.structs import fields, replace

from overlayd.daemon.config import (
    AgentSection,
    ClassifySection,
    Configuration,
    EngineSection,
    LogSection,
    NodeSection,
    UplinkSection,
    WorkloadSection,
)
from overlayd.daemon.config_changes import RELOADABLE, UNTRIED, Change, changes, in_force

ONE = UplinkSection("isp1", "192.0.2.1", rate="10mbit")
RULE = ClassifySection(class_="bulk", port=22)
TWO = UplinkSection("isp2", "192.0.2.2")
NOW = Configuration(uplink=(ONE, TWO))


def keys() -> set[str]:
    """All keys of a file."""
    sections = {field.name: getattr(NOW, field.name) for field in fields(Configuration)}
    sections |= {"uplink": ONE, "classify": RULE, "workload": WorkloadSection()}
    return {f"{name}.{field.encode_name}" for name, section in sections.items() for field in fields(section)}


def test_reloadable_and_untried_keys_are_keys() -> None:
    assert keys() >= RELOADABLE and keys() >= UNTRIED and not RELOADABLE & UNTRIED


def test_live_keys_are_taken_and_others_are_not() -> None:
    wanted = replace(
        NOW,
        engine=EngineSection(mtu=1300, shards=1),
        agent=AgentSection(announce=("192.168.7.0/24",)),
        log=LogSection(level="debug"),
        node=NodeSection(state_dir="/elsewhere"),
    )
    assert changes(NOW, wanted) == (
        Change("node.state_dir", "/var/lib/overlayd", "/elsewhere", live=False),
        Change("engine.mtu", 1380, 1300, live=True),
        Change("engine.shards", "auto", 1, live=False),
        Change("agent.announce", (), ("192.168.7.0/24",), live=True),
        Change("log.level", "info", "debug", live=True),
    )
    assert in_force(NOW, wanted) == replace(
        NOW, engine=EngineSection(mtu=1300), agent=wanted.agent, log=wanted.log
    )


def test_rules_change_live_as_a_whole() -> None:
    wanted = replace(NOW, classify=(RULE,))
    told = Change("classify", (), ({"class": "bulk", "port": 22},), live=True)
    assert changes(NOW, wanted) == (told,)
    assert in_force(NOW, wanted) == wanted


def test_a_rate_changes_but_does_not_appear_or_go() -> None:
    wanted = replace(NOW, uplink=(replace(ONE, rate="20mbit"), replace(TWO, rate="5mbit", mtu=1400)))
    assert [(one.key, one.live) for one in changes(NOW, wanted)] == [
        ("uplink[0].rate", True),
        ("uplink[1].rate", False),
        ("uplink[1].mtu", True),
    ]
    assert in_force(NOW, wanted).uplink == (replace(ONE, rate="20mbit"), replace(TWO, mtu=1400))


def test_other_sockets_wait_with_all_that_is_said_of_uplinks() -> None:
    for wanted in (
        replace(NOW, uplink=(replace(ONE, port=51950, mtu=1400), TWO)),
        replace(NOW, uplink=(ONE,)),
        replace(NOW, uplink=(TWO, ONE)),
    ):
        found = changes(NOW, wanted)
        assert found and not any(one.live for one in found)
        assert in_force(NOW, wanted) == NOW


def test_what_applications_may_take_waits_for_their_own_process() -> None:
    wanted = replace(NOW, workload=WorkloadSection(cpu="2"))
    assert changes(NOW, wanted) == (Change("workload.cpu", "", "2", live=False),)
    assert in_force(NOW, wanted) == NOW
    assert changes(wanted, NOW) == (Change("workload.cpu", "2", "", live=False),)
