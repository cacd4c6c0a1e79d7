"""A lab of hosts behind NATs of both kinds, made of nftables. I/O; called by `test_nat`.

Two public relays and the controller hang on a router, and so does a NAT for each other host. A *restricted*
NAT keeps ports and lets in whoever lives where its host called lately; a *symmetric* one takes another port
for each that is called, and lets in nobody else.
"""

from typing import Any

from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket  # pyright: ignore[reportMissingTypeStubs]

from sim.lab import netns, process
from sim.lab.sketch import Sketch, Wire
from tests.network.lab.mesh import Mesh

RELAYS = ("p1", "p2")
RESTRICTED = ("r1", "r2")
SYMMETRIC = ("s1", "s2")
HIDDEN = (*RESTRICTED, *SYMMETRIC)
PRIVATE = SYMMETRIC[0]
"""It does not know that it is behind a NAT, and tells peers to call its private address."""
CONTROLLER = "cloud"
PUBLIC = (*RELAYS, CONTROLLER)
NODES = (*PUBLIC, *HIDDEN)
ROUTER = "wan"
GATEWAY = "10.9.0.1"
_LINE = {"delay": "5ms"}
_Conntrack: Any = NFCTSocket


def sketch() -> Sketch:
    """The lab."""
    inside = [Wire(host, f"nat-{host}", _LINE) for host in HIDDEN]
    outside = [Wire(node, ROUTER, _LINE) for node in (*PUBLIC, *[f"nat-{host}" for host in HIDDEN])]
    plain = Sketch(NODES, [*inside, *outside], CONTROLLER, {})
    commands: dict[str, list[str]] = {ROUTER: [*_forwards(), f"ip address add {GATEWAY}/32 dev lo"]}
    for place, node in enumerate(PUBLIC, 1):
        address = plain.address(node)
        commands[node] = _default(GATEWAY, "eth1", address)
        commands[ROUTER].append(f"ip route add {address}/32 dev eth{place}")
    for place, host in enumerate(HIDDEN, len(PUBLIC) + 1):
        address, gateway, public = plain.address(host), f"10.9.1.{place}", outside_of(host)
        commands[host] = _default(gateway, "eth1", address)
        commands[f"nat-{host}"] = [
            *_forwards(),
            f"ip address add {gateway}/32 dev lo",
            f"ip route add {address}/32 dev eth1",
            f"ip address add {public}/32 dev eth2",
            *_default(GATEWAY, "eth2"),
            f'nft "{_restricted(address) if host in RESTRICTED else _symmetric()}"',
        ]
        commands[ROUTER].append(f"ip route add {public}/32 dev eth{place}")
    agent = {"agent": {"reconnect_spread": 1.0}}
    edges: dict[str, dict[str, object]] = {relay: {"relay": True, **agent} for relay in RELAYS}
    for host in HIDDEN:
        uplink = {"name": "isp", "address": plain.address(host)}
        hidden = {} if host == PRIVATE else {"endpoint": ""}
        edges[host] = {"uplink": [uplink | hidden], **agent}
    return Sketch(NODES, plain.wires, CONTROLLER, edges, commands=commands)


def outside_of(host: str) -> str:
    """The public address of a host's NAT at first."""
    return f"10.2.0.{HIDDEN.index(host) + 1}"


def move(mesh: Mesh, host: str, before: str, address: str) -> None:
    """Give a host's NAT another public address, as providers do over night: what was bound is forgotten."""
    place = len(PUBLIC) + HIDDEN.index(host) + 1
    at = mesh.namespaces[f"nat-{host}"]
    for namespace, line in (
        (at, f"ip address add {address}/32 dev eth2"),
        (at, f"ip address del {before}/32 dev eth2"),
        (mesh.namespaces[ROUTER], f"ip route add {address}/32 dev eth{place}"),
        (mesh.namespaces[ROUTER], f"ip route del {before}/32 dev eth{place}"),
    ):
        process.run(namespace, line.split())
    with netns.inside(at), _Conntrack() as bindings:
        bindings.flush()


def _default(gateway: str, interface: str, source: str | None = None) -> list[str]:
    source = f" src {source}" if source else ""
    return [
        f"ip route add {gateway}/32 dev {interface}{source}",
        f"ip route add default via {gateway} dev {interface}{source}",
    ]


def _forwards() -> list[str]:
    return ["sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'"]


def _restricted(host: str) -> str:
    return _table(
        "set called { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 1024; }",
        "chain leaving { type nat hook postrouting priority srcnat; oifname eth2 masquerade; }",
        "chain calling { type filter hook forward priority filter;"
        " iifname eth1 oifname eth2 update @called { ip daddr }; }",
        # Not what was on its way to an address that is the NAT's no more: it would bind the host to it.
        "chain coming { type nat hook prerouting priority dstnat; iifname eth2 fib daddr type local"
        f" ip saddr @called udp dport 51900-51915 dnat to {host}; }}",
    )


def _symmetric() -> str:
    return _table(
        "chain leaving { type nat hook postrouting priority srcnat; oifname eth2 masquerade fully-random; }"
    )


def _table(*parts: str) -> str:
    """What nobody inside asked for is dropped, and leaves no trace that would take a port."""
    closed = "chain closed { type filter hook input priority filter; iifname eth2 drop; }"
    return f"table ip nat {{ {'; '.join((*parts, closed))}; }}"
