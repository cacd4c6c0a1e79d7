"""What is measured: raw veth, the bare loop and the peers, each with how it is brought up between two hosts.

`overlay` has ourselves. Every system gets an inner MTU that fits an underlay of 1500 bytes, or its own
default where that is larger; otherwise it runs with the defaults of its package. I/O; called by `run`.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sim.lab.errors import LabError
from tests.bench.ground import Ground, underlay

INNER = ("10.91.0.1", "10.91.0.2")
READY_S = 20.0
UAPI = Path("/var/run/wireguard")


class System(Protocol):
    """Something that carries packets between the first and the last host of a ground."""

    @property
    def name(self) -> str: ...

    @property
    def hosts(self) -> int:
        """How many hosts it needs."""
        ...

    def start(self, ground: Ground, find: Callable[[str], str], /) -> tuple[str, str]:
        """Bring it up; answers the addresses of the first and of the last host.

        ``find`` gives a program's path.
        """
        ...


@dataclass(frozen=True, slots=True)
class Simple:
    """A system between two hosts that one function brings up."""

    name: str
    bring_up: Callable[[Ground, Callable[[str], str]], tuple[str, str]]
    hosts: int = 2

    def start(self, ground: Ground, find: Callable[[str], str]) -> tuple[str, str]:
        return self.bring_up(ground, find)


def raw(ground: Ground, _find: Callable[[str], str]) -> tuple[str, str]:
    return underlay(1), underlay(2)


def bare_loop(ground: Ground, find: Callable[[str], str]) -> tuple[str, str]:
    for host, other in PAIR:
        ends = (f"{underlay(host)}:5190", f"{underlay(other)}:5190")
        ground.start_tunnel(host, [find("bare_loop"), "bench0", *ends])
    return address_interface(ground, "bench0", mtu=1380)


PAIR = ((1, 2), (2, 1))


# WireGuard: 20 + 8 + 32 bytes beyond the inner packet, which is padded to 16.
def wireguard(program: str, *flags: str) -> Callable[[Ground, Callable[[str], str]], tuple[str, str]]:
    """A user-space WireGuard: ``program`` ``flags`` INTERFACE, then `wg` through its UAPI socket."""

    def start(ground: Ground, find: Callable[[str], str]) -> tuple[str, str]:
        wg = find("wg")
        secrets = [ground.run(1, wg, "genkey").strip() for _ in PAIR]
        publics = [_public_key(ground, wg, secret) for secret in secrets]
        # All UAPI sockets of a machine lie in one folder, whatever the namespace.
        names = [f"{ground.namespaces[0].removeprefix('ovd-')[:12]}{end}" for end in "ab"]
        for (host, _), name in zip(PAIR, names, strict=True):
            ground.on_leaving(UAPI / f"{name}.sock")
            ground.start_tunnel(host, ["env", "WG_PROCESS_FOREGROUND=1", find(program), *flags, name])
        for (host, other), name in zip(PAIR, names, strict=True):
            wait_for(ground, (UAPI / f"{name}.sock").exists, f"the socket of {name}")
            file = ground.directory / f"{name}.conf"
            file.write_text(
                f"[Interface]\nPrivateKey = {secrets[host - 1]}\nListenPort = 5191\n"
                f"[Peer]\nPublicKey = {publics[other - 1]}\nEndpoint = {underlay(other)}:5191\n"
                f"AllowedIPs = {INNER[other - 1]}/32\n"
            )
            ground.run(host, wg, "setconf", name, str(file))
        return address_interfaces(ground, names, mtu=1440)

    return start


def _public_key(ground: Ground, wg: str, secret: str) -> str:
    file = ground.directory / "secret"
    file.write_text(secret)
    return ground.run(1, "sh", "-c", f"{wg} pubkey <{file}").strip()


def nebula(ground: Ground, find: Callable[[str], str]) -> tuple[str, str]:
    place, tool = ground.directory, find("nebula-cert")
    ca = ("-ca-crt", f"{place}/ca.crt", "-ca-key", f"{place}/ca.key")
    ground.run(1, tool, "ca", "-name", "bench", "-out-crt", ca[1], "-out-key", ca[3])
    for host, other in PAIR:
        crt, key = f"{place}/{host}.crt", f"{place}/{host}.key"
        end = ("-name", f"host{host}", "-networks", f"{INNER[host - 1]}/24", "-out-crt", crt, "-out-key", key)
        ground.run(1, tool, "sign", *ca, *end)
        # A JSON document is a YAML document.
        settings = {
            "pki": {"ca": ca[1], "cert": crt, "key": key},
            "static_host_map": {INNER[other - 1]: [f"{underlay(other)}:4242"]},
            "lighthouse": {"am_lighthouse": False},
            "listen": {"host": underlay(host), "port": 4242},
            "tun": {"dev": "bench0", "mtu": 1440},
            "firewall": {
                way: [{"port": "any", "proto": "any", "host": "any"}] for way in ("inbound", "outbound")
            },
        }
        (place / f"{host}.yml").write_text(json.dumps(settings))
        ground.start_tunnel(host, [find("nebula"), "-config", f"{place}/{host}.yml"])
    return INNER


def yggdrasil(ground: Ground, find: Callable[[str], str]) -> tuple[str, str]:
    program = find("yggdrasil")
    addresses: list[str] = []
    for host, other in PAIR:
        file = ground.directory / f"{host}.conf"
        settings = json.loads(ground.run(host, program, "-genconf", "-json")) | {
            "Listen": [f"tcp://{underlay(host)}:5192"],
            # The later one calls: who finds nobody there waits a minute before calling again.
            "Peers": [f"tcp://{underlay(other)}:5192"] if host == 2 else [],
            "MulticastInterfaces": [],
            "AdminListen": "none",
            "IfName": "bench0",
        }
        file.write_text(json.dumps(settings))
        addresses.append(ground.run(host, program, "-useconffile", str(file), "-address").strip())
        ground.start_tunnel(host, [program, "-useconffile", str(file)])
    return addresses[0], addresses[1]


def tinc(ground: Ground, find: Callable[[str], str]) -> tuple[str, str]:
    program = find("tincd")
    places = [ground.directory / f"tinc{host}" for host, _ in PAIR]
    for (host, other), place in zip(PAIR, places, strict=True):
        (place / "hosts").mkdir(parents=True)
        connect = f"ConnectTo = host{other}\n" if host == 1 else ""
        (place / "tinc.conf").write_text(f"Name = host{host}\nInterface = bench0\n{connect}")
        (place / "hosts" / f"host{host}").write_text(
            f"Address = {underlay(host)}\nSubnet = {INNER[host - 1]}/32\n"
        )
        ground.run(host, program, "-c", str(place), "-K", "2048")
    for place, other in zip(places, reversed(places), strict=True):
        for file in (other / "hosts").iterdir():
            (place / "hosts" / file.name).write_text(file.read_text())
    for (host, _), place in zip(PAIR, places, strict=True):
        ground.start_tunnel(host, [program, "-c", str(place), "-D", f"--pidfile={place}/pid"])
    return address_interface(ground, "bench0", mtu=1400)


def fastd(ground: Ground, find: Callable[[str], str]) -> tuple[str, str]:
    program = find("fastd")
    pairs = [_fastd_keys(ground.run(1, program, "--generate-key")) for _ in PAIR]
    for host, other in PAIR:
        file = ground.directory / f"fastd{host}.conf"
        file.write_text(
            f'mode tun;\ninterface "bench0";\nmtu 1400;\nmethod "salsa2012+umac";\n'
            f'bind {underlay(host)}:5193;\nsecret "{pairs[host - 1][0]}";\n'
            f'peer "other" {{ key "{pairs[other - 1][1]}"; remote {underlay(other)}:5193; }}\n'
        )
        ground.start_tunnel(host, [program, "--config", str(file)])
    return address_interface(ground, "bench0", mtu=1400)


def _fastd_keys(said: str) -> tuple[str, str]:
    """The secret and the public key of what ``fastd --generate-key`` says."""
    keys = {line.partition(":")[0]: line.partition(":")[2].strip() for line in said.splitlines()}
    return keys["Secret"], keys["Public"]


def n2n(ground: Ground, find: Callable[[str], str]) -> tuple[str, str]:
    ground.start_tunnel(1, [find("supernode"), "-l", "5194"])
    time.sleep(0.2)
    for host, _ in PAIR:
        address = ("-a", INNER[host - 1], "-s", "255.255.255.0", "-M", "1400")
        network = ("-c", "bench", "-k", "bench", "-l", f"{underlay(1)}:5194", "-p", "5195")
        ground.start_tunnel(host, [find("edge"), "-d", "bench0", *address, *network])
    return INNER


def address_interface(ground: Ground, name: str, mtu: int) -> tuple[str, str]:
    """Give the tunnel's interface, which may still be coming, its address and a route to the other end."""
    return address_interfaces(ground, [name, name], mtu)


