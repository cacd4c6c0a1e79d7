"""What HAProxy is told so that its slots hold what is wanted."""

import dataclasses
import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from overlayd.protocol.steering import Target
from overlayd.traffic.servers import BACKUP_SLOTS, NOWHERE, SLOTS, Server, commands, filled, parse_state

STATE = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight
2 ns:web 1 s1 127.0.0.1 2 4 256 1 7 1 0 1 6 0 0 0 - 9001 - 0 0 - - 0
2 ns:web 2 s2 fd00::2 0 5 1 1 18 1 0 0 14 0 0 0 - 80 - 0 0 - - 0
2 ns:web 7 waker - 2 0 1 1 18 1 0 1 0 0 0 0 - 0 - 0 0 - - 0
"""

TARGETS = st.lists(
    st.builds(
        Target,
        name=st.just("pod"),
        address=st.sampled_from(("10.0.0.1", "10.0.0.2", "fd00::1", "fd00:0::1")),
        port=st.integers(1, 6),
        weight=st.integers(-1, 300),
        backup=st.booleans(),
    ),
    max_size=12,
)


def test_state_is_read_with_what_is_empty_or_down() -> None:
    assert parse_state(STATE) == {
        "ns:web": [
            Server("s1", "127.0.0.1", 9001, weight=256, empty=False, up=True, idle_s=7),
            Server("s2", "fd00::2", 80, weight=1, empty=True, up=False, idle_s=18),
        ]
    }


def test_a_weight_alone_is_set_alone() -> None:
    slots = filled([target(1, weight=3), target(2, weight=2)])
    assert commands("p", slots, [target(1, weight=3), target(2, weight=0)], "") == [
        "set server p/s2 weight 0"
    ]


def test_new_instances_come_before_others_leave() -> None:
    said = commands("p", filled([target(1)]), [target(2, weight=9)], "")
    assert said == [
        "set server p/s2 addr 10.0.0.1 port 2",
        "set server p/s2 weight 9",
        "set server p/s2 state ready",
        "set server p/s1 state maint",
    ]


def test_an_instance_that_returns_gets_the_slot_that_it_had() -> None:
    slots = filled([target(1), target(2)])
    after = obeyed(slots, commands("p", slots, [target(2)], ""))
    said = commands("p", after, [target(1), target(2)], "")
    assert said[-1] == "set server p/s1 state ready"


def test_servers_are_added_where_slots_do_not_suffice() -> None:
    said = commands("p", filled([]), [target(port) for port in range(1, SLOTS + 2)], "check")
    added = [command for command in said if command.startswith("add server")]
    assert added == [f"add server p/s{SLOTS + 1} 10.0.0.1:{SLOTS + 1} check weight 1"]


@given(TARGETS, TARGETS)
def test_after_two_rounds_nothing_more_is_to_tell(before: list[Target], wanted: list[Target]) -> None:
    """Of backups, whose slots are counted, some come only when others have left."""
    after = filled(before)
    for _ in range(2):
        after = obeyed(after, commands("p", after, wanted, "check"))
    assert commands("p", after, wanted, "check") == []
    assert {slot.endpoint for slot in after if not slot.empty and not slot.backup} == {
        (str(ipaddress.ip_address(one.address)), one.port)
        for one in wanted
        if not one.backup
        or (str(ipaddress.ip_address(one.address)), one.port) in endpoints_of_primaries(wanted)
    }


@given(TARGETS)
def test_a_configuration_has_all_slots_empty_or_not(targets: list[Target]) -> None:
    slots = filled(targets)
    assert len({slot.name for slot in slots}) == len(slots) >= SLOTS + BACKUP_SLOTS
    assert sum(slot.backup for slot in slots) == BACKUP_SLOTS
    assert all(slot.endpoint == NOWHERE for slot in slots if slot.empty)


def target(port: int, weight: int = 1, *, backup: bool = False) -> Target:
    return Target(name=f"pod-{port}", address="10.0.0.1", port=port, weight=weight, backup=backup)


def endpoints_of_primaries(targets: list[Target]) -> set[tuple[str, int]]:
    return {(str(ipaddress.ip_address(one.address)), one.port) for one in targets if not one.backup}


def obeyed(slots: list[Server], said: list[str]) -> list[Server]:
    """What HAProxy makes of commands."""
    found = {slot.name: slot for slot in slots}
    for command in said:
        words = command.split()
        name = words[2].removeprefix("p/")
        match words[:2], words[3:]:
            case ["add", "server"], [where, *_, "weight", weight]:
                address, _, port = where.rpartition(":")
                found[name] = Server(name, address.strip("[]"), int(port), int(weight), empty=True)
            case ["set", "server"], ["addr", address, "port", port]:
                found[name] = dataclasses.replace(found[name], address=address, port=int(port))
            case ["set", "server"], ["weight", weight]:
                found[name] = dataclasses.replace(found[name], weight=int(weight))
            case ["set", "server"], ["state", state]:
                found[name] = dataclasses.replace(found[name], empty=state == "maint")
            case ["enable", "health"], []:
                pass
            case _:
                raise AssertionError(command)
    return list(found.values())
