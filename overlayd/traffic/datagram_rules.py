"""The rules of nftables that spread flows of UDP over instances. Pure.

Only the first packet of a flow meets them; connection tracking takes the others the same way, whatever the
weights are by then. A flow's instance is chosen by a hash of where it comes from, so that one that was silent
for long comes to the same again as long as the weights are the same. Called by `datagrams`.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

from overlayd.protocol.steering import SteeredRoute, Target

Family: TypeAlias = Literal["ip", "ip6"]
FAMILIES: Final[tuple[Family, ...]] = ("ip", "ip6")
TABLE: Final = "overlayd_traffic"
SEED: Final = 0x6F766C79
"""Of the hash. A fixed one, so that a change of rules alone moves nobody."""
UNANSWERED_S: Final = 60
ANSWERED_S: Final = 600
"""A flow that was silent for so long is forgotten: longer than the pauses of a game or a call."""
_PREFIX = "r_"


def family_of(route: SteeredRoute) -> Family:
    """Which table a route is in: as its address is."""
    return "ip" if ipaddress.ip_address(route.address).version == 4 else "ip6"


def render(
    family: Family, routes: Sequence[SteeredRoute], chains: Iterable[str], counters: Iterable[str]
) -> str:
    """Return a script for ``nft -f``, which takes effect as a whole: what there is becomes what is wanted.

    ``routes`` are those of UDP and of ``family``; ``chains`` and ``counters`` are
    those that the table has.
    """
    address_type = "ipv4_addr" if family == "ip" else "ipv6_addr"
    lines = [
        f"table {family} {TABLE} {{",
        "\tct timeout patient {",
        "\t\tprotocol udp;",
        f"\t\tpolicy = {{ unreplied : {UNANSWERED_S}, replied : {ANSWERED_S} }}",
        "\t}",
        f"\tmap entries {{ type {address_type} . inet_service : verdict; }}",
        f"\tmap volumes {{ type {address_type} . inet_service : counter; }}",
        f"\tset addresses {{ type {address_type} . inet_service; }}",
        "\tchain arriving { type nat hook prerouting priority -100; }",
        "\tchain leaving { type nat hook output priority -100; }",
        "\tchain returning { type nat hook postrouting priority 100; }",
        "\tchain patience_arriving { type filter hook prerouting priority -110; }",
        "\tchain patience_leaving { type filter hook output priority -110; }",
        *(f"\tchain {chain_of(route)} {{ }}" for route in routes),
        *(f"\tcounter {chain_of(route)} {{ }}" for route in routes),
        "}",
    ]
    lines += (f"flush chain {family} {TABLE} {chain}" for chain in _HOOKED)
    lines += (f"flush {kind} {family} {TABLE} {name}" for kind, name in _LOOKED_UP)
    ours = {chain_of(route) for route in routes}
    there = sorted(chain for chain in chains if chain.startswith(_PREFIX))
    lines += (f"flush chain {family} {TABLE} {chain}" for chain in there)
    lines += (f"delete chain {family} {TABLE} {chain}" for chain in there if chain not in ours)
    lines += (f"delete counter {family} {TABLE} {name}" for name in sorted(counters) if name not in ours)
    to = f"{family} daddr . udp dport"
    lines += [
        _rule(family, "arriving", f"{to} vmap @entries"),
        _rule(family, "leaving", f"{to} vmap @entries"),
        _rule(family, "patience_arriving", f'{to} @addresses ct timeout set "patient"'),
        _rule(family, "patience_leaving", f'{to} @addresses ct timeout set "patient"'),
        # From loopback they were counted as they left.
        _rule(family, "patience_arriving", f'iifname != "lo" counter name {to} map @volumes'),
        _rule(family, "patience_leaving", f"counter name {to} map @volumes"),
        # Answers have to come back through here, whatever the instance knows of where the user is.
        _rule(
            family,
            "returning",
            f'oifname != "lo" meta l4proto udp ct status dnat ct original {family} daddr'
            f" . ct original proto-dst @addresses masquerade",
        ),
    ]
    for route in routes:
        entry = f"{ipaddress.ip_address(route.address)} . {route.port}"
        lines.append(f"add element {family} {TABLE} addresses {{ {entry} }}")
        lines.append(f'add element {family} {TABLE} volumes {{ {entry} : "{chain_of(route)}" }}')
        if (spread := _spread(family, route)) is not None:
            lines.append(_rule(family, chain_of(route), spread))
            lines.append(f"add element {family} {TABLE} entries {{ {entry} : jump {chain_of(route)} }}")
    return "\n".join(lines) + "\n"


def in_use(targets: Iterable[Target]) -> list[Target]:
    """Return whom new flows may go to: back-ups only where nobody else is."""
    weighty = [target for target in targets if target.weight > 0]
    return [target for target in weighty if not target.backup] or weighty


def chain_of(route: SteeredRoute) -> str:
    """The name of a route's chain and counter: they may have few letters."""
    return _PREFIX + hashlib.sha256(route.name.encode()).hexdigest()[:16]


_LOOKED_UP = (("map", "entries"), ("map", "volumes"), ("set", "addresses"))
_HOOKED = ("arriving", "leaving", "returning", "patience_arriving", "patience_leaving")


def _spread(family: Family, route: SteeredRoute) -> str | None:
    """``dnat to jhash … mod SUM map { 0-2 : A . P, 3-9 : B . Q }``; None: nobody is there."""
    ranges: list[str] = []
    total = 0
    for target in sorted(in_use(route.targets), key=lambda one: (one.address, one.port)):
        address = ipaddress.ip_address(target.address)
        ranges.append(f"{total}-{total + target.weight - 1} : {address} . {target.port}")
        total += target.weight
    if not total:
        return None
    hashed = f"jhash {family} saddr . udp sport mod {total} seed {SEED:#x}"
    return f"dnat {family} to {hashed} map {{ {', '.join(ranges)} }}"


def _rule(family: Family, chain: str, rule: str) -> str:
    return f"add rule {family} {TABLE} {chain} {rule}"