def address_interfaces(ground: Ground, names: list[str], mtu: int) -> tuple[str, str]:
    """The same where the ends have names of their own."""
    for (host, _), name in zip(PAIR, names, strict=True):
        wait_for(
            ground,
            lambda host=host, name=name: _has_interface(ground, host, name),
            f"the interface {name}",
        )
        ground.run(host, "ip", "address", "add", f"{INNER[host - 1]}/24", "dev", name)
        ground.run(host, "ip", "link", "set", name, "mtu", str(mtu), "txqueuelen", "1000", "up")
    return INNER


def _has_interface(ground: Ground, host: int, name: str) -> bool:
    return f" {name}:" in ground.run(host, "ip", "-o", "link", "show")


def wait_for(ground: Ground, condition: Callable[[], bool], what: str) -> None:
    """Wait until something is there. Raises `LabError` when it does not come, or a process has ended."""
    deadline = time.monotonic() + READY_S
    while not condition():
        ground.check_alive()
        if time.monotonic() > deadline:
            raise LabError(f"{what} did not come up in {READY_S:g} s")
        time.sleep(0.02)


REFERENCES: tuple[System, ...] = (Simple("raw", raw), Simple("bare-loop", bare_loop))
PEERS: tuple[System, ...] = (
    Simple("wireguard-go", wireguard("wireguard", "-f")),
    Simple("gotatun", wireguard("gotatun", "-f", "--disable-drop-privileges")),
    Simple("boringtun", wireguard("boringtun-cli", "-f", "--disable-drop-privileges")),
    Simple("nebula", nebula),
    Simple("yggdrasil", yggdrasil),
    Simple("tinc", tinc),
    Simple("fastd", fastd),
    Simple("n2n", n2n),
)
