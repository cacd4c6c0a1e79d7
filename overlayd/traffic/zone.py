"""The names of routes as files for dnsmasq. Pure. Called by `names`."""

import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from overlayd.protocol.steering import SteeredRoute

DOMAIN: Final = "mesh"
"""All of its names are known here: one that is not does not exist. What is in no route is refused."""
TTL_S: Final = 5
PORT: Final = 53


def render_configuration(address: str, hosts: Path, pid_file: Path, user: str) -> str:
    """Return dnsmasq's configuration: ``address`` alone, no upstream, no file of the host's."""
    lines = [
        f"listen-address={address}",
        f"port={PORT}",
        "bind-dynamic",
        "no-resolv",
        "no-hosts",
        f"addn-hosts={hosts}",
        f"local=/{DOMAIN}/",
        f"local-ttl={TTL_S}",
        f"pid-file={pid_file}",
        f"user={user}",
    ]
    return "\n".join(lines) + "\n"


def render_hosts(routes: Iterable[SteeredRoute]) -> str:
    """Return the addresses of all names, as in ``/etc/hosts``."""
    entries = {(route.host.rstrip("."), str(ipaddress.ip_address(route.address))) for route in routes}
    return "".join(f"{address} {host}\n" for host, address in sorted(entries))
